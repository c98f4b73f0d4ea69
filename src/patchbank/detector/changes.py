"""Changes of a fitted detector that need no photographs: a smaller bank, another threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.explanation.useful import useful
from patchbank.detector.packing import DetectorParts
from patchbank.errors import ParameterError
from patchbank.methods import ResizableBank
from patchbank.runtime.logs import LOGGER
from patchbank.settings.rules import SHARE, Integer, Number, Rule

RATE = SHARE
"""Rule of a false-alarm rate."""
HIGHEST_THRESHOLD = 1e30
THRESHOLD = Number(-HIGHEST_THRESHOLD, HIGHEST_THRESHOLD, open_low=True, open_high=True)
"""Rule of a threshold that is set by hand; a file holds no larger ones."""


class Thresholds(TypedDict, total=False):
    """Thresholds of a detector that replace those in its file; None leaves them."""

    false_alarm_rate: float | None
    """The rate that they follow from; see `Detector.with_false_alarm_rate`."""
    threshold: float | None
    """Threshold of the image score, set by hand; see `Detector.with_threshold`."""
    pixel_threshold: float | None
    """The same for the anomaly map."""


RULES: dict[str, Rule] = {
    "false_alarm_rate": RATE,
    "threshold": THRESHOLD,
    "pixel_threshold": THRESHOLD,
}
"""Name of each of `Thresholds` -> its rule."""


def check_thresholds(thresholds: Thresholds) -> None:
    """Check the names and values of thresholds.

    Raises:
        ParameterError: another name, a value out of range, or a rate together with the threshold
            that would follow from it.
    """
    for name, value in thresholds.items():
        if name not in RULES:
            raise ParameterError(f"{name}: expected one of {', '.join(RULES)}")
        if value is not None:
            RULES[name].check(name, value)
    if None not in (thresholds.get("false_alarm_rate"), thresholds.get("threshold")):
        raise ParameterError("threshold: expected without false_alarm_rate, got both")


def with_thresholds(parts: DetectorParts, thresholds: Thresholds) -> DetectorParts:
    """The parts with other thresholds.

    Raises:
        ParameterError: as `check_thresholds`; or no rate is known, or a threshold would call every
            photograph anomalous.
    """
    check_thresholds(thresholds)
    rate = thresholds.get("false_alarm_rate")
    if rate is not None:
        parts = _at_rate(parts, float(rate))
    image, pixel = thresholds.get("threshold"), thresholds.get("pixel_threshold")
    if image is None and pixel is None:
        return parts
    calibration = parts.calibration
    _check_above("threshold", image, calibration.score_origin)
    _check_above("pixel_threshold", pixel, calibration.map_origin)
    changed = calibration.with_threshold(
        None if image is None else float(image), None if pixel is None else float(pixel)
    )
    return replace(parts, calibration=changed)


def _at_rate(parts: DetectorParts, rate: float) -> DetectorParts:
    if parts.calibration.views_of_one:
        raise ParameterError(
            "false_alarm_rate: expected a detector of two good photographs or more, got one of a "
            "single photograph, from which no rate follows; fit it on more photographs, or set a "
            "threshold by hand"
        )
    calibration = parts.calibration.with_false_alarm_rate(rate)
    check_reachable(calibration)
    return _calibrated(parts, calibration)


def check_reachable(calibration: Calibration) -> None:
    """Check that some score may lie above the thresholds that follow from a rate.

    Raises:
        ParameterError: a threshold is beyond those that a person may set.
    """
    rate = calibration.false_alarm_rate
    highest = max(calibration.threshold_at(rate), calibration.pixel_threshold_at(rate))
    if not highest < HIGHEST_THRESHOLD:
        raise ParameterError(
            f"false_alarm_rate: expected one whose threshold is less than {HIGHEST_THRESHOLD:g}, "
            f"got {rate}, whose threshold is {highest:.4g}; nothing would be called anomalous"
        )


def _calibrated(parts: DetectorParts, calibration: Calibration) -> DetectorParts:
    """The parts with a calibration, and settings that have its false-alarm rate.

    So the settings are those with which a fit gives this detector.
    """
    rate = calibration.false_alarm_rate
    members = tuple(
        member
        if member.settings.false_alarm_rate == rate
        else replace(member, settings=member.settings.with_changes(false_alarm_rate=rate))
        for member in parts.members
    )
    return replace(parts, members=members, calibration=calibration)


def _check_above(name: str, threshold: float | None, origin: float) -> None:
    """Check that a threshold calls something good."""
    if threshold is not None and threshold <= origin:
        raise ParameterError(
            f"{name}: expected more than {origin:.4g}, the value where nothing differs from the "
            f"good photographs, got {threshold:g}; everything would be called anomalous"
        )


def bank_sizes_of(parts: DetectorParts) -> BankSizeCalibration:
    """Calibrations of smaller banks.

    Raises:
        ParameterError: the bank cannot be truncated.
    """
    if parts.bank_size_calibration is None:
        raise ParameterError(
            "expected a detector whose bank can be truncated: of one member, selected greedily "
            "from two photographs or more, with the exact index, fitted by this version or a "
            "newer one, and no update reached the limit of its rows, got another; fit it with "
            "fewer rows"
        )
    return parts.bank_size_calibration


def with_smaller_bank(parts: DetectorParts, n_rows: int) -> DetectorParts:
    """The parts with the first rows of the bank, and the calibration of that size.

    Raises:
        ParameterError: the bank cannot be truncated, or not to this size.
    """
    sizes, member = bank_sizes_of(parts), parts.members[0]
    n_rows = Integer(1).check("bank_rows", n_rows)
    if n_rows == sizes.bank_rows[-1]:
        return parts
    calibration = sizes.at(n_rows, parts.calibration)
    if not isinstance(member.model, ResizableBank):
        raise ParameterError(f"bank_rows: expected a method with a bank, got {member.method}")
    if parts.updates is not None and parts.updates.normal:
        LOGGER.warning(
            "a smaller bank has the first rows alone, without those of photographs said to be "
            "normal (%d), which may be flagged again",
            len(parts.updates.normal),
        )
    members = (replace(member, model=member.model.truncated(n_rows)),)
    smaller = replace(
        parts,
        members=members,
        bank_size_calibration=sizes.truncated(n_rows, calibration),
        likeness=parts.likeness and parts.likeness.truncated(sizes.bank_rows, n_rows),
        photographs=useful(parts.photographs, members, len(parts.fitted_on)),
        updates=parts.updates and parts.updates.truncated(n_rows),
    )
    return _calibrated(smaller, calibration)
