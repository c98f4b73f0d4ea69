"""Results do not depend on the device: numpy, tensors, and devices with little memory."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank import ParameterError, PatchCore, load
from patchbank.core import coreset, neighbours
from patchbank.core.array_api import to_device_if_fits, to_numpy
from patchbank.core.coreset import (
    ContinuedSelection,
    ExistingCentres,
    InitialDistances,
    feature_rows,
    gemm,
    gemm_rows,
    greedy_coreset,
    random_projection,
)
from patchbank.core.neighbours import ExactIndex
from patchbank.core.spatial import patch_embedding
from patchbank.methods import METHODS
from patchbank.runtime import threads
from patchbank.runtime.devices import HOST
from patchbank.runtime.torch_device import TorchDevice, open_device
from tests.networks import FAMILIES, weights_file
from tests.photographs import part, parts

NOTHING_STAYS, ALL_STAYS = 0, None
RESNET = FAMILIES["ResNet"]
DEVICES = [pytest.param("cpu", id="cpu"), pytest.param("cuda", id="cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def place(request):
    """The name of a torch device."""
    return request.param


@pytest.fixture(params=[NOTHING_STAYS, ALL_STAYS], ids=["streamed", "resident"])
def device(request, place):
    return TorchDevice(place, tile_factor=2, limit_bytes=request.param)


def drawn(rng, n=6000, d=40):
    """Features near a subspace of few dimensions, far from the origin."""
    basis = rng.standard_normal((6, d)) * np.linspace(3, 0.5, 6)[:, None]
    return (rng.standard_normal((n, 6)) @ basis).astype(np.float32) + 100


@settings(deadline=None, max_examples=150)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 4),
    grid=st.integers(1, 5),
    share=st.floats(0.01, 1.0),
    candidates=st.integers(1, 25),
    seed=st.integers(0, 999),
    stays=st.sampled_from([NOTHING_STAYS, ALL_STAYS]),
)
def test_centres_are_the_same_on_small_integers(n, d, grid, share, candidates, seed, stays):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, grid, (n, d)).astype(np.float32)
    groups = np.sort(rng.integers(0, 4, n))
    n_keep, start = max(1, round(n * share)), int(rng.integers(n))
    device = TorchDevice("cpu", tile_factor=1, limit_bytes=stays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gemm, "CANDIDATES", candidates)
        patch.setattr(gemm_rows, "CANDIDATES", candidates)
        patch.setattr(feature_rows, "TILE_ROWS", 7)
        ours = greedy_coreset(features, n_keep, start=start, groups=groups)
        theirs = greedy_coreset(features, n_keep, start=start, groups=groups, device=device)
        tensor = greedy_coreset(torch.from_numpy(features), n_keep, start=start, groups=groups)
    for other in (theirs, tensor):
        assert ours.centres.tolist() == other.centres.tolist()
        np.testing.assert_allclose(ours.radii, other.radii, rtol=1e-6)
        np.testing.assert_allclose(
            ours.min_distance_to_other_groups, other.min_distance_to_other_groups, rtol=1e-6
        )


def test_centres_are_the_same_on_real_numbers(rng, device):
    features = drawn(rng)
    ours, theirs = greedy_coreset(features, 500), greedy_coreset(features, 500, device=device)
    assert ours.centres.tolist() == theirs.centres.tolist()
    np.testing.assert_allclose(ours.radii, theirs.radii, rtol=1e-5)


def test_a_selection_continues_from_existing_centres_as_on_the_host(rng, device):
    features = drawn(rng, 3000)
    groups = np.arange(3000) // 60
    start = ExistingCentres(features[::60] + np.float32(0.01), groups[::60])
    ours = greedy_coreset(features, 200, start=start, groups=groups)
    theirs = greedy_coreset(features, 200, start=start, groups=groups, device=device)
    assert ours.centres.tolist() == theirs.centres.tolist()
    for field in ("radii", "radius_before", "min_distance_to_other_groups"):
        np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), rtol=1e-4)


def test_a_selection_goes_on_in_steps_as_on_the_host(rng, device):
    features = drawn(rng, 3000)
    groups, points = np.arange(3000) // 60, features[::60] + np.float32(0.01)
    both = [
        ContinuedSelection(features, points, 200, groups=groups, sizes=(20,), device=where)
        for where in (HOST, device)
    ]
    for selection in both:
        selection.go_on(50)
        selection.go_on(200)
    ours, theirs = (selection.coreset for selection in both)
    assert ours.centres.tolist() == theirs.centres.tolist()
    # Next to nothing is left of such small distances in single precision.
    for field in ("radii", "radius_before", "min_distance_to_other_groups"):
        np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), atol=0.02)
    for size in (20, 50):
        np.testing.assert_allclose(
            both[0].distances_to_first[size], both[1].distances_to_first[size], atol=0.02
        )


def test_approximate_centres_are_the_same(rng, device):
    features = drawn(rng, 2000)
    initial = coreset.mean_distances(features, np.arange(10))
    there = coreset.mean_distances(
        to_device_if_fits(features, device), np.arange(10), device=device
    )
    np.testing.assert_allclose(initial, there, rtol=1e-5)
    start = InitialDistances(initial)
    ours = greedy_coreset(features, 200, start=start)
    theirs = greedy_coreset(features, 200, start=start, device=device)
    assert ours.centres.tolist() == theirs.centres.tolist()


def test_starts_and_projections_are_the_same(rng, device):
    features = drawn(rng, 3000)
    for start in (coreset.row_nearest_to_mean, coreset.row_farthest_from_mean):
        assert start(features) == start(features, device=device)
    matrix = random_projection.projection_matrix("sparse", 40, 12, rng=rng)
    ours, theirs = (random_projection.project(features, matrix, device=d) for d in (HOST, device))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_the_same(rng, device, k, monkeypatch):
    monkeypatch.setattr(neighbours, "TILE_BANK_ROWS", 100)
    bank, queries = drawn(rng, 700), drawn(rng, 900)
    exclude = rng.random(700) < 0.3
    ours, theirs = ExactIndex(bank), ExactIndex(bank, device)
    there = device.put(queries)
    for excluded in (None, exclude):
        distances, rows = ours.nearest(queries, k, exclude=excluded)
        for asked in (queries, there):
            found, found_rows = theirs.nearest(asked, k, exclude=excluded)
            np.testing.assert_allclose(distances, found, rtol=1e-5)
            assert (rows == found_rows).all()
    np.testing.assert_array_equal(ours.nearest(queries)[0], ours.nearest(there)[0])


@pytest.mark.parametrize(
    "embed",
    [
        lambda maps: patch_embedding.concatenated(maps, 3),
        lambda maps: patch_embedding.concatenated(maps, 5, 2, alignment="nearest"),
        lambda maps: patch_embedding.adaptively_pooled(maps, 3, layer_dims=30, target_dims=20),
    ],
)
def test_embeddings_are_the_same(rng, place, embed):
    maps = [rng.standard_normal(s).astype(np.float32) for s in ((8, 12, 18), (16, 6, 9))]
    there = [torch.from_numpy(m).to(place) for m in maps]
    found = embed(there)
    assert found.device.type == place
    np.testing.assert_allclose(embed(maps), to_numpy(found), atol=1e-5)


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
@pytest.mark.parametrize("image_score", ["top_fraction", "reweighted", "hcw"])
def test_a_whole_detector_says_the_same(device, image_score, monkeypatch):
    recipe = PatchCore(
        backbone="efficientnet_lite0",
        image_size=128,
        bank_rows=200,
        image_score=image_score,
        projection="gaussian",
        projection_dims=16,
    )
    ours = recipe.fit(parts(5), device="cpu")
    monkeypatch.setattr("patchbank.training.recipes.open_device", lambda name: device)
    theirs = recipe.fit(parts(5), device="cuda")
    for image in (part(60), part(60, defect=9)):
        one, other = ours.predict(image), theirs.predict(image)
        assert one.score == pytest.approx(other.score, rel=1e-5)
        np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, rtol=1e-5, atol=1e-5)
    calibrations = ours.calibration, theirs.calibration
    np.testing.assert_allclose(*(c.image_scores for c in calibrations), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
def test_a_file_says_the_same_wherever_it_is_opened(place, tmp_path, monkeypatch):
    """Also one whose network runs there, too."""
    recipe = PatchCore(
        backbone=RESNET, weights=weights_file(tmp_path, RESNET), image_size=160, bank_rows=100
    )
    if place == "cpu":  # a device all the same, by tensors
        device = TorchDevice(place, tile_factor=2)
        for module in ("training.recipes", "detector.loading"):
            monkeypatch.setattr(f"patchbank.{module}.open_device", lambda name: device)
    learned = recipe.fit(parts(5), device="cuda")
    learned.save(tmp_path / "file.patchbank", backbone="torch")
    there = load(tmp_path / "file.patchbank", device="cuda")
    monkeypatch.undo()
    here = load(tmp_path / "file.patchbank", device="cpu")
    assert there.members[0].device.name.startswith(place)
    assert here.members[0].device is HOST
    for image in (part(60), part(60, defect=9)):
        results = [found.predict(image) for found in (learned, there, here)]
        for other in results[1:]:
            assert results[0].score == pytest.approx(other.score, rel=1e-4)
            np.testing.assert_allclose(
                results[0].anomaly_map, other.anomaly_map, rtol=1e-4, atol=1e-4
            )


@pytest.mark.gpu
def test_a_gpu_with_little_memory_left_computes_in_blocks():
    device, (n, d) = open_device("cuda"), (188_160, 1024)
    features = drawn(np.random.default_rng(0), n, d)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    others = torch.empty(free - 2**30, dtype=torch.uint8, device="cuda")  # other programs' memory
    assert not device.fits(features.nbytes)
    theirs = greedy_coreset(features, 100, device=device)
    index = ExactIndex(features, device)
    found, rows = index.nearest(features[: 2 * 784] + np.float32(0.01), 2)
    del others
    torch.cuda.empty_cache()  # torch would keep it for itself
    assert theirs.centres.tolist() == greedy_coreset(features, 100).centres.tolist()
    assert rows[:, 0].tolist() == list(range(len(rows)))
    assert np.isfinite(found).all()


def test_a_device_keeps_what_fits_and_no_more():
    features = np.zeros((10, 4), np.float32)  # 160 bytes
    small, large = (TorchDevice("cpu", tile_factor=1, limit_bytes=n) for n in (159, 160))
    assert isinstance(to_device_if_fits(features, small), np.ndarray)
    assert isinstance(to_device_if_fits(features, large), torch.Tensor)


def test_devices_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert open_device("cpu") is HOST
    assert open_device("auto") is HOST
    with pytest.raises(
        ParameterError, match="expected cpu, as torch finds no GPU here, got 'cuda:0'"
    ):
        open_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ParameterError, match=r"cuda:0 to cuda:1.*'cuda:2'"):
        open_device("cuda:2")
    assert open_device("cuda:1").name == "cuda:1"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), MemoryError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."), MemoryError),
        (RuntimeError("CUDA error: out of memory"), MemoryError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_memory_that_is_short_is_named_whoever_says_so(error, expected):
    with (
        pytest.raises(expected) as raised,
        TorchDevice("cpu", tile_factor=1).full_precision(),
    ):
        raise error
    assert type(raised.value) is expected
    assert (expected is not MemoryError) or str(raised.value).startswith("device cpu: CUDA")


def test_a_device_serves_one_thread_at_a_time(device):
    inside, together = [], []

    def work(number):
        with device.full_precision(), device.full_precision():  # the lock is re-entrant
            inside.append(number)
            time.sleep(0.002)
            together.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert together == [1] * 16


def test_a_device_searches_for_many_photographs_as_for_one(device, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    recipe = PatchCore(image_size=96, bank_limit=200, false_alarm_rate=0.3)
    fitted = recipe.fit(parts(4))
    model = METHODS["patchcore"].restore(recipe, fitted.members[0].model.tensors(), device)
    there = replace(fitted, members=(replace(fitted.members[0], model=model, device=device),))
    images = [part(40 + i, defect=i % 2 * 8) for i in range(8)]
    alone = [there.predict(image).score for image in images]
    assert [seen.score for seen in there.predict(images)] == alone
