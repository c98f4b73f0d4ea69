"""Drift and lots from the records are those of the library over the same scores."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.false_discoveries import false_discoveries
from patchbank.detector.monitor import Monitor
from patchbank.drift import follow
from patchbank.drift.lines import InspectedPart
from patchbank.errors import DataError, ParameterError
from patchbank.server.records.base import now
from patchbank.server.records.entries import DetectorEntry, Fields
from patchbank.server.records.monitors import SavedMonitor
from patchbank.server.records.statements import MOST_POINTS, drift_of, lot_statement
from tests.server.samples import DETECTOR, inspection

OTHER = "0" * 64


@pytest.fixture(scope="module")
def calibration():
    scores = np.random.default_rng(5).normal(10, 1, 60)
    return Calibration(np.sort(scores), np.sort(scores), 0.05)


def record(records, scores, *, first=0, serials=None, **fields):
    """Record photographs with these scores; None is one that could not be read."""
    new = []
    for at, score in enumerate(scores, start=first):
        serial = str(at) if serials is None else serials[at - first]
        one = inspection(at, verdict="unread" if score is None else "good")
        result = {**one.result, "score": None if score is None else float(score)}
        new.append(replace(one, result=result, fields=Fields(serial_number=serial, **fields)))
    return [answer.inspection for answer in records.add(new)]


def entry(sha256=DETECTOR):
    return DetectorEntry(
        product="bolts",
        sha256=sha256,
        time=now(),
        action="served",
        by="local",
        reason="",
        threshold=1.0,
        false_alarm_rate=0.05,
    )


def test_drift_goes_on_where_the_last_question_ended(records, calibration):
    rng = np.random.default_rng(1)
    scores = [*rng.normal(10, 1, 80), None, *rng.normal(12.5, 1, 60)]
    monitor = Monitor(calibration, DETECTOR, 0.01)
    parts = [InspectedPart(str(n), s) for n, s in enumerate(scores, start=1)]
    expected = follow(monitor, calibration, parts)
    for begin in range(0, len(scores), 30):
        record(records, scores[begin : begin + 30], first=begin)
        found = drift_of(records, "bolts", calibration, DETECTOR)
    assert expected.alarm
    assert found.alarm
    assert found.counts == {
        "parts": 141,
        "passed": expected.state.passed,
        "flagged": expected.state.flagged,
        "failed": 1,
    }
    assert (found.evidence, found.flagged_evidence) == (
        expected.state.evidence,
        expected.state.flagged_evidence,
    )
    assert found.change["part"] == expected.state.change.part
    assert found.change["since"] == expected.state.change.since
    assert found.change["direction"] == expected.state.change.direction
    assert [point[1] for point in found.course] == list(expected.evidence)
    assert [point[0] for point in found.course] == list(range(1, 142))
    assert (found.last_id, found.is_behind) == (141, False)
    again = drift_of(records, "bolts", calibration, DETECTOR)
    assert again == found


def test_a_change_names_the_inspection_since_which_it_is(records, calibration):
    rng = np.random.default_rng(2)
    record(records, [*rng.normal(10, 1, 100), *rng.normal(11.2, 0.1, 40)])
    found = drift_of(records, "bolts", calibration, DETECTOR)
    assert found.change["inspection"] == found.change["since"]
    assert 90 <= found.change["inspection"] <= 110
    assert found.change["before"] < found.change["after"] == pytest.approx(11.2, abs=0.1)
    text = found.to_json()
    assert text["alarm"] is True
    assert text["parts"] == 140
    assert text["course"][0][0] == 1


def test_a_question_has_a_limit_and_says_that_it_is_behind(records, calibration):
    record(records, np.random.default_rng(3).normal(10, 1, 25))
    behind = drift_of(records, "bolts", calibration, DETECTOR, at_most=10)
    assert (behind.counts["parts"], behind.last_id, behind.is_behind) == (10, 10, True)
    drift_of(records, "bolts", calibration, DETECTOR, at_most=10)
    last = drift_of(records, "bolts", calibration, DETECTOR, at_most=10)
    assert (last.counts["parts"], last.last_id, last.is_behind) == (25, 25, False)


def test_photographs_in_a_row_with_one_serial_number_are_one_part(records, calibration):
    record(records, [10.0, 10.1, None, 9.9], serials=["A", "A", "B", "B"])
    first = drift_of(records, "bolts", calibration, DETECTOR)
    assert (first.counts["parts"], first.counts["failed"]) == (2, 0)
    record(records, [9.5, 9.4], first=4, serials=["B", "A"])
    second = drift_of(records, "bolts", calibration, DETECTOR)
    assert second.counts["parts"] == 3  # B was counted before; A came again later


def test_only_inspections_of_the_detector_count_since_the_product_has_it(records, calibration):
    record(records, [10.0, 10.1])
    records.detector_taken_up(entry())
    three = record(records, [9.0, 9.1, 9.2], first=2)
    found = drift_of(records, "bolts", calibration, DETECTOR)
    assert found.counts["parts"] == 3
    assert found.last_id == three[-1].id
    nothing = drift_of(records, "bolts", calibration, OTHER)
    assert nothing.counts["parts"] == 0
    assert not nothing.alarm
    assert nothing.change is nothing.more_flagged is None


def test_each_alarm_rate_has_its_own_monitor(records, calibration):
    record(records, [10.0, 10.1])
    strict = drift_of(records, "bolts", calibration, DETECTOR, false_alarm_rate=0.001)
    loose = drift_of(records, "bolts", calibration, DETECTOR, false_alarm_rate=0.1)
    assert (strict.alarm_line, loose.alarm_line) == (pytest.approx(3), pytest.approx(1))
    assert strict.counts == loose.counts
    with pytest.raises(ParameterError, match="false_alarm_rate"):
        drift_of(records, "bolts", calibration, DETECTOR, false_alarm_rate=1.0)


def test_the_course_of_the_evidence_stays_short(records, calibration):
    record(records, np.random.default_rng(4).normal(10, 1, 700))
    found = drift_of(records, "bolts", calibration, DETECTOR)
    assert MOST_POINTS / 2 <= len(found.course) <= MOST_POINTS
    assert found.course[-1][0] == 700
    numbers = [point[0] for point in found.course]
    assert numbers == sorted(set(numbers))


def test_an_older_monitor_does_not_replace_a_newer_one(records):
    for last, state in ((5, "a"), (9, "b"), (7, "c")):
        records.save_monitor("bolts", DETECTOR, 0.01, SavedMonitor(last, {"x": state}))
    assert records.saved_monitor("bolts", DETECTOR, 0.01) == SavedMonitor(9, {"x": "b"})
    assert records.saved_monitor("bolts", DETECTOR, 0.02) is None
    assert records.saved_monitor("nuts", DETECTOR, 0.01) is None


def test_a_damaged_monitor_is_said(records, calibration):
    state = {"monitor": {"schema_version": 1}, "serial_number": None, "course": []}
    records.save_monitor("bolts", DETECTOR, 0.01, SavedMonitor(5, state))
    with pytest.raises(DataError, match="monitor of bolts: expected a saved monitor, got a dam"):
        drift_of(records, "bolts", calibration, DETECTOR)


def test_a_lot_is_judged_as_by_the_library(records, calibration):
    rng = np.random.default_rng(6)
    scores = [*rng.normal(10, 1, 50), *rng.normal(20, 1, 10)]
    record(records, scores, lot="L1")
    record(records, [99.0], first=100, lot="L2")
    record(records, [None], first=101, lot="L1")
    found = lot_statement(records, "bolts", "L1", calibration, DETECTOR, level=0.2)
    assert found.found == false_discoveries(calibration, np.array(scores), 0.2)
    assert (found.photographs, found.unread, found.other_detectors) == (61, 1, 0)
    assert found.found.flagged >= 10
    text = found.to_json()
    assert (text["lot"], text["parts"], text["level"]) == ("L1", 60, 0.2)
    assert "found" not in text


def test_inspections_of_other_detectors_are_counted_and_left_out(records, calibration):
    record(records, [10.0, 11.0, 12.0], lot="L1")
    found = lot_statement(records, "bolts", "L1", calibration, OTHER)
    assert (found.photographs, found.other_detectors, found.found.parts) == (0, 3, 0)


def test_a_part_of_a_lot_counts_once(records, calibration):
    record(records, [10.0, 30.0, 10.0, None], lot="L1", serials=["A", "A", "B", "C"])
    found = lot_statement(records, "bolts", "L1", calibration, DETECTOR)
    assert (found.photographs, found.found.parts, found.unread) == (4, 2, 1)


def test_a_lot_without_an_inspection_has_no_statement(records, calibration):
    record(records, [10.0], lot="L1")
    assert lot_statement(records, "bolts", "L9", calibration, DETECTOR) is None
    assert lot_statement(records, "nuts", "L1", calibration, DETECTOR) is None
    for level in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ParameterError, match="level: expected more than 0 and less than 1"):
            lot_statement(records, "bolts", "L1", calibration, DETECTOR, level=level)
