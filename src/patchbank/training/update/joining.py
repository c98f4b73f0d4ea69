"""Scores, names and traits of new photographs join those of the photographs before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.left_out import group_shares
from patchbank.detector.likeness import Likeness
from patchbank.detector.packing import DetectorParts
from patchbank.methods import ResizableBank
from patchbank.runtime.progress import Progress
from patchbank.training.calibrate import scores_and_peaks
from patchbank.training.photographs import Contents
from patchbank.training.pictures import with_further
from patchbank.training.update.members import ContinuedMember
from patchbank.training.update.photographs import FurtherPhotographs
from patchbank.types import Indices


def joined(
    parts: DetectorParts,
    members: Sequence[ContinuedMember],
    further: FurtherPhotographs,
    progress: Progress,
) -> DetectorParts:
    """The parts of a detector that has learned further photographs.

    Old photographs keep the scores that they had when they were left out: against a bank that has
    grown since they would be no higher, and they themselves are not here to be scored again.
    """
    by_size = members[0].left_out_by_size
    scores, peaks, distances = scores_and_peaks(
        [*([one] for one in by_size.values()), [each.left_out for each in members]], progress
    )
    grouping, contents = further.search.grouping(), further.search.contents
    calibration = replace(
        parts.calibration,
        image_scores=np.append(parts.calibration.image_scores, scores[-1]),
        map_peaks=np.append(parts.calibration.map_peaks, peaks[-1]),
        groups=_groups(parts.calibration, grouping.numbers, len(further.names)),
    )
    sizes = parts.bank_size_calibration
    has_sizes = sizes is not None and len(by_size) == len(sizes.bank_rows) - 1
    after = replace(
        parts,
        members=tuple(each.member for each in members),
        calibration=calibration,
        bank_size_calibration=None,
        fitted_on=(*parts.fitted_on, *further.names),
        photograph_digests=_digests(parts.photograph_digests, contents),
        likeness=_likeness(parts.likeness, contents, distances, calibration, has_sizes=has_sizes),
        photographs=with_further(
            parts.photographs,
            contents.small_pictures,
            [each.left_out for each in members],
            [each.member for each in members],
            len(parts.fitted_on),
        ),
    )
    if sizes is None or not has_sizes:
        return after
    longer = BankSizeCalibration(
        sizes.bank_rows,
        np.hstack([sizes.image_scores, scores]),
        np.hstack([sizes.map_peaks, peaks]),
    )
    return with_size_of_bank(replace(after, bank_size_calibration=longer))


def with_size_of_bank(parts: DetectorParts) -> DetectorParts:
    """The parts with the present size of the bank as the last one that is calibrated."""
    sizes, model = parts.bank_size_calibration, parts.members[0].model
    if sizes is None or not isinstance(model, ResizableBank):
        return parts
    rows = np.append(sizes.bank_rows[:-1], model.n_rows)
    return replace(parts, bank_size_calibration=replace(sizes, bank_rows=rows))


def _groups(before: Calibration, numbers: Indices | None, count: int) -> NDArray[np.int32] | None:
    """Group of each photograph, the new ones after all others; None where each is alone."""
    if before.groups is None and numbers is None:
        return None
    old = np.arange(len(before.image_scores)) if before.groups is None else before.groups
    new = np.arange(count) if numbers is None else numbers
    return np.concatenate([old, new + int(old.max()) + 1]).astype(np.int32)


def _digests(old: NDArray[np.uint8] | None, contents: Contents) -> NDArray[np.uint8] | None:
    """Digests of all photographs; None where those of the old ones are not known."""
    return None if old is None else np.concatenate([old, contents.digests])


def _likeness(
    old: Likeness | None,
    contents: Contents,
    distances: NDArray[np.float64],
    calibration: Calibration,
    *,
    has_sizes: bool,
) -> Likeness | None:
    """Traits of all photographs that have a score; None where those of the old are not known.

    Args:
        old: traits of the photographs before.
        contents: of the new ones.
        distances: (s, n, 2) of the new ones, for each size of the bank that is calibrated.
        calibration: of all.
        has_sizes: whether smaller sizes are still calibrated.
    """
    if old is None:
        return None
    shares = group_shares(calibration.groups, len(calibration.image_scores))
    new = Likeness.of(contents.traits, distances, shares)
    before = old.patch_distances if has_sizes else old.patch_distances[-1:]
    return Likeness(
        kinds=Counter(old.kinds) + Counter(new.kinds),
        sizes=np.concatenate([old.sizes, new.sizes]),
        brightness=np.append(old.brightness, new.brightness),
        sharpness=np.append(old.sharpness, new.sharpness),
        blockiness=np.append(old.blockiness, new.blockiness),
        patch_distances=np.concatenate([before, distances[-len(before) :]], axis=1),
        shares=shares,
        uncovered=old.uncovered,
    )
