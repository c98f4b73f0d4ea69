"""A fit in steps: features are handed over image by image, banks can be truncated or cannot."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from patchbank import PatchCore
from patchbank.core import neighbours
from patchbank.errors import ImageError, ParameterError
from patchbank.images.source import ImageSource
from patchbank.methods import METHODS, PatchCoreSettings, ResizableBank, TrainingImage
from patchbank.methods.memory_bank import BankModel
from patchbank.methods.memory_bank.selection import sizes_to_calibrate
from patchbank.runtime import threads
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training import extraction
from tests.fitting import fit_on_features
from tests.photographs import part, parts, save


def maps(number, grid=(6, 9)):
    rng = np.random.default_rng(number)
    h, w = grid
    shapes = (4, h, w), (3, h // 2, w // 2)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.fixture(params=["patchcore", "graphcore", "padim", "spade"])
def method(request):
    return METHODS[request.param]


def test_features_of_an_image_are_not_needed_after_they_were_added(method):
    learner = method.learner(method.settings(), 4, NullProgress(), HOST)
    held = []
    for number in range(4):
        image = TrainingImage(maps(number), number)
        held += [weakref.ref(m) for m in image.maps]
        learner.add(image)
        del image
    gc.collect()
    assert [reference() for reference in held] == [None] * 8
    fit = learner.fit()
    assert len(fit.left_out) == 4


def test_features_stream_into_the_method(tmp_path, monkeypatch):
    """However many photographs there are, few feature maps are in memory at once."""
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    alive, most = weakref.WeakSet(), []
    extract = extraction.extract

    class Maps(list):
        __hash__ = object.__hash__

    def watched(extractor, settings, image, part):
        found, geometry = extract(extractor, settings, image)
        kept = Maps(found)
        alive.add(kept)
        most.append(len(alive))
        return kept, geometry

    monkeypatch.setattr(extraction, "extract", watched)
    paths = [save(tmp_path / f"{number}.png", part(number)) for number in range(24)]
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)
    detector = recipe.fit(paths)
    assert len(most) == 24
    assert max(most) <= 8  # two a core wait, two are at work, and the one that is added
    assert detector.fitted_on == tuple(path.name for path in paths)


def test_photographs_are_decoded_once_a_member(tmp_path, monkeypatch):
    decoded = []
    read = ImageSource.read_with_facts
    monkeypatch.setattr(
        ImageSource, "read_with_facts", lambda s: (decoded.append(s.name), read(s))[1]
    )
    paths = [save(tmp_path / f"{number}.png", part(number)) for number in range(5)]
    PatchCore(backbone="efficientnet_lite0", image_size=64, rotations=3, false_alarm_rate=0.2).fit(
        paths
    )
    assert sorted(decoded) == [str(path) for path in paths]


def fitted_bank(**settings):
    images = [TrainingImage(maps(number), number) for number in range(5)]
    chosen = PatchCoreSettings(patch_stride=1, banks="joint", **settings)
    return fit_on_features(METHODS["patchcore"], chosen, images, 5)


def test_only_a_bank_is_resizable():
    for name in ("patchcore", "graphcore", "padim", "spade"):
        images = [TrainingImage(maps(number), number) for number in range(4)]
        fit = fit_on_features(METHODS[name], METHODS[name].settings(), images, 4)
        assert isinstance(fit.model, ResizableBank) == (name in ("patchcore", "graphcore"))
        assert bool(fit.calibration_by_size) == isinstance(fit.model, ResizableBank)


def test_scores_by_bank_size_are_those_of_the_truncated_bank():
    fit = fitted_bank(bank_rows=200)
    assert fit.model.n_rows == 200
    assert fit.model.sizes == tuple(sizes_to_calibrate(200)) == (8, 16, 32, 64, 128)
    assert list(fit.calibration_by_size) == [8, 16, 32, 64, 128]
    assert len(fit.calibration_by_size) == 5
    for n_rows, left_out in fit.calibration_by_size.items():
        smaller = fit.model.truncated(n_rows)
        assert smaller.n_rows == n_rows
        for number, scores in enumerate(left_out):
            own = smaller.origins[:, 0] == number
            exact = neighbours.ExactIndex(smaller.bank[~own], HOST)
            patches = smaller.embed(maps(number)).reshape(54, -1)
            expected, _ = exact.nearest(patches, 1)
            np.testing.assert_allclose(scores.patch_scores.ravel(), expected[:, 0], rtol=1e-4)
    with pytest.raises(KeyError):
        fit.calibration_by_size[9]


@pytest.mark.parametrize(
    "settings",
    [{"selection": "random"}, pytest.param({"index": "hnsw"}, marks=pytest.mark.approximate)],
)
def test_a_bank_that_cannot_be_truncated_has_no_smaller_sizes(settings):
    fit = fitted_bank(bank_rows=100, **settings)
    assert fit.model.sizes == ()
    assert dict(fit.calibration_by_size) == {}
    with pytest.raises(ParameterError, match="bank_rows: expected"):
        fit.model.truncated(50)


def test_smaller_banks_cost_nothing_until_they_are_read(monkeypatch):
    calls = []
    truncated = BankModel.truncated
    monkeypatch.setattr(
        BankModel, "truncated", lambda model, n: (calls.append(n), truncated(model, n))[1]
    )
    fit = fitted_bank(bank_rows=100)
    assert calls == []
    assert len(fit.calibration_by_size[16]) == 5
    assert calls == [16]


@pytest.mark.approximate
def test_the_recall_of_an_approximate_index_is_there_from_the_start():
    fit = fitted_bank(bank_rows=100, index="hnsw")
    exact = neighbours.ExactIndex(fit.model.bank, HOST)
    patches = np.concatenate([fit.model.embed(maps(n)).reshape(54, -1) for n in range(5)])
    in_bank = {row.tobytes() for row in fit.model.bank}
    others = np.array([patch for patch in patches if patch.tobytes() not in in_bank])
    assert len(others) == 170
    assert fit.model.recall == pytest.approx(neighbours.recall(fit.model.index, exact, others))
    assert fit.model.summary()["index_recall"] == fit.model.recall > 0


def test_threads_that_search_first_at_the_same_time_build_one_index(monkeypatch):
    model = fitted_bank(bank_rows=100).model
    tensors = model.tensors()
    fresh = METHODS["patchcore"].restore(model.settings, tensors, HOST)
    built, start = [], threading.Barrier(6)
    build = neighbours.build_index

    def slow_build(*arguments):
        built.append(1)
        threading.Event().wait(0.05)
        return build(*arguments)

    monkeypatch.setattr(neighbours, "build_index", slow_build)
    scores = [None] * 6

    def score(number):
        start.wait()
        scores[number] = fresh.score(maps(9)).image_score

    workers = [threading.Thread(target=score, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert built == [1]
    assert set(scores) == {model.score(maps(9)).image_score}


def test_a_detector_asks_its_model_whether_its_bank_can_be_truncated():
    recipe = PatchCore(
        backbone="efficientnet_lite0", image_size=96, bank_rows=100, false_alarm_rate=0.2
    )
    detector = recipe.fit(parts(6))
    assert detector.bank_sizes == (*detector.members[0].model.sizes, 100)
    smaller = detector.with_bank_rows(40)
    assert smaller.members[0].model.n_rows == 40
    assert smaller.bank_sizes[-1] == 40


def test_an_error_of_a_photograph_leaves_no_thread_of_the_fit(tmp_path):
    paths = [save(tmp_path / f"{number}.png", part(number)) for number in range(12)]
    paths[2].write_bytes(b"rubbish")
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ImageError, match="2.png"):
            recipe.fit(paths)
        deadline = time.monotonic() + 30
        while running := [t for t in threading.enumerate() if t.name.startswith("patchbank-im")]:
            assert time.monotonic() < deadline, running
            time.sleep(0.01)
    finally:
        gc.enable()
