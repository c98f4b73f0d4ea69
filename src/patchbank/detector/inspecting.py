"""The inspection of one photograph by fitted members and their calibration."""

from __future__ import annotations

from collections.abc import Sequence

from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial.regions import find_regions
from patchbank.detector.difference import Differences
from patchbank.detector.inspection import Inspection, KeptPixels
from patchbank.detector.likeness import Likeness
from patchbank.detector.member import (
    Member,
    MemberPredictions,
    combined_map,
    combined_score,
    highest_value,
    patch_distances,
)
from patchbank.detector.position import position_difference
from patchbank.errors import ImageError, ShapeError
from patchbank.images.roi import InspectedPart, RegionOfInterest
from patchbank.images.source import ImageSource
from patchbank.images.traits import Traits
from patchbank.types import AnomalyMap, Image


def inspect_photograph(
    members: Sequence[Member],
    calibration: Calibration,
    likeness: Likeness | None,
    roi: RegionOfInterest | None,
    source: ImageSource,
    *,
    keep_image: bool,
) -> Inspection:
    """Read, score and judge one photograph.

    Args:
        members: of the detector.
        calibration: of the detector.
        likeness: traits of the learned photographs; None where they are not known.
        roi: region of interest of the detector; None where whole photographs are inspected.
        source: of the photograph.
        keep_image: whether the inspection keeps pixels and map.

    Raises:
        PatchbankError: as `Detector.predict`.
    """
    settings = members[0].settings
    image, read = source.read_once(settings.bit_depth)
    part = None if roi is None else _part(roi, source.name, image)
    predictions = tuple(member.predict(image, part) for member in members)
    score = combined_score(predictions)
    pixel_threshold = calibration.pixel_threshold
    drawn: AnomalyMap | None = None  # computed once, and only where it is needed
    if keep_image or highest_value(predictions) > pixel_threshold:
        drawn = combined_map(predictions)
    return Inspection(
        image=source.name,
        size=(image.shape[1], image.shape[0]),
        score=score,
        p_value=calibration.p_value(score),
        threshold=calibration.threshold,
        pixel_threshold=pixel_threshold,
        regions=() if drawn is None else find_regions(drawn, pixel_threshold),
        normalised_score=calibration.normalised(score) if settings.normalise_score else None,
        unlike=_differences(likeness, read, image, part, predictions),
        predictions=predictions,
        source=read,
        kept=KeptPixels(image, drawn) if keep_image and drawn is not None else None,
    )


def _part(roi: RegionOfInterest, name: str, image: Image) -> InspectedPart:
    try:
        return roi.on((image.shape[0], image.shape[1]))
    except ShapeError as error:
        raise ImageError(f"{name}: {error}") from None


def _differences(
    likeness: Likeness | None,
    source: ImageSource,
    image: Image,
    part: InspectedPart | None,
    predictions: MemberPredictions,
) -> Differences:
    """Ways in which a photograph differs from the learned ones."""
    of_position = (position_difference(each.geometry.placement) for each in predictions)
    found = dict.fromkeys(difference for difference in of_position if difference is not None)
    if likeness is None:
        return tuple(found)
    traits = Traits.of(source, image, None if part is None else part.box)
    return (*likeness.differences(traits, patch_distances(predictions)), *found)
