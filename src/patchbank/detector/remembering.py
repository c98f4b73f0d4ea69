"""Remember defects by the patches that made their scores, and bound their scores by these later.

An image score is the largest patch score, or the mean of the highest ones.  The patches that are
remembered are some of the photograph's: the same score over them alone is at most that over all, so
that a defect whose bound is above the threshold is found, whatever the other patches say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np

from patchbank.core.scores.image_score import mean_of_largest
from patchbank.detector.explanation.compare import patch_features
from patchbank.detector.explanation.odd_patches import counted
from patchbank.detector.inspecting import inspect_photograph, outcome_of
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.lineage.entry import Edit
from patchbank.detector.lineage.recording import recorded
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.packing import DetectorParts
from patchbank.detector.remembered import MOST, RememberedDefect, RememberedPatches
from patchbank.detector.tiling import n_averaged
from patchbank.errors import DataError, ParameterError
from patchbank.images.folders import few, list_images
from patchbank.images.source import ImageInput, ImageSource, image_source, n_pixels
from patchbank.methods.remembering import Remembering
from patchbank.runtime.threads import map_in_order

SPARE = 2
"""Patches that are remembered, by those that the image score is made of."""
SCORES = ("max", "top_fraction")
"""Image scores that patches alone bound."""


def with_remembered(
    parts: DetectorParts, defects: ImageInput | Iterable[ImageInput], edit: Edit
) -> tuple[DetectorParts, list[str]]:
    """The parts that remember defects, with an entry in the history, and lines about the others.

    Args:
        parts: of the detector.
        defects: photographs confirmed as defects.
        edit: of kind ``remember``.

    Raises:
        DataError: there is none that is found and not remembered yet, or one cannot be read.
        ParameterError: a member cannot remember, or there are too many.
    """
    for member in parts.members:
        check_remembering(member)
    sources = [image_source(image) for image in list_images(defects)]
    known, passing, again = list(parts.remembered), list[str](), list[str]()
    unread = []
    for _, future in map_in_order(partial(_remembered, parts), sources, n_pixels):
        found = future.result()
        if isinstance(found, FailedInspection):
            unread.append(found.error)
        elif isinstance(found, Inspection):
            passing.append(found.image)
        elif any(found.is_same(one) for one in known):
            again.append(found.name)
        else:
            known.append(found)
    if unread:
        raise DataError(
            f"remember: expected photographs that can be inspected, got: {'; '.join(unread[:5])}; "
            "nothing was changed"
        )
    lines = [
        f"not remembered, as {why}: {few(names, 'photograph')}"
        for names, why in ((passing, "not found"), (again, "remembered already"))
        if names
    ]
    if len(known) == len(parts.remembered):
        said = "; ".join(lines) or "none"
        raise DataError(
            f"remember: expected defects that are found, got: {said}; nothing was changed"
        )
    if len(known) > MOST:
        raise ParameterError(
            f"remember: expected at most {MOST:,} defects in a file, got {len(known):,}; give "
            "those that differ most, or keep photographs for must_find"
        )
    after = replace(parts, remembered=tuple(known))
    return recorded(parts, after, edit), lines


def check_remembering(member: Member) -> None:
    """Check that a member can remember defects.

    Raises:
        ParameterError: its score does not follow from patches alone.
    """
    kind = getattr(member.settings, "image_score", "max")
    if isinstance(member.model, Remembering) and kind in SCORES:
        return
    raise ParameterError(
        f"remember: expected PatchCore, GraphCore or PaDiM with image_score {' or '.join(SCORES)}, "
        f"got {member.method} with {kind}, whose score needs the whole photograph; keep "
        "photographs of defects, and give them as must_find (--must-find)"
    )


def bound(parts: DetectorParts, defect: RememberedDefect) -> float:
    """Lower bound of the image score that a detector gives a remembered defect."""
    found = []
    for member, patches in zip(parts.members, defect.patches, strict=True):
        assert isinstance(member.model, Remembering)
        with member.device.full_precision():
            scores = member.model.scores_of(patches.features, patches.cells, patches.grid)
        raw = mean_of_largest(scores, patches.count)
        found.append(float(member.image_scale.apply(raw)))
    return float(np.mean(found))


def _remembered(
    parts: DetectorParts, source: ImageSource
) -> RememberedDefect | Inspection | FailedInspection:
    """A defect as it is remembered; its inspection where it is not found, or cannot be read."""
    inspect = partial(inspect_photograph, parts, source, keep_image=False, keep_maps=True)
    found = outcome_of(inspect, source.name)
    if isinstance(found, FailedInspection) or not found.score > found.threshold:
        return found
    pairs = zip(parts.members, found.predictions, strict=True)
    patches = tuple(_patches(member, prediction, found) for member, prediction in pairs)
    return RememberedDefect(found.image, found.score, patches)


def _patches(
    member: Member, prediction: MemberPrediction, inspection: Inspection
) -> RememberedPatches:
    """The oddest patches, twice as many as the image score is made of."""
    scores = prediction.scores
    grid = scores.patch_scores if scores.decisive is None else scores.decisive
    of_score = counted(prediction)
    count = n_averaged(member.extractor, member.settings, int(of_score.sum()))
    n_kept = min(SPARE * count, int(of_score.sum()))
    order = np.argsort(np.where(of_score, -grid, np.inf), axis=None, kind="stable")[:n_kept]
    cells = np.stack(np.unravel_index(np.sort(order), grid.shape), axis=1)
    features = patch_features(member, prediction, lambda: inspection.pixels, cells)
    return RememberedPatches(features, cells, (grid.shape[0], grid.shape[1]), min(count, n_kept))
