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
from patchbank.images.folders import few

RATES = (0.001, 0.01, 0.02, 0.05, 0.1)
"""False-alarm rates whose thresholds are tried."""
UNLIKELY = 0.01
"""Probability below which a number of false alarms is not called chance."""
LARGEST_RATE = 0.5
"""Rate up to which a threshold is proposed that would find a defect."""


@dataclass(frozen=True, slots=True)
class RateResult:
    """What the threshold of one false-alarm rate finds on the test images."""

    asked_rate: float
    """Rate that was asked of `Detector.with_false_alarm_rate`."""
    threshold: float
    detection_rate: float
    """Share of the defect images above that threshold."""
    false_alarm_rate: float
    """Share of the good images above it."""


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """Scores of the test images by their label."""

    good: NDArray[np.float64]
    defect: NDArray[np.float64]


def results_by_rate(calibration: Calibration, scores: LabelledScores) -> tuple[RateResult, ...]:
    """Results at each of `RATES` and at the rate in use; none where no rate is known."""
    if calibration.views_of_one:
        return ()
    results = []
    for rate in sorted({*RATES, calibration.false_alarm_rate}):
        threshold = calibration.with_false_alarm_rate(rate).threshold
        results.append(
            RateResult(
                asked_rate=rate,
                threshold=threshold,
                detection_rate=float((scores.defect > threshold).mean()),
                false_alarm_rate=float((scores.good > threshold).mean()),
            )
        )
    return tuple(results)


def findings_of(
    calibration: Calibration, scores: LabelledScores, learned: Sequence[Sample]
) -> tuple[str, ...]:
    """One line for each thing that the figures do not say by themselves.

    Args:
        calibration: of the detector.
        scores: of the test images.
        learned: test images that the detector has learned.
    """
    lines = (
        *_learned_lines(learned),
        _false_alarms_line(calibration, scores.good),
        _missed_line(calibration, scores.defect),
    )
    return tuple(line for line in lines if line is not None)


def _learned_lines(learned: Sequence[Sample]) -> list[str]:
    good = [sample.path.name for sample in learned if not sample.is_defect]
    defects = [sample.path.name for sample in learned if sample.is_defect]
    lines = []
    if good:
        lines.append(
            f"{_count(good, 'good test photograph')} learned, to the pixel: {few(good, '')}; the "
            "detector knows them, and the figures are too good. Take them out of the test set, or "
            "out of the folder that is learned"
        )
    if defects:
        lines.append(
            f"{_count(defects, 'defect photograph')} learned as good, to the pixel: "
            f"{few(defects, '')}; such defects are missed. Take them out of the folder that is "
            "learned, and fit anew"
        )
    return lines


def _count(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{' was' if len(names) == 1 else 's were'}"


def _false_alarms_line(calibration: Calibration, good: NDArray[np.float64]) -> str | None:
    """The line where more good images are flagged than chance allows, else None."""
    flagged, n_good = int((good > calibration.threshold).sum()), len(good)
    if calibration.views_of_one:
        return None
    rate, n_learned = calibration.expected_rate, calibration.n_groups
    expected = chance_of_false_alarms(flagged, n_good, rate, n_learned)
    if expected >= UNLIKELY:
        return None
    by_hand = calibration.set_threshold is not None
    counted = f"{flagged} of {n_good} good test photographs are flagged ({_percent(flagged / n_good)})"
    causes = (
        "Either they differ from the learned ones (another day, batch, light or camera): learn "
        "some of them too. Or the learned ones resemble each other (series, copies), so that the "
        "threshold is too low: leave series out together (--groups)"
    )
    if by_hand:
        return (
            f"{counted}, and the learned ones let expect {_percent(rate)}: chance gives so many in "
            f"{_in_words(expected)}. {causes}"
        )
    bound = calibration.guaranteed_rate
    certain = chance_of_false_alarms(flagged, n_good, bound, n_learned)
    if certain < UNLIKELY:
        return (
            f"{counted}, where {_percent(rate)} was asked: more than chance allows, whatever good "
            f"parts look like (it gives so many in {_in_words(certain)}). {causes}"
        )
    return (
        f"{counted}, where {_percent(rate)} was asked: chance gives so many in "
        f"{_in_words(expected)} if good parts vary as the learned ones do; the "
        f"{n_learned} learned ones guarantee no less than {_percent(bound)}. {causes}"
    )


def _missed_line(calibration: Calibration, defect: NDArray[np.float64]) -> str | None:
    """The line where no defect is found, else None."""
    highest = float(defect.max())
    if highest > calibration.threshold:
        return None
    found = (
        f"none of the {len(defect)} defect photographs is found: the highest scores "
        f"{highest:.4g}, the threshold is {calibration.threshold:.4g}. "
    )
    if calibration.views_of_one:
        return found + "Give more good photographs, or set a threshold by hand (patchbank tune)"
    rate = calibration.with_false_alarm_rate(calibration.false_alarm_rate).p_value(highest)
    if rate > LARGEST_RATE:
        return found + (
            "They score like good ones: a larger image_size, the preset accurate or another method "
            "may see them; another threshold does not help"
        )
    return found + (
        f"The first one is found at a false-alarm rate of {_rounded_up(rate):g} (patchbank tune "
        "FILE --false-alarm-rate)"
    )


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


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
