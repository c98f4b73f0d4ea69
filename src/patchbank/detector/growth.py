"""The law of banks that only grow: no photograph is farther from more rows than from some of them.

A patch score is the mean of the distances to its k nearest rows; with further rows, each of these
distances is the same or lower.  Image scores that rise with every patch score are no higher either
(the largest, the largest mean of 3 x 3, the mean of the highest ones), nor are standardised ones
and their mean over the members of an ensemble.  Re-weighted scores are not among them, as their
weight may rise, nor are approximate indexes, which may find other rows.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.member import Member
from patchbank.detector.packing import DetectorParts
from patchbank.detector.roi_file import MASK, pack_roi
from patchbank.images.roi import RegionOfInterest
from patchbank.methods.memory_bank import BankModel

ROUNDING = 1e-6
"""Share of a score by which it may rise all the same: sums of distances are rounded."""
RISING = ("max", "smooth_max", "top_fraction")
"""Image scores that are no higher where no patch score is."""


def only_lowers(before: DetectorParts, *others: DetectorParts) -> bool:
    """Whether every photograph has the same score from each of other detectors or a lower one.

    True only where that follows from what they are; thresholds may be any.
    """
    return all(_is_lower(before, after) for after in others)


def _is_lower(before: DetectorParts, after: DetectorParts) -> bool:
    if len(before.members) != len(after.members) or not _are_equal_rois(before.roi, after.roi):
        return False
    return all(map(_only_lowers, before.members, after.members))


def stays_below(score: float, *thresholds: float) -> bool:
    """Whether a score that does not rise but by rounding is at most each of some thresholds."""
    return all(score + ROUNDING * abs(score) <= one for one in thresholds)


def _only_lowers(before: Member, after: Member) -> bool:
    old, new = before.model, after.model
    if not (isinstance(old, BankModel) and isinstance(new, BankModel)):
        return False
    rate = before.settings.false_alarm_rate  # of the threshold, and of no score
    is_same = (
        type(old) is type(new)
        and before.method == after.method
        and before.settings == after.settings.with_changes(false_alarm_rate=rate)
        and before.extractor.info == after.extractor.info
        and before.device.name == after.device.name
        and before.image_scale == after.image_scale
    )
    if not is_same or new.settings.index != "exact" or new.settings.image_score not in RISING:
        return False
    units = [name for name in old.tensors() if name.endswith("_spread")]
    return all(np.array_equal(old.tensors()[name], new.tensors()[name]) for name in units) and all(
        _has_rows(more.bank, some.bank)
        for some, more in zip(old.banks_of_maps, new.banks_of_maps, strict=True)
    )


def _has_rows(bank: NDArray[np.float32], rows: NDArray[np.float32]) -> bool:
    """Whether all rows are among those of a bank, in whatever order, as often or oftener."""
    if bank.shape[1] != rows.shape[1] or len(bank) < len(rows):
        return False
    if np.array_equal(bank[: len(rows)], rows):
        return True
    missing = Counter(row.tobytes() for row in rows) - Counter(row.tobytes() for row in bank)
    return not missing


def _are_equal_rois(one: RegionOfInterest | None, other: RegionOfInterest | None) -> bool:
    def packed(roi: RegionOfInterest | None) -> tuple[Any, bytes]:
        record, tensors = pack_roi(roi)
        return record, tensors[MASK].tobytes() if tensors else b""

    return one is other or packed(one) == packed(other)
