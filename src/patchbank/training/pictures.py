"""Small pictures of the learned photographs, which explanations show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.explanation.pictures import LearnedPhotographs, LearnedPictures
from patchbank.detector.explanation.useful import MOST_BYTES, useful
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.errors import ImageError, ShapeError
from patchbank.images.placement import UNTURNED
from patchbank.images.roi import RegionOfInterest
from patchbank.images.small_pictures import PictureScale
from patchbank.images.source import ImageSource
from patchbank.settings import Settings
from patchbank.training.calibrate import FittedMember

SMALLEST_FACTOR = 0.5
"""Side of pictures by that of the network's input, at least: fewer photographs have one then."""
TRIED = 3
"""Photographs from which the bytes of all pictures are estimated."""
PART_MARGIN = 2.0
"""Side of a picture by that of the network's input where the input shows a part of it, turned."""


def picture_scale(
    settings: Settings, sources: Sequence[ImageSource], roi: RegionOfInterest | None
) -> PictureScale:
    """Size of the pictures that fits as many photographs as possible into `MOST_BYTES`.

    It follows from the bytes of the first, the middle and the last photograph.

    Args:
        settings: of the first member.
        sources: of all photographs.
        roi: region of interest.
    """
    side: int | tuple[int, int] | None = None if settings.tiles else settings.image_size
    scale = PictureScale(side)
    if settings.position != "as_photographed" and isinstance(side, int):
        scale = PictureScale(round(PART_MARGIN * side))
    tried = sorted({round(share * (len(sources) - 1)) for share in np.linspace(0, 1, TRIED)})
    sizes = [_bytes(scale, sources[number], roi) for number in tried]
    known = [size for size in sizes if size is not None]
    if not known:
        return scale
    factor = (MOST_BYTES / (np.mean(known) * len(sources))) ** 0.5
    return replace(scale, factor=float(np.clip(factor, SMALLEST_FACTOR, 1.0)))


def _bytes(scale: PictureScale, source: ImageSource, roi: RegionOfInterest | None) -> int | None:
    """Bytes of the picture of a photograph; None where it cannot be read, as the fit will say."""
    try:
        image = source.read()
        box = None if roi is None else roi.on((image.shape[0], image.shape[1])).box
    except (ImageError, ShapeError):
        return None
    return len(scale.picture(image, box).content)


def kept_photographs(
    pictures: LearnedPictures | None, fitted: Sequence[FittedMember], n_photographs: int
) -> LearnedPhotographs | None:
    """Pictures and poses that travel in the file; None where there are none.

    Args:
        pictures: of all photographs; None where none were made.
        fitted: members of the detector.
        n_photographs: that were learned.
    """
    poses = _poses(fitted, n_photographs)
    if pictures is None and poses is None:
        return None
    members = [each.member for each in fitted]
    return useful(LearnedPhotographs(pictures, poses), members, n_photographs)


def _poses(fitted: Sequence[FittedMember], n_photographs: int) -> NDArray[np.float64] | None:
    """Axis and centre of the part in each photograph, (n, 4); None where none is turned.

    Views of a single photograph have its pose.
    """
    for each in fitted:
        geometries = [one.geometry for one in each.left_out[:n_photographs]]
        placements = [geometry.placement for geometry in geometries]
        if all(placement is not None for placement in placements):
            return np.array([_pose(geometry) for geometry in geometries])
    return None


def _pose(geometry: ImageGeometry) -> tuple[float, float, float, float]:
    pose = None if geometry.placement is None else geometry.placement.pose
    if pose is None:
        height, width = geometry.photograph
        return *UNTURNED, height / 2, width / 2
    return *pose.axis, *pose.centre
