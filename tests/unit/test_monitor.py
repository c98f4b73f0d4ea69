"""The monitor of a detector in use: what it counts, what raises the alarm, and its file."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.monitor import MORE_FLAGGED, Change, Monitor, learned_streams
from patchbank.errors import DataError, ParameterError
from tests import painted
from tests.painted import CALIBRATION, photograph

GOOD = 20 * np.exp(0.1 * np.random.default_rng(0).standard_normal(60))
LEARNED = Calibration(GOOD, GOOD, 0.05, rule="tail")
SHA256 = "5eed" * 16


def detector(calibration=CALIBRATION, sha256=SHA256):
    """A painted detector, which no file can hold, with a digest as one in a file has it."""
    return replace(painted.detector(calibration=calibration), content_sha256=sha256)


def monitor(calibration=LEARNED, rate=0.01):
    return Monitor(calibration, SHA256, rate)


def scores(seed, n, shift=0.0):
    """Scores of good parts as the learned ones; `shift` is in their standard deviations."""
    return (20 * np.exp(0.1 * (np.random.default_rng(seed).standard_normal(n) + shift))).tolist()


def after(watch, values):
    """The state after some scores."""
    for value in values:
        state = watch.add(value)
    return state


def test_parts_are_counted_by_their_outcome():
    used = detector()
    watch = used.monitor()
    for each in used.inspect([photograph(50), photograph(100), photograph(101), "none.png"]):
        state = watch.add(each)
    assert (state.parts, state.passed, state.flagged, state.failed) == (4, 2, 1, 1)
    assert not state.alarm


def test_a_score_that_is_no_number_never_passes():
    assert monitor().add(math.nan).flagged == 1


def test_an_inspection_of_another_detector_is_refused():
    calibration = Calibration(CALIBRATION.image_scores, CALIBRATION.map_peaks, 0.5)
    other = detector(calibration=calibration)
    inspection = other.predict(photograph(50))
    with pytest.raises(ParameterError, match="expected one of this detector, with the threshold"):
        detector().monitor().add(inspection)


@pytest.mark.parametrize("rate", [0, 1, -0.1, math.nan])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ParameterError, match="false_alarm_rate: expected more than 0"):
        detector().monitor(rate)


def test_parts_like_the_learned_ones_raise_no_alarm():
    state = after(monitor(), scores(1, 1500))
    assert state.passed > 1300
    assert state.change is None
    assert state.more_flagged is None
    assert state.evidence < 2


def test_a_change_is_found_and_stays_the_same():
    watch = monitor()
    state = after(watch, scores(2, 600) + scores(3, 200, shift=0.8))
    assert state.change is not None
    assert 600 < state.change.part < 740
    assert 580 <= state.change.since <= 620
    assert state.change.direction == "higher"
    assert after(watch, scores(4, 300)).change == state.change


def test_parts_that_were_not_inspected_have_numbers_too():
    watch = monitor()
    for value in scores(2, 300):
        watch.add(FailedInspection("a.png", "unread"))
        watch.add(value)
    state = after(watch, scores(3, 100, shift=1.5))
    assert state.failed == 300
    assert 560 <= state.change.since <= 620


def test_a_bad_lot_is_no_change_of_good_parts():
    """One in four parts is a defect; those that pass are as before."""
    rng = np.random.default_rng(7)
    bad = [40.0 if rng.random() < 0.25 else score for score in scores(5, 400)]
    state = after(monitor(), scores(6, 400) + bad)
    assert state.change is None
    assert state.more_flagged is not None
    assert 380 <= state.more_flagged.since <= 440
    assert state.more_flagged.direction == MORE_FLAGGED


def test_parts_that_all_change_beyond_the_threshold_raise_the_alarm():
    state = after(monitor(), [40.0] * 30)
    assert state.passed == 0
    assert state.evidence == 0
    assert state.more_flagged is not None
    assert state.more_flagged.since == 1
    assert state.more_flagged.part <= 15


def test_parts_that_differ_from_the_learned_ones_from_the_first_are_found():
    state = after(monitor(), scores(8, 200, shift=1.5))
    assert state.change is not None
    assert state.change.direction == "higher"
    assert state.change.since <= 5


def test_left_out_scores_that_are_too_high_raise_no_alarm():
    """Left-out scores of a cut bank are: parts that score lower from the first on may be good."""
    assert after(monitor(), scores(8, 500, shift=-1.5)).change is None


def test_a_rarer_alarm_needs_more_evidence():
    stream = scores(2, 600) + scores(3, 200, shift=0.8)
    often, rare = (after(monitor(rate=rate), stream).change for rate in (0.05, 1e-6))
    assert often.part < rare.part
    assert monitor(rate=0.001).alarm_line == pytest.approx(3)


def test_a_score_that_is_the_threshold_counts_as_above_it():
    """Ranks: with nine scores and a rate of 0.2 the threshold is the second highest, 8."""
    nine = Calibration(np.arange(1.0, 10), np.arange(1.0, 10), 0.2)
    passed, flags = learned_streams(nine, 0)
    assert passed.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert flags.tolist() == [1, 1, 1] + [0] * 7  # two above, and one more as in a p-value


def test_a_threshold_between_the_scores_removes_none_below_it():
    by_hand = Calibration(np.arange(1.0, 10), np.arange(1.0, 10), 0.2).with_threshold(7.5)
    passed, flags = learned_streams(by_hand, 0)
    assert passed.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert flags.sum() == 3


def test_one_photograph_stands_for_its_group():
    groups = np.repeat(np.arange(20, dtype=np.int32), 3)
    values = 10.0 * groups + np.tile([1.0, 2.0, 3.0], 20)
    grouped = Calibration(values, values, 0.1, groups=groups).with_threshold(1e3)
    passed, flags = learned_streams(grouped, 5)
    assert (passed // 10).tolist() == list(range(20))
    assert set(passed % 10) == {1, 2, 3}  # not always the first one
    assert len(flags) == 21


def test_one_learned_photograph_is_no_reference():
    views = Calibration(GOOD, GOOD, 0.05, views_of_one=True)
    assert [len(stream) for stream in learned_streams(views, 0)] == [0, 0]
    watch = monitor(views)
    assert after(watch, scores(1, 300, shift=-3)).change is None  # nothing to compare with
    assert after(watch, scores(1, 100, shift=-5)).change is not None


def test_a_monitor_that_was_saved_goes_on_as_if_it_had_not_been(tmp_path):
    path = tmp_path / "bolts.monitor.json"
    used = detector()
    stream = [float(score) for score in np.random.default_rng(3).integers(50, 110, 200)]
    whole, first = used.monitor(), used.monitor(state=path)
    for score in stream[:120]:
        whole.add(score)
        first.add(score)
    first.save(path)
    second = used.monitor(state=path)
    assert second.state == first.state
    for score in [*stream[120:], 70.0, *[101.0] * 40]:
        assert second.add(score) == whole.add(score)
    assert second.to_json() == whole.to_json()
    assert second.state.more_flagged is not None
    second.save(path)
    assert used.monitor(state=path).state == whole.state


def test_a_monitor_goes_on_from_its_parsed_json():
    watch, again = monitor(), monitor()
    after(watch, scores(3, 40, 1.0))
    again.restore(json.loads(json.dumps(watch.to_json())), "records")
    assert again.to_json() == watch.to_json()
    assert after(again, scores(4, 20, 1.0)) == after(watch, scores(4, 20, 1.0))
    with pytest.raises(DataError, match="^records: expected a monitor with detector_sha256"):
        Monitor(LEARNED, "0" * 64, 0.01).restore(watch.to_json(), "records")
    for damaged in ({}, None, {**watch.to_json(), "parts": -1}):
        with pytest.raises(DataError, match="^records: expected a saved monitor, got a damaged"):
            monitor().restore(damaged, "records")


def test_a_saved_monitor_is_for_its_detector_and_rate(tmp_path):
    path = tmp_path / "monitor.json"
    detector().monitor().save(path)
    with pytest.raises(DataError, match="expected a monitor with false_alarm_rate 0.05, got 0.01"):
        detector().monitor(0.05, state=path)
    other = detector(sha256="0ff1ce" * 10 + "beef")
    with pytest.raises(DataError, match="expected a monitor with detector_sha256"):
        other.monitor(state=path)


def damage(state, *keys, value):
    """The state with another value below these keys."""
    inner = state
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return state


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("parts",), -1),
        (("parts",), 1.5),
        (("flagged",), 9),
        (("scores",), None),
        (("scores", "last"), "a"),
        (("scores", "ranks", "counts"), [0]),
        (("scores", "ranks", "seed"), "x"),
        (("flags", "martingale", "log_sums"), [1.0]),
        (("flags", "martingale", "count"), "two"),
        (("more_flagged",), {"part": 1}),
        (("more_flagged",), {"part": 1, "since": 1, "direction": "sideways"}),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, keys, value):
    path = tmp_path / "monitor.json"
    watch = detector().monitor()
    after(watch, [50.0, 60.0, 101.0])
    path.write_text(json.dumps(damage(watch.to_json(), *keys, value=value)))
    with pytest.raises(DataError, match="monitor.json: expected a saved monitor, got") as raised:
        detector().monitor(state=path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"schema_version": NaN}'])
def test_a_file_that_is_no_monitor_is_one_line(tmp_path, content):
    path = tmp_path / "monitor.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="monitor.json: expected a saved monitor, got"):
        detector().monitor(state=path)


def test_a_folder_is_no_monitor(tmp_path):
    with pytest.raises(DataError, match="expected a saved monitor, got: Is a directory"):
        detector().monitor(state=tmp_path)
    with pytest.raises(DataError, match="expected to write a monitor, got"):
        detector().monitor().save(tmp_path)


def test_a_change_is_compared_by_its_content():
    assert Change(3, 1, "higher") == Change(3, 1, "higher")
