"""Change after the fit: another false-alarm rate, thresholds by hand, from Python and commands."""

import json
import re

import numpy as np
import pytest

from patchbank import Ensemble, PaDiM, ParameterError, PatchCore, load
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.changes import check_thresholds
from tests import command_line
from tests.photographs import part, parts, save

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
SMALL = {"image_size": 64, "false_alarm_rate": 0.2}


@pytest.fixture(scope="module")
def detector():
    return PatchCore(bank_rows=100, banks="joint", **SMALL).fit(parts(9))


@pytest.fixture(scope="module")
def of_one():
    return PatchCore(**SMALL).fit([part(0)])


@pytest.fixture
def file(detector, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    return tmp_path / "a.patchbank"


@pytest.fixture
def run(capsys):
    """Run `patchbank` and return its status and lines."""

    def in_lines(*arguments):
        status, out, err = command_line.run(capsys, *arguments)
        return status, out.splitlines(), err.splitlines()

    return in_lines


def test_another_rate_gives_the_thresholds_of_a_fit_at_that_rate(detector):
    fitted = PatchCore(bank_rows=100, banks="joint", **{**SMALL, "false_alarm_rate": 0.05}).fit(
        parts(9)
    )
    changed = detector.with_false_alarm_rate(0.05)
    assert changed == fitted
    assert changed.calibration.threshold > detector.calibration.threshold
    assert changed.calibration.pixel_threshold == fitted.calibration.pixel_threshold
    assert changed.members[0].settings == fitted.members[0].settings
    assert changed.with_false_alarm_rate(0.2) == detector


def test_verdict_p_value_and_json_follow_the_threshold_in_use(detector):
    odd = part(3, defect=9)
    before = detector.predict(odd)
    assert before.is_anomalous
    by_hand = detector.with_threshold(before.score, before.score + 1).predict(odd)
    assert not by_hand.is_anomalous
    assert by_hand.to_json()["threshold"] == before.score
    assert by_hand.pixel_threshold == before.score + 1
    assert by_hand.regions == ()
    assert by_hand.p_value == before.p_value
    stricter = detector.with_false_alarm_rate(1e-9).predict(odd)
    assert stricter.to_json()["threshold"] > before.threshold
    assert stricter.is_anomalous == (stricter.p_value <= 1e-9)


def test_one_threshold_by_hand_leaves_the_other(detector):
    image = detector.with_threshold(50.0).calibration
    assert (image.threshold, image.pixel_threshold) == (50.0, detector.calibration.pixel_threshold)
    pixels = detector.with_threshold(pixel_threshold=60).calibration
    assert (pixels.threshold, pixels.pixel_threshold) == (detector.calibration.threshold, 60.0)
    both = detector.with_threshold(50.0).with_threshold(pixel_threshold=np.float64(60))
    assert (both.calibration.threshold, both.calibration.pixel_threshold) == (50.0, 60.0)
    assert type(both.calibration.pixel_threshold) is float
    assert both.with_false_alarm_rate(0.2) == detector


def test_nothing_to_change_is_the_same_detector(detector):
    assert detector.with_threshold() is detector


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan"), float("inf"), True, "0.1", None])
def test_a_rate_that_is_none_is_named(detector, rate):
    if rate is None:  # as `load` leaves it
        assert detector.with_false_alarm_rate(rate) is detector
        return
    with pytest.raises(ParameterError, match=r"^false_alarm_rate: expected a number, more than 0"):
        detector.with_false_alarm_rate(rate)


def test_one_photograph_above_a_threshold_is_told_as_by_fit(detector, file, run):
    """The second highest score as threshold leaves one photograph above it."""
    highest, second = np.sort(detector.calibration.image_scores)[:-3:-1]
    name = detector.fitted_on[int(np.argmax(detector.calibration.image_scores))]
    before = len(detector.calibration.above_threshold)
    status, lines, _ = run("tune", file, "--threshold", repr(float(second)))
    was = "" if before == 1 else f" (before: {before or 'none'})"
    assert status == 0
    assert lines[-1] == (
        f"  1 of 9 photographs lies above the threshold when left out: {name} {highest:.4g}{was}"
    )


def test_a_rate_says_how_percent_are_written(detector):
    with pytest.raises(ParameterError, match=r"less than 1 \(0\.05 for 5 %\), got 5$"):
        detector.with_false_alarm_rate(5)


def test_a_rate_that_no_score_can_reach_is_refused(detector):
    refused = (
        r"^false_alarm_rate: expected one whose threshold is less than 1e\+30, got 1e-320, whose"
    )
    with pytest.raises(ParameterError, match=refused):
        detector.with_false_alarm_rate(1e-320)
    with pytest.raises(ParameterError, match=refused):
        PatchCore(bank_rows=100, **{**SMALL, "false_alarm_rate": 1e-320}).fit(parts(9))
    assert detector.with_false_alarm_rate(1e-6).calibration.threshold < 1e30


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, -1e31, True, "9", [9.0]])
@pytest.mark.parametrize("name", ["threshold", "pixel_threshold"])
def test_a_threshold_that_is_none_is_named(detector, name, value):
    with pytest.raises(ParameterError, match=f"^{name}: expected a number, more than"):
        detector.with_threshold(**{name: value})


@pytest.mark.parametrize("value", [0, -3.5])
@pytest.mark.parametrize("name", ["threshold", "pixel_threshold"])
def test_a_threshold_below_all_scores_is_refused(detector, name, value):
    with pytest.raises(ParameterError, match=f"^{name}: expected more than 0, .* got {value}; e"):
        detector.with_threshold(**{name: value})


def test_scores_of_an_ensemble_and_its_thresholds_may_be_negative():
    recipes = [PatchCore(bank_rows=50, **SMALL), PaDiM(**SMALL)]
    both = Ensemble(recipes).fit(parts(6))
    origin = both.calibration.score_origin
    assert origin < -1
    assert both.with_threshold(-1.0).predict(part(2, defect=9)).threshold == -1.0
    with pytest.raises(ParameterError, match=f"threshold: expected more than {origin:.4g}"):
        both.with_threshold(origin)
    changed = both.with_false_alarm_rate(0.1)
    assert [member.settings.false_alarm_rate for member in changed.members] == [0.1, 0.1]


def test_one_photograph_gives_no_rate_but_takes_a_threshold(of_one):
    with pytest.raises(ParameterError, match="two good photographs or more, got one of a single"):
        of_one.with_false_alarm_rate(0.1)
    assert of_one.with_threshold(77.5).predict(part(1)).threshold == 77.5


def test_changes_are_saved_and_opened(detector, tmp_path):
    changed = detector.with_false_alarm_rate(0.07).with_threshold(pixel_threshold=31.5)
    changed.save(tmp_path / "b.patchbank")
    opened = load(tmp_path / "b.patchbank", device="cpu")
    assert opened == changed
    assert opened.calibration.false_alarm_rate == 0.07
    assert opened.calibration.pixel_threshold == 31.5


def test_a_file_is_opened_with_other_thresholds(detector, file):
    assert load(file, false_alarm_rate=0.05) == detector.with_false_alarm_rate(0.05)
    assert load(file, threshold=40, pixel_threshold=41) == detector.with_threshold(40, 41)
    mixed = load(file, false_alarm_rate=0.05, pixel_threshold=41).calibration
    assert mixed.threshold == detector.calibration.threshold_at(0.05)
    assert mixed.pixel_threshold == 41


def test_contradictions_and_unknown_names_are_refused_before_the_file_is_read(tmp_path):
    nothing = tmp_path / "nothing.patchbank"
    with pytest.raises(ParameterError, match="^threshold: expected without false_alarm_rate"):
        load(nothing, false_alarm_rate=0.05, threshold=40)
    with pytest.raises(ParameterError, match="^treshold: expected one of false_alarm_rate, thr"):
        load(nothing, treshold=40)
    with pytest.raises(ParameterError, match="^pixel_threshold: expected a number"):
        check_thresholds({"pixel_threshold": "x"})


def test_the_rate_is_that_of_the_smaller_bank(detector, file):
    smaller = detector.with_bank_rows(32)
    opened = load(file, bank_rows=32, false_alarm_rate=0.05)
    assert opened == smaller.with_false_alarm_rate(0.05)
    assert opened == detector.with_false_alarm_rate(0.05).with_bank_rows(32)
    assert opened.calibration.threshold != detector.calibration.threshold_at(0.05)
    assert opened.bank_sizes == smaller.bank_sizes
    assert load(file, bank_rows=32, threshold=40).calibration.threshold == 40


def test_a_smaller_bank_has_the_rate_that_the_threshold_by_hand_had(detector, tmp_path, caplog):
    by_hand = detector.with_threshold(detector.calibration.threshold_at(0.5))
    by_hand.save(tmp_path / "b.patchbank")
    smaller = load(tmp_path / "b.patchbank", bank_rows=32)
    assert "thresholds that were set by hand are those of the whole bank" in caplog.text
    assert smaller.calibration.false_alarm_rate == pytest.approx(0.5, abs=0.01)
    assert smaller.members[0].settings.false_alarm_rate == smaller.calibration.false_alarm_rate
    assert not smaller.calibration.is_set_by_hand


def test_tune_replaces_the_file_and_prints_before_and_after(detector, file, run):
    status, out, err = run("tune", file, "--false-alarm-rate", 0.5)
    after = detector.with_false_alarm_rate(0.5)
    assert (status, err) == (0, [])
    assert load(file, device="cpu") == after
    old, new = detector.calibration, after.calibration
    assert out[0] == (
        f"{file}: threshold {old.threshold:.4g} -> {new.threshold:.4g}, pixel threshold "
        f"{old.pixel_threshold:.4g} -> {new.pixel_threshold:.4g}"
    )
    assert out[1] == "  false alarms 20 % -> 50 %"
    assert out[2].startswith("  at most 30 % on average, whatever good parts look like -> at most")
    assert out[3].startswith(f"  {len(new.above_threshold)} of 9 photographs lie above the thres")
    assert out[3].endswith(f" (before: {len(old.above_threshold)})")
    first = new.above_threshold[0]
    assert f"{after.fitted_on[first]} {new.image_scores[first]:.4g}" in out[3]
    assert len(out) == 4


def test_tune_writes_another_file_and_leaves_the_first(detector, file, run, tmp_path):
    content = file.read_bytes()
    out = tmp_path / "b.patchbank"
    status, lines, err = run("tune", file, "--threshold", 40, "--pixel-threshold", 41, "--out", out)
    assert (status, err) == (0, [])
    assert file.read_bytes() == content
    assert load(out, device="cpu") == detector.with_threshold(40, 41)
    expected = 100 * detector.with_threshold(40).calibration.expected_rate
    assert lines[1] == f"  false alarms 20 % -> {expected:.3g} % expected (set by hand)"
    assert lines[2].endswith("-> no bound, as the threshold was set by hand")


def test_tune_of_a_single_photograph_takes_thresholds_only(of_one, run, tmp_path):
    path = tmp_path / "one.patchbank"
    of_one.save(path)
    content = path.read_bytes()
    status, out, err = run("tune", path, "--false-alarm-rate", 0.1)
    assert (status, out, path.read_bytes()) == (2, [], content)
    assert err[0].startswith("error: false_alarm_rate: expected a detector of two good photographs")
    status, out, err = run("tune", path, "--threshold", 99.5)
    assert status == 0
    assert out[1:] == ["  false alarms not known"]
    assert load(path).calibration.threshold == 99.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected --false-alarm-rate, --threshold or --pixel-threshold, got none of them"),
        (["--false-alarm-rate", "5"], "false_alarm_rate: expected a number, more than 0 and less"),
        (["--false-alarm-rate", "five"], "false_alarm_rate: expected a number, .* got 'five'"),
        (["--threshold", "nan"], "threshold: expected a number, .* got nan"),
        (["--threshold", "-4"], "threshold: expected more than 0"),
        (["--pixel-threshold", "0"], "pixel_threshold: expected more than 0"),
        (["--threshold", "9", "--false-alarm-rate", "0.1"], "threshold: expected without false_al"),
        (["--threshold", "9", "--out", "SELF"], "--out: expected a file of its own"),
        (
            ["--threshold", "9", "--out", "nowhere/b.patchbank"],
            "--out: expected a file in a",
        ),
        (["--threshold", "9", "--sha256", "0" * 64], "expected the file with the sha256 0000"),
    ],
)
def test_tune_refuses_in_one_line_and_changes_nothing(file, run, options, message):
    content = file.read_bytes()
    arguments = [str(file) if option == "SELF" else option for option in options]
    status, out, err = run("tune", file, *arguments)
    assert (status, out, len(err)) == (2, [], 1)
    assert re.search(message, err[0])
    assert file.read_bytes() == content


def test_predict_and_evaluate_take_the_same_options(detector, file, run, tmp_path):
    good, odd = save(tmp_path / "g.png", part(50)), save(tmp_path / "o.png", part(51, defect=9))
    score = detector.predict(odd).score
    _, out, _ = run("predict", file, good, odd, "--threshold", score, "--json", "-")
    lines = [json.loads(line) for line in out]
    assert [line["anomalous"] for line in lines] == [False, False]
    assert {line["threshold"] for line in lines} == {score}
    _, out, _ = run("predict", file, odd, "--false-alarm-rate", 0.05, "--json", "-")
    assert json.loads(out[0])["threshold"] == detector.calibration.threshold_at(0.05)
    status, out, err = run("predict", file, odd, "--false-alarm-rate", 0.05, "--threshold", 3)
    assert (status, err) == (2, ["error: threshold: expected without false_alarm_rate, got both"])


def test_info_says_that_a_threshold_was_set_by_hand(file, run):
    run("tune", file, "--threshold", 40)
    facts = json.loads("".join(run("info", file, "--json", "-")[1]))
    assert facts["threshold"] == 40
    assert facts["threshold_from"] == "set by hand; that of pixels: good images left out"
    run("tune", file, "--pixel-threshold", 41)
    facts = json.loads("".join(run("info", file, "--json", "-")[1]))
    assert (facts["pixel_threshold"], facts["threshold_from"]) == (41, "set by hand")


def test_a_file_with_ranks_gets_the_rule_of_this_version(detector):
    old = detector.calibration
    ranks = Calibration(old.image_scores, old.map_peaks, 0.2, rule="ranks")
    assert ranks.with_false_alarm_rate(0.2).rule == "tail"
    assert ranks.with_threshold(50.0).rule == "ranks"
