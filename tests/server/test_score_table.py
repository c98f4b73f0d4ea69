"""Scores against thresholds: which parts compare, what is known of them, which rates follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.detector import detector_of, parts_of
from patchbank.detector.loading import load
from patchbank.server.records.entries import DetectorEntry
from patchbank.server.records.recent import RecentScore, ShiftSize
from patchbank.server.service.score_table import (
    alike,
    comparable,
    expectation,
    is_always_flagged,
    kind_of,
    range_of,
    scores_json,
    steps,
)

pytestmark = pytest.mark.serve
LEFT_OUT = np.array([6.0, 7.0, 7.5, 8.0, 8.25, 8.5, 9.0, 9.5, 10.0, 11.0])


def entries(*pairs):
    """Entries, newest first, of (digest, action)."""
    return [
        DetectorEntry(
            product="bolts",
            sha256=digest,
            time=datetime.now(timezone.utc),
            action=action,
            by="eva",
            reason="",
            threshold=1.0,
            false_alarm_rate=0.1,
        )
        for digest, action in pairs
    ]


def part(score=7.0, verdict="good", review=None, sha256="c", threshold=9.0):
    return RecentScore(1, score, threshold, verdict, review, sha256)


@pytest.mark.parametrize(
    ("log", "present", "expected"),
    [
        ([("a", "served")], "a", "a"),
        ([("b", "tuned"), ("a", "served")], "b", "ab"),
        ([("c", "tuned"), ("b", "tuned"), ("a", "served")], "c", "abc"),
        ([("c", "tuned"), ("b", "updated"), ("a", "served")], "c", "bc"),
        ([("c", "updated"), ("b", "tuned"), ("a", "served")], "c", "c"),
        ([("a", "undone"), ("b", "tuned"), ("a", "served")], "a", "ab"),
        ([("a", "activated"), ("c", "updated"), ("b", "tuned"), ("a", "served")], "a", "ab"),
        ([("b", "replaced"), ("a", "served")], "b", "b"),
        ([], "a", "a"),
    ],
)
def test_detectors_are_alike_where_only_thresholds_were_changed(log, present, expected):
    assert alike(entries(*log), present) == set(expected)


def test_parts_of_another_detector_and_unread_ones_are_left_out_and_counted():
    mine, other = part(sha256="b"), part(sha256="x")
    lost = part(None, "unread", sha256="b", threshold=None)
    found = comparable([mine, other, lost, other, part(sha256="c")], {"b", "c"})
    assert found.parts == (mine, part(sha256="c"))
    assert (found.n_other_detector, found.n_unread) == (2, 1)


@pytest.mark.parametrize(
    ("verdict", "review", "kind"),
    [
        ("good", None, "good"),
        ("good", "unsure", "good"),
        ("good", "false_alarm", "good"),
        ("good", "confirmed_defect", "confirmed_defect"),
        ("anomalous", None, "undecided"),
        ("anomalous", "unsure", "undecided"),
        ("anomalous", "false_alarm", "false_alarm"),
        ("anomalous", "confirmed_defect", "confirmed_defect"),
    ],
)
def test_reviews_go_before_verdicts(verdict, review, kind):
    assert kind_of(part(10.0, verdict, review)) == kind


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (part(10.0, "anomalous"), False),
        (part(9.0, "anomalous"), True),  # the score is not above the threshold
        (part(2.0, "anomalous"), True),  # no part was found in the photograph
        (part(None, "anomalous"), True),
        (part(2.0, "good"), False),
    ],
)
def test_a_part_that_was_flagged_without_its_score_is_always_flagged(one, expected):
    assert is_always_flagged(one) is expected


@pytest.mark.parametrize("rule", ["tail", "ranks"])
def test_steps_have_the_rates_that_the_library_gives_to_thresholds_by_hand(rule):
    calibration = Calibration(LEFT_OUT, LEFT_OUT, 0.1, rule=rule, score_origin=1.0)
    found = steps(calibration, 0.5, 20.0)
    thresholds = [one["threshold"] for one in found]
    assert len(found) > 250
    assert thresholds == sorted(set(thresholds))
    assert 1.0 < thresholds[0] < 1.2  # nothing at or below the lowest score
    assert thresholds[-1] == 20.0
    for one in found[::37]:
        by_hand = calibration.with_threshold(one["threshold"])
        assert one["false_alarm_rate"] == by_hand.expected_rate
        assert one["threshold"] == float(f"{one['threshold']:.4g}")
    rates = [one["false_alarm_rate"] for one in found]
    assert rates == sorted(rates, reverse=True)


def test_a_rate_is_that_of_scores_above_the_threshold_and_not_at_it():
    calibration = Calibration(LEFT_OUT, LEFT_OUT, 0.1, rule="ranks")
    assert calibration.rate_of(9.5) == pytest.approx(3 / 11)  # 10 and 11 are above it
    assert calibration.rate_of(9.4999) == pytest.approx(4 / 11)
    assert calibration.rate_of(11.0) == pytest.approx(1 / 11)


def test_expectations_say_what_is_known_and_what_is_not():
    calibration = Calibration(LEFT_OUT, LEFT_OUT, 0.2, rule="tail")
    assert expectation(calibration, is_proved=True) == {
        "threshold": calibration.threshold,
        "false_alarm_rate": 0.2,
        "guaranteed_rate": calibration.guaranteed_rate,
        "is_bound_proved": True,
        "is_extrapolated": False,
    }
    by_hand = calibration.with_threshold(30.0)
    assert expectation(calibration, is_proved=False)["is_bound_proved"] is False
    found = expectation(by_hand, is_proved=True)
    assert (found["threshold"], found["is_bound_proved"]) == (30.0, False)
    assert found["guaranteed_rate"] is None
    assert 0 < found["false_alarm_rate"] < 1 / 11
    assert found["is_extrapolated"]
    one_photograph = Calibration(LEFT_OUT, LEFT_OUT, 0.2, views_of_one=True)
    assert expectation(one_photograph, is_proved=True) == {
        "threshold": 11.0,
        "false_alarm_rate": None,
        "guaranteed_rate": None,
        "is_bound_proved": False,
        "is_extrapolated": False,
    }
    assert {one["false_alarm_rate"] for one in steps(one_photograph, 5.0, 20.0)} == {None}


def test_the_range_has_all_scores_but_those_far_beyond_the_threshold():
    calibration = Calibration(LEFT_OUT, LEFT_OUT, 0.1, set_threshold=12.0)
    assert range_of(calibration, []) == (5.7, 12.3)  # 6 and 12, with a margin of 5 % of 6
    low, high = range_of(calibration, [3.0, 15.0])
    assert (low, high) == (2.4, 15.6)
    assert range_of(calibration, [1e6])[1] == 30.0  # 2.5 times the threshold
    odd = Calibration(np.array([1.0, 50.0]), np.array([1.0, 50.0]), 0.1, set_threshold=2.0)
    assert range_of(odd, [])[1] > 50
    assert range_of(calibration, [0.01])[0] == 0.0  # not below the lowest score there can be


def test_the_object_has_counts_scores_and_kinds(fitted):
    detector = load(fitted)
    calibration = Calibration(LEFT_OUT, LEFT_OUT, 0.1, rule="tail")
    detector = detector_of(replace(parts_of(detector), calibration=calibration), "c" * 64)
    recent = comparable(
        [part(14.0, "anomalous", "false_alarm"), part(2.0, "anomalous"), part(sha256="x")], {"c"}
    )
    found = scores_json(detector, recent, ShiftSize(100, "shifts", 3))
    assert found["parts"] == [
        {"id": 1, "score": 14.0, "kind": "false_alarm", "is_always_flagged": False},
        {"id": 1, "score": 2.0, "kind": "undecided", "is_always_flagged": True},
    ]
    assert (found["n_other_detector"], found["n_unread"]) == (1, 0)
    assert found["left_out"] == sorted(LEFT_OUT)
    assert (found["n_learned"], found["n_groups"]) == (10, 10)
    assert found["smallest_rate"] == pytest.approx(1 / 11)
    assert found["range"][0] < 2.0
    assert found["shift"]["parts"] == 100
