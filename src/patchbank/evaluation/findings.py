"""Findings of an evaluation in plain words, and what other false-alarm rates would have found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.chance import chance_of_false_alarms
from patchbank.datasets import Sample
from patchbank.detector.inspection import Inspection
from patchbank.images.folders import few
from patchbank.runtime.percent import percent, percent_at_most

RATES = (0.001, 0.01, 0.02, 0.05, 0.1)
"""False-alarm rates whose thresholds are tried."""
UNLIKELY = 0.01
"""Probability below which a number of false alarms is not called chance."""
LARGEST_RATE = 0.5
"""Rate up to which a threshold is proposed that would find a defect."""


@dataclass(frozen=True, slots=True)
class RateResult:
    """Detection and false alarms on the test images at the threshold of one false-alarm rate."""

    asked_rate: float
    """Rate that was asked of `Detector.with_false_alarm_rate`."""
    threshold: float
    detection_rate: float
    """Share of the defect images above that threshold."""
    false_alarm_rate: float
    """Share of the good images above it."""


def results_by_rate(
    calibration: Calibration, scores: NDArray[np.float64], is_defect: NDArray[np.bool_]
) -> tuple[RateResult, ...]:
    """Results at each of `RATES` and at the rate in use; none where no rate is known.

    Args:
        calibration: of the detector.
        scores: (n,) of the test images.
        is_defect: (n,) their labels.
    """
    if calibration.views_of_one:
        return ()
    results = []
    for rate in sorted({*RATES, calibration.false_alarm_rate}):
        threshold = calibration.with_false_alarm_rate(rate).threshold
        above = scores > threshold
        results.append(
            RateResult(
                asked_rate=rate,
                threshold=threshold,
                detection_rate=float(above[is_defect].mean()),
                false_alarm_rate=float(above[~is_defect].mean()),
            )
        )
    return tuple(results)


def findings_of(
    calibration: Calibration,
    inspected: Sequence[tuple[Sample, Inspection]],
    is_learned: NDArray[np.bool_],
) -> tuple[str, ...]:
    """One line for each thing that the figures do not say by themselves.

    Args:
        calibration: of the detector.
        inspected: n labelled images with their inspections.
        is_learned: (n,) whether the detector has learned each of them.
    """
    learned = [sample for (sample, _), known in zip(inspected, is_learned, strict=True) if known]
    unseen = [pair for pair, known in zip(inspected, is_learned, strict=True) if not known]
    good = np.array([one.score for sample, one in unseen if not sample.is_defect])
    defects = np.array([one.score for sample, one in unseen if sample.is_defect])
    return (
        *_learned_lines(learned),
        *_false_alarms_line(calibration, good),
        *_missed_line(calibration, defects),
    )


def _learned_lines(learned: Sequence[Sample]) -> list[str]:
    good = [sample.path.name for sample in learned if not sample.is_defect]
    defects = [sample.path.name for sample in learned if sample.is_defect]
    lines = []
    if good:
        lines.append(
            f"{_count(good, 'good test photograph')} among the learned ones, to the pixel: "
            f"{few(good, '')}; the figures are too good. Take them out of the test set, or out of "
            "the folder that is learned"
        )
    if defects:
        lines.append(
            f"{_count(defects, 'defect photograph')} among the learned good ones, to the pixel: "
            f"{few(defects, '')}; such defects are missed. Take them out of the folder that is "
            "learned, and fit anew"
        )
    return lines


def _count(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{' is' if len(names) == 1 else 's are'}"


def _false_alarms_line(calibration: Calibration, good: NDArray[np.float64]) -> list[str]:
    """The line where more good images are flagged than chance allows, else none."""
    if calibration.views_of_one or not len(good):
        return []
    flagged, n_good = int((good > calibration.threshold).sum()), len(good)
    rate, n_learned = calibration.expected_rate, calibration.n_groups
    as_expected = chance_of_false_alarms(flagged, n_good, rate, n_learned)
    if as_expected >= UNLIKELY:
        return []
    bound = calibration.guaranteed_rate
    if calibration.set_threshold is not None:
        reason = (
            f"where {percent(rate)} are expected by the learned ones: chance gives so many in "
            f"{_in_words(as_expected)}"
        )
    elif (at_bound := chance_of_false_alarms(flagged, n_good, bound, n_learned)) < UNLIKELY:
        reason = (
            f"where {percent(rate)} was asked: more than chance allows, whatever good parts look "
            f"like (it gives so many in {_in_words(at_bound)})"
        )
    else:
        reason = (
            f"where {percent(rate)} was asked: chance gives so many in {_in_words(as_expected)} "
            f"if good parts vary as the learned ones do, though {n_learned} learned ones guarantee "
            f"no less than {percent_at_most(bound)}"
        )
    return [
        f"{flagged} of {n_good} good test photographs are flagged ({percent(flagged / n_good)}), "
        f"{reason}. Either they differ from the learned ones (another day, batch, light or "
        "camera): learn some of them too. Or the learned ones resemble each other (series, "
        "copies), so that the threshold is too low: leave series out together (--groups)"
    ]


def _missed_line(calibration: Calibration, defect: NDArray[np.float64]) -> list[str]:
    """The line where no defect is found, else none."""
    highest = float(defect.max(initial=-math.inf))
    if highest > calibration.threshold or not len(defect):
        return []
    if calibration.views_of_one:
        advice = "Give more good photographs, or set a threshold by hand (patchbank tune)"
    else:
        rate = calibration.with_false_alarm_rate(calibration.false_alarm_rate).p_value(highest)
        by_rule = " by the rule of this version" if calibration.rule == "ranks" else ""
        advice = (
            f"The first one is found at a false-alarm rate of {_rounded_up(rate):g}{by_rule} "
            "(patchbank tune FILE --false-alarm-rate)"
        )
        if rate > LARGEST_RATE:
            advice = (
                "They score like good ones, so another threshold does not help; a larger "
                "image_size, the preset accurate or another method may see them"
            )
    return [
        f"none of the {len(defect)} defect photographs is found: the highest scores {highest:.4g}, "
        f"the threshold is {calibration.threshold:.4g}. {advice}"
    ]


def _rounded_up(rate: float) -> float:
    """The rate, rounded up to two digits.

    >>> _rounded_up(0.1234), _rounded_up(0.00101)
    (0.13, 0.0011)
    """
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return float(f"{math.ceil(rate / step * (1 - 1e-12)) * step:.2g}")


def _in_words(probability: float) -> str:
    """A small probability as a share of cases.

    >>> _in_words(0.0041), _in_words(1e-9)
    ('1 of 240 cases', 'less than 1 of 1,000,000 cases')
    """
    if probability < 1e-6:
        return "less than 1 of 1,000,000 cases"
    return f"1 of {float(f'{1 / probability:.2g}'):,.0f} cases"
