"""The inspection of one photograph by fitted members and their calibration."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from patchbank.core.spatial.regions import find_regions
from patchbank.detector.difference import Difference, Differences
from patchbank.detector.explanation.explain import Learned
from patchbank.detector.inspection import FailedInspection, Inspection, KeptPixels
from patchbank.detector.likeness import Likeness
from patchbank.detector.member import (
    MemberPrediction,
    MemberPredictions,
    combined_map,
    combined_score,
    highest_value,
    patch_distances,
)
from patchbank.detector.packing import DetectorParts
from patchbank.detector.position import position_difference
from patchbank.errors import ImageError, PatchbankError, ShapeError, VariableError
from patchbank.images.digest import pixel_digest
from patchbank.images.roi import InspectedPart, RegionOfInterest
from patchbank.images.source import ImageSource
from patchbank.images.traits import Traits
from patchbank.runtime.logs import LOGGER
from patchbank.types import AnomalyMap, Image

FURTHER_PAGES = Difference("pages", "several frames or pages, of which the first is inspected")


def inspect_photograph(
    detector: DetectorParts,
    source: ImageSource,
    *,
    keep_image: bool,
    keep_maps: bool = False,
) -> Inspection:
    """Read, score and judge one photograph.

    Args:
        detector: the parts of it.
        source: of the photograph.
        keep_image: whether the inspection keeps pixels and map.
        keep_maps: whether it keeps the feature maps, by which it is explained at once.

    Raises:
        PatchbankError: as `Detector.predict`.
    """
    settings, roi = detector.members[0].settings, detector.roi
    image, read = source.read_once(settings.bit_depth)
    part = None if roi is None else inspected_part(roi, source.name, image)
    predictions = tuple(
        member.predict(image, part, keep_maps=keep_maps) for member in detector.members
    )
    return judged(detector, read, image, part, predictions, keep_image=keep_image)


def judged(
    detector: DetectorParts,
    source: ImageSource,
    image: Image,
    part: InspectedPart | None,
    predictions: tuple[MemberPrediction, ...],
    *,
    keep_image: bool,
) -> Inspection:
    """Judge one photograph that was scored.

    Args:
        detector: the parts of it.
        source: of the photograph, which was read.
        image: its pixels.
        part: the region of interest in it.
        predictions: of each member.
        keep_image: whether the inspection keeps pixels and map.
    """
    calibration = detector.calibration
    score = combined_score(predictions)
    pixel_threshold = calibration.pixel_threshold
    drawn: AnomalyMap | None = None  # computed once, and only where it is needed
    if keep_image or highest_value(predictions) > pixel_threshold:
        drawn = combined_map(predictions)
    is_normalised = detector.members[0].settings.normalise_score
    return Inspection(
        image=source.name,
        size=(image.shape[1], image.shape[0]),
        score=score,
        p_value=calibration.p_value(score),
        threshold=calibration.threshold,
        pixel_threshold=pixel_threshold,
        regions=() if drawn is None else find_regions(drawn, pixel_threshold),
        normalised_score=calibration.normalised(score) if is_normalised else None,
        unlike=_differences(detector.likeness, source, image, part, predictions),
        is_learned=_is_learned(detector, source.name, image),
        predictions=predictions,
        source=source,
        kept=KeptPixels(image, drawn) if keep_image and drawn is not None else None,
        learned=Learned(detector),
    )


def outcome_of(inspect: Callable[[], Inspection], name: str) -> Inspection | FailedInspection:
    """The inspection of the photograph of this name, or the reason why there is none.

    Raises:
        VariableError: of the environment, which no photograph can be inspected in.
    """
    try:
        return inspect()
    except VariableError:
        raise
    except PatchbankError as error:
        failed = FailedInspection.of(name, error)
    except MemoryError:
        message = f"{name}: expected enough memory to inspect it, got too little"
        failed = FailedInspection(name, message, MemoryError)
    LOGGER.warning("not inspected: %s", failed.error, extra={"failed": failed})
    return failed


def inspected_part(roi: RegionOfInterest, name: str, image: Image) -> InspectedPart:
    """The region of interest in a photograph.

    Raises:
        ImageError: it does not fit the photograph.
    """
    try:
        return roi.on((image.shape[0], image.shape[1]))
    except ShapeError as error:
        raise ImageError(f"{name}: {error}") from None


def _is_learned(detector: DetectorParts, name: str, image: Image) -> bool:
    """Whether a photograph has the file name and the pixels of a learned one.

    Few names are those of learned ones, so that few digests are computed.
    """
    digests, own_name = detector.photograph_digests, os.path.basename(name)
    # Most names end otherwise, which is found out faster than their last part.
    with_end = (known for known in detector.fitted_on if known.endswith(own_name))
    if digests is None or all(os.path.basename(known) != own_name for known in with_end):
        return False
    own = np.frombuffer(pixel_digest(image), np.uint8)
    return bool((digests == own).all(axis=1).any())


def _differences(
    likeness: Likeness | None,
    source: ImageSource,
    image: Image,
    part: InspectedPart | None,
    predictions: MemberPredictions,
) -> Differences:
    """Differences of a photograph from the learned ones, and the pages of its file not read."""
    of_position = (position_difference(each.geometry.placement) for each in predictions)
    found = dict.fromkeys(difference for difference in of_position if difference is not None)
    if source.facts is not None and source.facts.has_more:
        found[FURTHER_PAGES] = None
    if likeness is None:
        return tuple(found)
    traits = Traits.of(source, image, None if part is None else part.box)
    return (*likeness.differences(traits, patch_distances(predictions)), *found)
