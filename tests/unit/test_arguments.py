"""Arguments of public functions of another kind than asked for: one line that names them."""

from contextlib import contextmanager

import numpy as np
import pytest

from patchbank import (
    Ensemble,
    ParameterError,
    PatchCore,
    Progress,
    Router,
    check_photographs,
    compare,
    evaluate,
    find_dataset,
    fit_each,
    load,
    model_card,
    predict_to_parquet,
)
from patchbank.export import export_detector
from tests.photographs import part, parts, save

SMALL = PatchCore(image_size=64, bank_limit=60, false_alarm_rate=0.2)
DETECTOR = "a Detector, as fit and load return"
PATH = "a path"


@pytest.fixture(scope="module")
def detector():
    return SMALL.fit(parts(6))


def refusal(call):
    with pytest.raises(ParameterError) as raised:
        call()
    return str(raised.value)


@pytest.mark.parametrize(
    ("given", "found"), [(None, "NoneType"), (3, "int"), (b"a.png", "bytes"), (["a"], "list")]
)
def test_what_is_no_path_is_named(detector, tmp_path, given, found):
    seen, monitor = detector.predict(part(1), keep_image=True), detector.monitor()
    calls = {
        "path": [
            lambda: load(given),
            lambda: detector.save(given),
            lambda: detector.export(given),
            lambda: seen.save(given),
            lambda: monitor.save(given),
        ],
        "dataset": [lambda: evaluate(detector, given)],
        "root": [lambda: find_dataset(given), lambda: fit_each(given, tmp_path)],
        "out": [
            lambda: fit_each(tmp_path, given),
            lambda: predict_to_parquet(detector, tmp_path, given),
        ],
        "folder": [lambda: Router.open(given)],
    }
    for name, each in calls.items():
        for call in each:
            assert refusal(call) == f"{name}: expected a path, got {found}"
    if given is not None:
        expected = f"state: expected a path, got {found}"
        assert refusal(lambda: detector.monitor(state=given)) == expected
        expected = f"file: expected a path, got {found}"
        assert refusal(lambda: model_card(detector, given)) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [("", 'an empty text; the working directory is "."'), ("a\0b", "'a\\x00b'")],
)
def test_no_file_has_such_a_path(detector, text, found):
    for call in (load, detector.save):
        assert refusal(lambda call=call: call(text)) == f"path: expected a path, got {found}"
    assert refusal(lambda: find_dataset(text)) == f"root: expected a path, got {found}"


@pytest.mark.parametrize(("given", "found"), [("a.patchbank", "str"), (SMALL, "PatchCore")])
def test_what_is_no_detector_is_named(detector, tmp_path, given, found):
    for name, call in {
        "detector": lambda: evaluate(given, tmp_path),
        "a": lambda: compare(given, detector, [part(1)]),
        "b": lambda: compare(detector, given, [part(1)]),
        "detectors['bolts']": lambda: Router({"bolts": given}),
    }.items():
        assert refusal(call) == f"{name}: expected {DETECTOR}, got {found}"
    expected = f"detector: expected {DETECTOR}, got {found}"
    assert refusal(lambda: predict_to_parquet(given, tmp_path, tmp_path / "out")) == expected
    assert refusal(lambda: model_card(given)) == expected
    assert not (tmp_path / "out").exists()


def test_what_is_no_recipe_is_named(tmp_path):
    for given, found in (("fast", "str"), (PatchCore, "the class PatchCore")):
        expected = f"recipe: expected a recipe, such as PatchCore(), got {found}"
        assert refusal(lambda given=given: fit_each(tmp_path, tmp_path, recipe=given)) == expected
    assert refusal(lambda: Ensemble(SMALL)) == "ensemble: expected a list of recipes, got PatchCore"


@pytest.mark.parametrize(
    ("given", "found"), [(None, "None"), ("100", "'100'"), (1.5, "1.5"), (True, "True")]
)
def test_what_is_no_number_of_rows_is_named(detector, given, found):
    expected = f"bank_rows: expected an integer, 1 or more, got {found}"
    assert refusal(lambda: detector.with_bank_rows(given)) == expected


@pytest.mark.parametrize(("given", "found"), [(None, "NoneType"), (3, "int")])
def test_what_is_no_text_of_a_card_is_named(detector, given, found):
    assert (
        refusal(lambda: detector.with_card(title=given)) == f"title: expected a text, got {found}"
    )


@pytest.mark.parametrize(("given", "found"), [(None, "NoneType"), ("a.png", "str")])
def test_what_is_no_part_of_a_monitor_is_named_and_not_counted(detector, given, found):
    monitor = detector.monitor()
    expected = f"part: expected an inspection or a score, got {found}"
    assert refusal(lambda: monitor.add(given)) == expected
    assert monitor.state.parts == 0
    assert monitor.add(np.float32(0.25)).parts == 1


def test_numbers_of_numpy_are_numbers(detector):
    seen = detector.predict(part(1))
    peak = seen.anomaly_map.max()
    assert peak.dtype == np.float32
    assert detector.with_threshold(pixel_threshold=peak).predict(part(1)).pixel_threshold == peak
    assert repr(seen.explain(n_nearest=np.int64(2))) == repr(seen.explain(n_nearest=2))
    made = PatchCore(bank_rows=np.int32(50), image_size=np.array([64, 96]), seed=np.uint8(3))
    assert repr(made) == repr(PatchCore(bank_rows=50, image_size=(64, 96), seed=3))


@pytest.fixture
def good(tmp_path):
    for number in range(6):
        save(tmp_path / "good" / f"{number}.png", part(number))
    return tmp_path / "good"


@pytest.mark.filterwarnings("ignore:1 photograph is not learned, as asked")
def test_one_name_to_exclude_needs_no_list(good):
    expected = SMALL.fit(good, exclude=["2.png"])
    assert expected != SMALL.fit(good)
    for given in ("2.png", good / "2.png", [good / "2.png"], iter(["2.png"])):
        assert SMALL.fit(good, exclude=given) == expected


@pytest.mark.parametrize(("given", "found"), [(3, "int"), ([3], "int"), (None, "NoneType")])
def test_what_names_no_photograph_is_refused(good, given, found):
    expected = f"exclude: expected names of photographs, got {found}"
    assert refusal(lambda: SMALL.fit(good, exclude=given)) == expected


class Heard:
    """A listener of a user's own."""

    def __init__(self):
        self.tasks, self.notes = {}, []

    @contextmanager
    def task(self, title, total):
        self.tasks[title] = 0

        def advance(steps):
            self.tasks[title] += steps

        yield advance

    def note(self, text):
        self.notes.append(text)


def test_an_object_with_two_methods_hears_the_steps(good):
    heard = Heard()
    assert isinstance(heard, Progress)
    SMALL.fit(good, progress=heard)
    assert 6 in heard.tasks.values()


@pytest.mark.parametrize(
    ("given", "found"), [(print, "builtin_function_or_method"), (True, "bool")]
)
def test_what_cannot_listen_is_refused_before_any_work(detector, good, tmp_path, given, found):
    expected = (
        "progress: expected an object with the methods task and note (patchbank.Progress), or "
        f"None, got {found}"
    )
    for call in (
        lambda: SMALL.fit(good, progress=given),
        lambda: detector.updated(good, progress=given),
        lambda: evaluate(detector, good, progress=given),
        lambda: compare(detector, detector, [part(1)], progress=given),
        lambda: check_photographs(good, progress=given),
        lambda: predict_to_parquet(detector, good, tmp_path / "out", progress=given),
        lambda: fit_each(tmp_path, tmp_path / "each", progress=given),
        lambda: export_detector(detector, tmp_path / "a.onnx", progress=given),
    ):
        assert refusal(call) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good"]
