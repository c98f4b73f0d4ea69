"""Scores of learned and recent parts, and what thresholds would make of them.

All that is statistical is computed here, by the calibration of the detector; a page only counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.changes import Thresholds, with_thresholds
from patchbank.detector.detector import Detector, parts_of
from patchbank.detector.fit_facts import FitFacts
from patchbank.errors import ParameterError
from patchbank.server.records.entries import DetectorEntry
from patchbank.server.records.recent import RecentScore, ShiftSize

N_STEPS = 300
"""Thresholds between the ends of the range, for which the false-alarm rate is computed."""
DIGITS = 4
"""Significant digits of those thresholds, and of left-out scores in a histogram."""
FURTHEST = 2.5
"""End of the range, by the distance of the threshold from the lowest score that there can be."""
TUNED = "tuned"
Kind = Literal["confirmed_defect", "false_alarm", "undecided", "good"]


@dataclass(frozen=True, slots=True)
class RecentParts:
    """Recent parts whose scores can be compared with a threshold, and how many cannot."""

    parts: tuple[RecentScore, ...]
    n_other_detector: int
    """Number of those that another detector has inspected, with other scores."""
    n_unread: int


def alike(entries: Sequence[DetectorEntry], sha256: str) -> set[str]:
    """Digests of the detectors that give the same scores as one, as only thresholds were changed.

    Args:
        entries: of the detectors that a product had, newest first.
        sha256: of the detector that it has.
    """
    pairs = [
        {after.sha256, before.sha256}
        for after, before in pairwise(entries)
        if after.action == TUNED
    ]
    found = {sha256}
    while True:
        more = found.union(*(pair for pair in pairs if pair & found))
        if more == found:
            return found
        found = more


def comparable(recent: Sequence[RecentScore], digests: set[str]) -> RecentParts:
    """The recent parts that one of some detectors has inspected."""
    read = [one for one in recent if one.verdict != "unread"]
    own = tuple(one for one in read if one.detector_sha256 in digests)
    return RecentParts(own, len(read) - len(own), len(recent) - len(read))


def kind_of(part: RecentScore) -> Kind:
    """Say what is known of a part: reviews go before verdicts.

    A part that passed counts as good unless a person has called it a defect.
    """
    if part.review == "confirmed_defect":
        return "confirmed_defect"
    if part.verdict != "anomalous":
        return "good"
    return "false_alarm" if part.review == "false_alarm" else "undecided"


def is_always_flagged(part: RecentScore) -> bool:
    """Whether a part was flagged for another reason than its score, such as one that shows none."""
    is_above = part.score is not None and part.threshold is not None and part.score > part.threshold
    return part.verdict == "anomalous" and not is_above


def scores_json(detector: Detector, recent: RecentParts, shift: ShiftSize) -> dict[str, Any]:
    """The object that `/v1/products/{name}/scores` answers, without the name."""
    calibration = detector.calibration
    scores = [one.score for one in recent.parts if one.score is not None]
    low, high = range_of(calibration, scores)
    return {
        "detector_sha256": detector.sha256,
        **expectation(calibration, is_proved=FitFacts.of(detector).is_bound_proved),
        "is_set_by_hand": calibration.set_threshold is not None,
        "smallest_rate": calibration.smallest_rate,
        "lowest_threshold": calibration.score_origin,
        "n_learned": len(calibration.image_scores),
        "n_groups": calibration.n_groups,
        "left_out": [rounded(float(score)) for score in np.sort(calibration.image_scores)],
        "range": [low, high],
        "steps": steps(calibration, low, high),
        "parts": [
            {
                "id": one.id,
                "score": one.score,
                "kind": kind_of(one),
                "is_always_flagged": is_always_flagged(one),
            }
            for one in recent.parts
        ],
        "n_other_detector": recent.n_other_detector,
        "n_unread": recent.n_unread,
        "shift": shift.to_json(),
    }


def expectation(calibration: Calibration, *, is_proved: bool) -> dict[str, Any]:
    """Threshold, and the false-alarm rates that are expected of it and guaranteed.

    They are null where nothing is known: with one learned photograph, and for the guarantee of a
    threshold that was set by hand.

    Args:
        calibration: with the threshold.
        is_proved: whether the guarantee is proved for the method (`FitFacts.is_bound_proved`).
    """
    is_known = not calibration.views_of_one
    is_promised = is_known and calibration.set_threshold is None
    return {
        "threshold": calibration.threshold,
        "false_alarm_rate": calibration.expected_rate if is_known else None,
        "guaranteed_rate": calibration.guaranteed_rate if is_promised else None,
        "is_bound_proved": is_promised and is_proved,
        "is_extrapolated": is_known and calibration.expected_rate < calibration.smallest_rate,
    }


def expected_of(detector: Detector, thresholds: Thresholds) -> dict[str, Any]:
    """Say what is expected of the thresholds that `tune` would set.

    Raises:
        ParameterError: as of `Detector.with_false_alarm_rate` and `with_threshold`; or none is
            given.
    """
    if all(value is None for value in thresholds.values()):
        raise ParameterError("false_alarm_rate: expected it or threshold, got neither")
    calibration = with_thresholds(parts_of(detector), thresholds).calibration
    return expectation(calibration, is_proved=FitFacts.of(detector).is_bound_proved)


def steps(calibration: Calibration, low: float, high: float) -> list[dict[str, float | None]]:
    """Thresholds of a range, ascending, each with the false-alarm rate that is expected of it."""
    thresholds = sorted({rounded(float(one)) for one in np.linspace(low, high, N_STEPS)})
    is_known = not calibration.views_of_one
    return [
        {"threshold": one, "false_alarm_rate": calibration.rate_of(one) if is_known else None}
        for one in thresholds
        if one > calibration.score_origin
    ]


def range_of(calibration: Calibration, scores: Sequence[float]) -> tuple[float, float]:
    """Ends of the range in which thresholds are shown; single scores may lie beyond.

    >>> left_out = np.array([6.0, 8.0, 7.0])
    >>> calibration = Calibration(left_out, left_out, 0.1, set_threshold=10.0)
    >>> range_of(calibration, [5.0, 90.0])
    (4.0, 25.0)
    """
    origin, threshold = calibration.score_origin, calibration.threshold
    left_out = calibration.image_scores
    lowest = min(float(left_out.min()), threshold, *scores)
    highest = max(float(left_out.max()), threshold, *scores)
    furthest = max(origin + FURTHEST * (threshold - origin), float(left_out.max()))
    high = min(highest, furthest)
    margin = 0.05 * (high - lowest)
    low = max(origin, lowest - margin)
    return rounded(low), rounded(furthest if highest > furthest else high + margin)


def rounded(value: float) -> float:
    """A number with four significant digits.

    >>> rounded(12.34567), rounded(0.00012344)
    (12.35, 0.0001234)
    """
    return float(f"{value:.{DIGITS}g}")
