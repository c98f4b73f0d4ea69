"""A bank is cut when it is loaded: the bank, and the threshold, of a smaller fit."""

import json
from dataclasses import replace

import numpy as np
import pytest

from patchbank import Ensemble, GraphCore, PaDiM, ParameterError, PatchCore, load
from patchbank.cli import main
from patchbank.cli.fit import save as save_detector
from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.detector import latency
from patchbank.detector.latency import latency_ms, remembered_within_latency, within_latency
from patchbank.errors import DetectorFileError, ShapeError
from patchbank.runtime.remembered import cache_folder, remembered
from tests.photographs import part, parts, save

SMALL = {"image_size": 64, "false_alarm_rate": 0.2}


@pytest.fixture(scope="module")
def detector():
    return PatchCore(bank_rows=100, **SMALL).fit(parts(8))


def bank_of(detector):
    return detector.members[0].model.bank


@pytest.mark.parametrize("recipe", [PatchCore, GraphCore])
@pytest.mark.parametrize("options", [{}, {"n_neighbours": 2}, {"projection": "gaussian"}])
def test_a_cut_bank_is_that_of_a_smaller_fit(recipe, options):
    images = parts(8, size=(96, 128))
    whole = recipe(bank_rows=100, **SMALL, **options).fit(images)
    small = recipe(bank_rows=32, **SMALL, **options).fit(images)

    cut = whole.with_bank_rows(32)

    assert (bank_of(cut) == bank_of(small)).all()
    for name in ("image_scores", "map_peaks"):
        ours, theirs = (getattr(d.calibration, name) for d in (cut, small))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    odd = part(3, size=(96, 128), defect=9)
    assert cut.predict(odd).score == pytest.approx(small.predict(odd).score, rel=1e-6)
    assert cut.predict(odd).threshold != whole.predict(odd).threshold


def test_between_two_sizes_the_threshold_errs_on_the_safe_side(detector):
    exact = PatchCore(bank_rows=50, **SMALL).fit(parts(8))
    cut = detector.with_bank_rows(50)
    assert len(bank_of(cut)) == 50
    assert cut.calibration.image_scores.tolist() == (
        detector.with_bank_rows(32).calibration.image_scores.tolist()
    )
    assert cut.calibration.threshold >= exact.calibration.threshold


def test_a_cut_bank_can_be_saved_and_cut_again(detector, tmp_path):
    detector.save(tmp_path / "whole.patchbank")
    load(tmp_path / "whole.patchbank", bank_rows=50).save(tmp_path / "cut.patchbank")
    again = load(tmp_path / "cut.patchbank", bank_rows=16)
    straight = load(tmp_path / "whole.patchbank", bank_rows=16)
    assert again.bank_sizes == straight.bank_sizes
    assert again.calibration.threshold == straight.calibration.threshold
    assert (bank_of(again) == bank_of(straight)).all()
    assert load(tmp_path / "whole.patchbank", bank_rows=100).bank_sizes == detector.bank_sizes


def test_sizes_that_were_not_calibrated_are_named(detector):
    assert detector.bank_sizes == (8, 16, 32, 64, 100)
    for rows in (7, 101):
        with pytest.raises(ParameterError, match=f"bank_rows: expected 8 to 100 .* got {rows}"):
            detector.with_bank_rows(rows)


@pytest.mark.parametrize(
    "recipe",
    [
        PaDiM(**SMALL),
        PatchCore(selection="random", bank_rows=50, **SMALL),
        pytest.param(PatchCore(index="hnsw", bank_rows=50, **SMALL), marks=pytest.mark.approximate),
        Ensemble([PatchCore(bank_rows=50, **SMALL), PaDiM(**SMALL)]),
    ],
    ids=["no bank", "random", "approximate", "ensemble"],
)
def test_what_cannot_be_cut_says_so(recipe):
    detector = recipe.fit(parts(6))
    with pytest.raises(ParameterError, match="expected a detector whose bank can be truncated"):
        detector.with_bank_rows(20)


def test_a_model_that_is_not_nested_refuses():
    model = PatchCore(selection="random", bank_rows=50, **SMALL).fit(parts(6)).members[0].model
    with pytest.raises(ParameterError, match="expected a bank that was selected greedily"):
        model.truncated(20)


@pytest.mark.approximate
def test_a_model_with_an_approximate_index_refuses():
    model = PatchCore(index="hnsw", bank_rows=50, **SMALL).fit(parts(6)).members[0].model
    with pytest.raises(ParameterError, match="expected the exact index, got 'hnsw'"):
        model.truncated(20)


def test_a_calibration_of_several_sizes_is_checked():
    scores = np.ones((2, 3))
    with pytest.raises(ShapeError, match="expected ascending sizes"):
        BankSizeCalibration(np.array([5, 5]), scores, scores)
    with pytest.raises(ShapeError, match=r"expected two arrays \(3, n\)"):
        BankSizeCalibration(np.array([5, 6, 7]), scores, scores)


class Clock:
    """Says that a photograph takes 10 ms, and 0.1 ms for each row of the bank."""

    def __init__(self, monkeypatch):
        self.asked = []
        monkeypatch.setattr(latency, "latency_ms", self)

    def __call__(self, detector):
        rows = len(bank_of(detector))
        self.asked.append(rows)
        return 10 + 0.1 * rows


@pytest.mark.parametrize("budget_ms", [11, 13, 15.5, 19.9])
def test_a_budget_is_used_up_and_kept(detector, budget_ms, monkeypatch):
    clock = Clock(monkeypatch)
    rows = len(bank_of(within_latency(detector, budget_ms)))
    assert 0.85 * budget_ms <= 10 + 0.1 * rows <= budget_ms
    assert len(clock.asked) < 9


def test_a_budget_that_is_met_already_cuts_nothing(detector, monkeypatch):
    Clock(monkeypatch)
    assert within_latency(detector, 20) is detector


def test_a_budget_that_cannot_be_met_is_named(detector, monkeypatch):
    Clock(monkeypatch)
    with pytest.raises(ParameterError, match=r"expected at least 10\.8 ms, .* \(8 rows\), got 5;"):
        within_latency(detector, 5)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="expected milliseconds above 0"):
            within_latency(detector, wrong)


def test_the_latency_is_that_of_one_image_at_the_image_size(detector, monkeypatch):
    shapes = []

    class Slow(type(detector.members[0])):
        def predict(self, image, part):
            shapes.append(image.shape)

    slow = replace(
        detector,
        members=(
            Slow(
                **{
                    name: getattr(detector.members[0], name)
                    for name in detector.members[0].__slots__
                }
            ),
        ),
    )
    assert latency_ms(slow) > 0
    assert set(shapes) == {(64, 64, 3)}


def test_on_the_command_line(detector, tmp_path, capsys, monkeypatch):
    file, photograph = tmp_path / "parts.patchbank", tmp_path / "odd.png"
    detector.save(file)
    save(photograph, part(3, defect=9))

    def run(*options):
        monkeypatch.setattr(
            "sys.argv", ["patchbank", "predict", str(file), str(photograph), *options]
        )
        status = 0
        try:
            main()
        except SystemExit as leaving:
            status = leaving.code
        return status or 0, capsys.readouterr()

    _, whole = run("--json", "-")
    _, cut = run("--json", "-", "--bank-rows", "16")
    expected = detector.with_bank_rows(16).calibration.threshold
    assert json.loads(cut.out)["threshold"] == pytest.approx(expected)
    assert json.loads(whole.out)["threshold"] == pytest.approx(detector.calibration.threshold)
    Clock(monkeypatch)
    status, budget = run("--latency-budget", "15")
    assert status == 0
    assert "rows of the bank are used, for 15 ms" in budget.err
    status, both = run("--latency-budget", "15", "--bank-rows", "16")
    assert status == 2
    assert both.err == "error: bank_rows: expected without latency_budget, got both\n"


class Wavering:
    """Says that a photograph takes another time whenever it is measured."""

    def __init__(self, monkeypatch):
        self.calls = 0
        monkeypatch.setattr(latency, "latency_ms", self)

    def __call__(self, detector):
        self.calls += 1
        return (10 + 0.1 * len(bank_of(detector))) * (1 + 0.02 * (self.calls % 7))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A machine on which nothing was measured yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_budget_gives_the_same_bank_again(detector, cache, tmp_path, monkeypatch):
    file = tmp_path / "parts.patchbank"
    detector.save(file)
    wavering = Wavering(monkeypatch)
    first = load(file, latency_budget_ms=15)
    measured = wavering.calls
    assert measured > 0
    again = load(file, latency_budget_ms=15)
    assert wavering.calls == measured
    assert bank_of(again).tolist() == bank_of(first).tolist()
    assert again.calibration.threshold == first.calibration.threshold
    remembered_within_latency(detector, 15)
    assert wavering.calls == measured
    load(file, latency_budget_ms=16)
    assert wavering.calls > measured


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processor", "another"),
        ("usable_cores", 99),
        ("versions", {"patchbank": "99"}),
    ],
)
def test_what_changes_the_time_is_measured_anew(detector, cache, monkeypatch, name, value):
    wavering = Wavering(monkeypatch)
    remembered_within_latency(detector, 15)
    measured = wavering.calls
    monkeypatch.setattr(latency, name, lambda: value)
    remembered_within_latency(detector, 15)
    assert wavering.calls > measured


def test_the_first_measurement_counts_where_two_measure_at_once(cache):
    facts = {"a": 1}

    def slower():
        assert remembered("latency", facts, lambda: 20) == 20
        return 30

    assert remembered("latency", facts, slower) == 20


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"number": "x"}', b'{"number": true}'])
def test_a_damaged_memory_is_replaced(cache, content):
    remembered("latency", {"a": 1}, lambda: 20)
    (path,) = (path for path in cache.rglob("*.json"))
    path.write_bytes(content)
    assert remembered("latency", {"a": 1}, lambda: 30) == 30
    assert remembered("latency", {"a": 1}, lambda: 40) == 30


def test_without_a_place_nothing_is_remembered(cache):
    cache.write_text("a file where the folder should be")
    assert remembered("latency", {"a": 1}, lambda: 20) == 20
    assert remembered("latency", {"a": 1}, lambda: 30) == 30


def test_a_user_without_a_home_gets_no_folder_of_that_name(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == tmp_path / "patchbank"


def run(capsys, monkeypatch, *arguments):
    """Run the command line.  -> status, standard output, standard error."""
    monkeypatch.setattr("sys.argv", ["patchbank", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        main()
    return leaving.value.code, *capsys.readouterr()


def test_a_cut_lasts(detector, tmp_path, capsys, monkeypatch):
    file, small = tmp_path / "parts.patchbank", tmp_path / "small.patchbank"
    detector.save(file)
    status, out, err = run(capsys, monkeypatch, "cut", file, "--bank-rows", 16, "--out", small)
    assert (status, err) == (0, "")
    assert "bank_rows 16" in out
    expected, found = detector.with_bank_rows(16), load(small)
    assert found.sha256 == expected.sha256
    image = part(3, defect=9)
    assert found.predict(image).score == expected.predict(image).score
    assert found.predict(image).threshold == expected.predict(image).threshold
    assert load(file).sha256 == detector.sha256
    smaller = tmp_path / "smaller.patchbank"
    assert run(capsys, monkeypatch, "cut", small, "--bank-rows", 8, "--out", smaller)[0] == 0
    assert len(bank_of(load(smaller))) == 8


def test_a_fit_is_not_lost_when_its_place_is_gone_at_the_end(detector, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    with pytest.raises(DetectorFileError, match="; the detector is saved as .* instead") as caught:
        save_detector(detector, tmp_path / "gone" / "a.patchbank", "onnx")
    (path,) = elsewhere.glob("*/a.patchbank")
    assert str(path) in str(caught.value)
    assert load(path).sha256 == detector.sha256


def test_a_cut_to_a_time_lasts(detector, cache, tmp_path, capsys, monkeypatch):
    file, small = tmp_path / "parts.patchbank", tmp_path / "small.patchbank"
    detector.save(file)
    Clock(monkeypatch)
    assert run(capsys, monkeypatch, "cut", file, "--latency-budget", 15, "--out", small)[0] == 0
    assert bank_of(load(small)).tolist() == bank_of(load(file, latency_budget_ms=15)).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "bank_rows: expected --bank-rows or --latency-budget, got neither"),
        (["--bank-rows", "7"], "bank_rows: expected 8 to "),
        (["--bank-rows", "100000"], "bank_rows: expected 8 to "),
        (["--bank-rows", "9", "--latency-budget", "9"], "expected without latency_budget"),
    ],
)
def test_a_cut_that_cannot_be_made_writes_nothing(
    detector, tmp_path, capsys, monkeypatch, options, message
):
    file, small = tmp_path / "parts.patchbank", tmp_path / "small.patchbank"
    detector.save(file)
    status, out, err = run(capsys, monkeypatch, "cut", file, *options, "--out", small)
    assert (status, out) == (2, "")
    assert message in err
    assert not small.exists()


def test_a_detector_without_a_bank_may_keep_to_a_budget_too(tmp_path, capsys, monkeypatch):
    file, photograph = tmp_path / "parts.patchbank", tmp_path / "odd.png"
    PaDiM(**SMALL).fit(parts(6)).save(file)
    save(photograph, part(3, defect=9))
    monkeypatch.setattr(latency, "latency_ms", lambda detector: 10.0)
    line = ["patchbank", "predict", str(file), str(photograph), "--latency-budget"]
    monkeypatch.setattr("sys.argv", [*line, "20"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.argv", [*line, "5"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "expected a detector whose bank can be truncated" in capsys.readouterr().err
