"""Photographs that an update learns: those that can be read, and are not known yet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from patchbank.datasets import TrainingImages, training_images
from patchbank.detector.member import MemberPredictions, combined_score, patch_distances
from patchbank.detector.packing import DetectorParts
from patchbank.detector.position import position_difference
from patchbank.errors import DataError, ImageError, ShapeError
from patchbank.images.folders import few
from patchbank.images.small_pictures import PictureScale
from patchbank.images.source import ImageInput, ImageSource, image_source, n_pixels
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.training.groups import AUTO, GroupSearch, Labels, labels_of
from patchbank.training.names import names_of
from patchbank.training.photographs import (
    Contents,
    Remarks,
    further_pages,
    read_with_content,
    unreadable,
)
from patchbank.training.pictures import picture_scale
from patchbank.training.update.request import UpdateFacts

OTHER_KINDS = ("part", "size", "position")
"""Differences of a photograph that shows something else than was learned."""
SHOWN = 10
"""Photographs that a line names at most."""


@dataclass(frozen=True, slots=True)
class FurtherPhotographs:
    """Photographs that are not known yet."""

    names: tuple[str, ...]
    """Names in the detector: no two alike, and none like that of a photograph before."""
    search: GroupSearch
    """Sources and contents of them, and the groups in which they are left out."""

    def flagged(self, parts: DetectorParts, predictions: Sequence[MemberPredictions]) -> int:
        """Number of them that a detector calls anomalous, by its predictions for each."""
        threshold = parts.calibration.threshold
        return sum(combined_score(each) > threshold for each in predictions)


def further_photographs(
    parts: DetectorParts,
    good: ImageInput | Iterable[ImageInput] | TrainingImages,
    facts: UpdateFacts,
    remarks: Remarks,
    progress: Progress,
) -> FurtherPhotographs | None:
    """Read photographs, and keep those that the detector has not learned; None if all are known.

    Args:
        parts: of the detector.
        good: the photographs, as `Recipe.fit` takes them.
        facts: receives the names of those that are known.
        remarks: receives a line for each that cannot be read, and others about the photographs.
        progress: shows them.

    Raises:
        DataError: there is none.
        ImageError, ShapeError: none can be read.
    """
    found = good if isinstance(good, TrainingImages) else training_images(good)
    if found is not good:
        found.log()
    depth = parts.members[0].settings.bit_depth
    sources = [_with_depth(image_source(image), depth) for image in found.images]
    if not sources:
        raise DataError("expected at least one good image, got none")
    names = names_of(sources)
    contents, kept, errors = Contents(), list[int](), list[Exception]()
    known = known_digests(parts)
    read = partial(read_with_content, roi=parts.roi, pictures=_picture_scale(parts, sources))
    with progress.task("checking photographs", len(sources)) as advance:
        for number, (source, decoded) in enumerate(map_in_order(read, sources, n_pixels)):
            advance(1)
            try:
                _, content = decoded.result()
            except (ImageError, ShapeError) as error:
                errors.append(error)
                continue
            if content.digest in known:
                facts.known.append(names[number])
                continue
            known.add(content.digest)
            contents.add(source, content)
            kept.append(number)
    if len(errors) == len(sources):
        raise unreadable(errors, len(sources), "repair one at least")
    remarks.unread += [str(error) for error in errors]
    if not kept:
        return None
    own_sources = [sources[number] for number in kept]
    remarks.lines += further_pages(own_sources, [source.header for source in own_sources])
    remarks.lines += contents.remarks(are_grouped=True)
    labels = _labels(sources, found.groups, kept)
    search = GroupSearch(own_sources, labels, contents, has_others=True)
    own = unlike_names([names[number] for number in kept], search.sources, parts.fitted_on)
    return FurtherPhotographs(tuple(own), search)


def _picture_scale(parts: DetectorParts, sources: Sequence[ImageSource]) -> PictureScale | None:
    """Size of the small pictures of photographs; None for a detector that keeps none."""
    if parts.photographs is None or parts.photographs.pictures is None:
        return None
    return picture_scale(parts.members[0].settings, sources, parts.roi, len(parts.fitted_on))


def known_digests(parts: DetectorParts) -> set[bytes]:
    """Digests of the photographs that a detector has learned; none of a file that has none."""
    digests = parts.photograph_digests
    return set() if digests is None else {bytes(digest) for digest in digests}


def _with_depth(source: ImageSource, depth: int | None) -> ImageSource:
    return source if depth is None else replace(source, bit_depth=depth)


def _labels(
    sources: Sequence[ImageSource], groups: Sequence[str | None] | None, kept: Sequence[int]
) -> Labels:
    """Groups that folders or a table say; photographs of one group are no error here."""
    chosen = [sources[number] for number in kept]
    if groups is None or not any(groups[number] for number in kept):
        labels = labels_of(AUTO, chosen)
        return replace(labels, lines=()) if labels.finds_series else labels  # no advice for a fit
    return Labels(tuple(groups[number] or None for number in kept), "of one group in the table")


def unlike_names(
    names: Sequence[str], sources: Sequence[ImageSource], used_before: Sequence[str]
) -> list[str]:
    """Names that differ from each other and from those that are in use.

    A file gets a longer end of its path; where that is not enough, and for others, a number.

    >>> import numpy as np
    >>> source = image_source(np.zeros((2, 3, 3), np.uint8))
    >>> unlike_names(["array 0", "array 1"], [source, source], ["array 0"])
    ['array 0 (2)', 'array 1']
    """
    used, found = set(used_before), []
    for name, source in zip(names, sources, strict=True):
        chosen = name
        if chosen in used and isinstance(source.content, Path):
            ends = Path(os.path.abspath(source.content)).parts
            longer = (Path(*ends[-n:]).as_posix() for n in range(1, len(ends) + 1))
            chosen = next((one for one in longer if len(one) > len(name) and one not in used), name)
        number = 2
        while chosen in used:
            chosen = f"{name} ({number})"
            number += 1
        used.add(chosen)
        found.append(chosen)
    return found


def check_alike(
    parts: DetectorParts,
    further: FurtherPhotographs,
    predictions: Sequence[MemberPredictions],
    remarks: Remarks,
    *,
    force: bool,
) -> bool:
    """Check that photographs show what was learned, by the notes that an inspection would have.

    Args:
        parts: of the detector.
        further: the photographs.
        predictions: of the detector for each of them.
        remarks: receives a line about those that differ, as far as they are learned.
        force: whether they are learned all the same.

    Returns:
        Whether some show something else, so that the check was overridden.

    Raises:
        DataError: some show something else, and `force` is not set.
    """
    others, odd, said = list[str](), list[str](), list[str]()
    traits = further.search.contents.traits
    for name, of_image, of_one in zip(further.names, traits, predictions, strict=True):
        placed = (position_difference(each.geometry.placement) for each in of_one)
        found = [difference for difference in placed if difference is not None]
        if parts.likeness is not None:
            found += parts.likeness.differences(of_image, patch_distances(of_one))
        of_others = [str(difference) for difference in found if difference.kind in OTHER_KINDS]
        if of_others:
            others.append(name)
        elif found:
            odd.append(name)
        said += of_others
    n = len(further.names)
    if others and not force:
        raise DataError(
            f"expected photographs like the learned ones, got {len(others)} of {n} that differ: "
            f"{few(others, 'photograph', SHOWN)} ({said[0]}); leave them out, or give force "
            "(--force) if they are good parts of this kind"
        )
    for kind, which in (("show something else than", others), ("are unlike", odd)):
        if which:
            remarks.lines.append(
                f"{len(which)} of {n} photographs {kind} the learned ones, and are learned: "
                f"{few(which, 'photograph', SHOWN)}"
            )
    return bool(others)
