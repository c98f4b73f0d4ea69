"""Photographs, or regions of them, that a person said to be normal after a false alarm.

Of such a photograph no more is learned than makes it like an ordinary good one, the patches
farthest from what is known first, so that little of what a defect may look like becomes normal.
That it just passes would not be enough: the next part of its kind would be flagged again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.member import (
    Member,
    MemberPrediction,
    MemberPredictions,
    combined_map,
    combined_score,
)
from patchbank.detector.packing import DetectorParts
from patchbank.detector.position import shows_part
from patchbank.detector.preprocessing import ImageGeometry, patch_stride
from patchbank.detector.updates import Updates
from patchbank.errors import DataError, ParameterError
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import ImageSource
from patchbank.methods import PatchScores
from patchbank.methods.base import NormalLearner, NormalTrial
from patchbank.runtime.progress import NullProgress, Progress
from patchbank.training.extraction import ExtractedImage, extract_images
from patchbank.training.names import names_of
from patchbank.training.photographs import Contents
from patchbank.training.update.joining import with_size_of_bank
from patchbank.training.update.members import (
    continuation,
    method_of,
    updates_of,
    whole,
)
from patchbank.training.update.photographs import unlike_names
from patchbank.training.update.request import NormalPart, UpdateFacts, UpdateRequest
from patchbank.types import Mask

MOST_MORE = 4
"""Effort with which a photograph is learned, by the one that lets it pass, at most."""


def with_normal(
    parts: DetectorParts, request: UpdateRequest, facts: UpdateFacts, progress: Progress
) -> DetectorParts:
    """The parts of a detector for which photographs, or regions of them, are normal.

    Args:
        parts: of the detector.
        request: names the photographs.
        facts: receives which of them pass.
        progress: shows them.

    Raises:
        DataError: a photograph is not the one that was inspected, or a region lies outside of what
            is inspected.
        ImageError, ShapeError: one cannot be read.
    """
    depth = parts.members[0].settings.bit_depth
    sources = [each.source for each in request.normal]
    if depth is not None:
        sources = [replace(source, bit_depth=depth) for source in sources]
    contents = Contents()
    of_members = [
        _extracted(member, sources, parts.roi, contents if number == 0 else None)
        for number, member in enumerate(parts.members)
    ]
    with progress.task("learning what is normal", len(sources)) as advance:
        for number, images in enumerate(zip(*of_members, strict=True)):
            shown = Shown(request.normal[number], sources[number], images)
            shown.check()
            parts = _corrected(parts, shown, contents.contents[number].digest, request, facts)
            advance(1)
    return parts


@dataclass(frozen=True, slots=True)
class Shown:
    """A photograph that is normal, as the members of a detector see it."""

    normal: NormalPart
    source: ImageSource
    images: Sequence[Sequence[ExtractedImage]]
    """Features for each member: one image, or its tiles."""

    def check(self) -> None:
        """Raise a DataError where it is not the photograph that was inspected, or shows no part."""
        if not all(shows_part(images[0].geometry.placement) for images in self.images):
            raise DataError(
                f"{self.source.name}: expected a photograph of the part, got one in which none was "
                "found, which no correction makes normal"
            )
        height, width = self.images[0][0].geometry.photograph
        if (width, height) != self.normal.size:
            raise DataError(
                f"{self.source.name}: expected the photograph that was inspected, of "
                f"{self.normal.size[0]} x {self.normal.size[1]} pixels, got one of {width} x "
                f"{height}"
            )


def _extracted(
    member: Member,
    sources: Sequence[ImageSource],
    roi: RegionOfInterest | None,
    contents: Contents | None,
) -> Iterator[list[ExtractedImage]]:
    """The features of each photograph, without augmented copies: one image, or its tiles."""
    settings = member.settings.with_changes(rotations=1, flips="none", translations=0, zooms=())
    images = extract_images(member.extractor, settings, sources, NullProgress(), contents, roi)
    for _, of_one in groupby(images, lambda image: image.features.photograph):
        yield list(of_one)


def _corrected(
    parts: DetectorParts,
    shown: Shown,
    digest: bytes,
    request: UpdateRequest,
    facts: UpdateFacts,
) -> DetectorParts:
    """The parts for which one photograph is normal, as far as the members can learn it."""
    name, normal = shown.source.name, shown.normal
    with parts.members[0].device.full_precision():
        learners = [_learner(parts, number, shown, request) for number in range(len(shown.images))]
        before = _predictions(parts, shown, [learner.learned(0) for learner in learners])
        if _passes(parts, normal, before):
            facts.passing.append(name)
            return parts
        trials, is_passing = _tried(parts, shown, learners)
    (facts.passing if is_passing else facts.failing).append(name)
    facts.sources.append(shown.source)
    return _learned(parts, trials, shown.source, digest)


def _tried(
    parts: DetectorParts, shown: Shown, learners: Sequence[NormalLearner]
) -> tuple[list[NormalTrial | None], bool]:
    """Double the effort until the photograph is like an ordinary good one.

    With more than `MOST_MORE` times the effort that lets it pass, too much would be learned.

    Returns:
        The trial of each member, and whether the photograph passes.
    """
    trials = [learner.learned(0) for learner in learners]
    effort, first_passing = 1, math.inf
    while effort <= MOST_MORE * first_passing:
        found = [learner.learned(effort) for learner in learners]
        if all(trial is None for trial in found):
            break
        trials = [new or old for new, old in zip(found, trials, strict=True)]
        predictions = _predictions(parts, shown, trials)
        if _passes(parts, shown.normal, predictions):
            first_passing = min(first_passing, effort)
            if _is_ordinary(parts, shown.normal, predictions):
                break
        effort *= 2
    return trials, math.isfinite(first_passing)


def _passes(parts: DetectorParts, normal: NormalPart, predictions: MemberPredictions) -> bool:
    """Whether nothing is found where all is normal."""
    calibration = parts.calibration
    return _is_below(normal, predictions, calibration.threshold, calibration.pixel_threshold)


def _is_ordinary(parts: DetectorParts, normal: NormalPart, predictions: MemberPredictions) -> bool:
    """Whether scores are no higher than those of the middle good photograph when left out."""
    calibration = parts.calibration
    middle = float(np.median(calibration.image_scores)), float(np.median(calibration.map_peaks))
    return _is_below(normal, predictions, *middle)


def _is_below(
    normal: NormalPart, predictions: MemberPredictions, score: float, peak: float
) -> bool:
    """Whether neither the score nor the map is higher, as far as all is normal."""
    if not normal.boxes and combined_score(predictions) > score:
        return False
    drawn = combined_map(predictions)
    return not (drawn[normal.area((drawn.shape[0], drawn.shape[1]))] > peak).any()


def _learner(
    parts: DetectorParts, number: int, shown: Shown, request: UpdateRequest
) -> NormalLearner:
    """One member's learner, with the features of the photograph."""
    member, images = parts.members[number], shown.images[number]
    make = method_of(member).normal
    if make is None:
        raise ParameterError(
            f"method: expected one that learns what is normal, got {member.method}"
        )
    geometry, cells = images[0].geometry, None
    if shown.normal.boxes:
        area = shown.normal.area(geometry.photograph)
        cells = cells_of(geometry, area, patch_stride(member.settings))
    if cells is not None and not cells.any():
        raise DataError(
            f"{shown.source.name}: expected a region of what is inspected, got one outside of it"
        )
    asked = replace(continuation(parts, number, 1, request), n_images=1, cells=cells)
    learner = make(member.model, asked, member.device)
    for image in images:
        learner.add(image.features)
    return learner


def cells_of(geometry: ImageGeometry, area: Mask, stride: int) -> NDArray[np.bool_]:
    """Cells of the feature grid whose patches lie in an area of the photograph.

    Maps of the numbers of rows and of columns say to which patch each pixel belongs, wherever the
    photograph was cut, turned or tiled.

    Args:
        geometry: from the photograph to its features.
        area: (H, W) of the photograph.
        stride: cells from one patch to the next; no cell in between is marked.

    Returns:
        (h, w) of the feature grid.
    """
    height, width = geometry.feature_grid
    h, w = -(-height // stride), -(-width // stride)
    plain = replace(
        geometry, settings=replace(geometry.settings, smoothing=0.0), part=None, cells=None
    )
    numbers = (
        np.broadcast_to(np.arange(1, h + 1)[:, None], (h, w)),
        np.broadcast_to(np.arange(1, w + 1), (h, w)),
    )
    rows, columns = (
        plain.anomaly_map(PatchScores(np.ascontiguousarray(one, dtype=np.float32), 0.0, stride))
        for one in numbers
    )
    patches = np.zeros((h + 1, w + 1), dtype=np.bool_)  # numbers begin with 1; 0 is outside
    down = np.rint(rows[area]).astype(np.intp).clip(0, h)
    across = np.rint(columns[area]).astype(np.intp).clip(0, w)
    patches[down, across] = True
    cells = np.zeros((height, width), dtype=np.bool_)
    cells[::stride, ::stride] = patches[1:, 1:]
    return cells


def _predictions(
    parts: DetectorParts, shown: Shown, trials: Sequence[NormalTrial | None]
) -> list[MemberPrediction]:
    """Predictions of the members after their trials."""
    found = []
    for member, images, trial in zip(parts.members, shown.images, trials, strict=True):
        if trial is not None:
            geometry = images[0].geometry
            scores = whole(member, trial.scores, geometry)
            scales = member.image_scale, member.map_scale
            found.append(MemberPrediction(scores, geometry, *scales))
    return found


def _learned(
    parts: DetectorParts,
    trials: Sequence[NormalTrial | None],
    source: ImageSource,
    digest: bytes,
) -> DetectorParts:
    """The parts with the models of the trials, and the photograph among those that are learned."""
    pairs = zip(parts.members, trials, strict=True)
    members = tuple(m if trial is None else replace(m, model=trial.model) for m, trial in pairs)
    updates, digests = updates_of(parts), parts.photograph_digests
    number = len(parts.fitted_on)
    own = np.frombuffer(digest, np.uint8)[None]
    after = replace(
        parts,
        members=members,
        fitted_on=(*parts.fitted_on, *unlike_names(names_of([source]), [source], parts.fitted_on)),
        photograph_digests=None if digests is None else np.concatenate([digests, own]),
        updates=Updates((*updates.normal, number), updates.fit_rows),
    )
    return with_size_of_bank(after)
