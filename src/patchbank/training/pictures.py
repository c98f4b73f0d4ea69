"""Small pictures of the learned photographs, which explanations show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.spatial.box import bounding_box
from patchbank.detector.explanation.pictures import LearnedPhotographs, LearnedPictures
from patchbank.detector.explanation.useful import MOST_BYTES, useful
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.images.placement import UNTURNED
from patchbank.images.roi import RegionOfInterest
from patchbank.images.small_pictures import PictureScale
from patchbank.images.source import ImageSource
from patchbank.settings import Settings
from patchbank.training.calibrate import FittedMember

SMALLEST_FACTOR = 0.5
"""Side of pictures by that of the network's input, at least: fewer photographs have one then."""
BYTES_A_PIXEL = 0.07
"""Bytes by which the size of a picture is estimated: smooth parts need 0.02, ground metal 0.09."""
PART_MARGIN = 2.0
"""Side of a picture by that of the network's input where the input shows a part of it, turned."""


def picture_scale(
    settings: Settings,
    sources: Sequence[ImageSource],
    roi: RegionOfInterest | None,
    n_before: int = 0,
) -> PictureScale:
    """Size of the pictures at which all of them are likely to fit into `MOST_BYTES`.

    It follows from the sizes of the photographs in their headers, so that none is read twice.

    Args:
        settings: of the first member.
        sources: of all photographs, or of those of an update.
        roi: region of interest.
        n_before: photographs that were learned before those.
    """
    side: int | tuple[int, int] | None = None if settings.tiles else settings.image_size
    scale = PictureScale(side)
    if settings.position != "as_photographed" and isinstance(side, int):
        scale = PictureScale(round(PART_MARGIN * side))
    share = 1.0 if roi is None else bounding_box(roi.mask).height / roi.size[0]
    share *= 1.0 if roi is None else bounding_box(roi.mask).width / roi.size[1]
    n_pixels = sum(scale.n_pixels(share * source.n_pixels) for source in sources)
    n_pixels *= 1 + n_before / len(sources)
    factor = (MOST_BYTES / max(n_pixels * BYTES_A_PIXEL, 1.0)) ** 0.5
    return replace(scale, factor=min(max(factor, SMALLEST_FACTOR), 1.0))


def kept_photographs(
    pictures: LearnedPictures | None, fitted: Sequence[FittedMember], n_photographs: int
) -> LearnedPhotographs | None:
    """Pictures and poses that travel in the file; None where there are none.

    Args:
        pictures: of all photographs; None where none were made.
        fitted: members of the detector.
        n_photographs: that were learned.
    """
    # Views of a single photograph have its pose.
    poses = _poses([each.left_out[:n_photographs] for each in fitted])
    if pictures is None and poses is None:
        return None
    members = [each.member for each in fitted]
    return useful(LearnedPhotographs(pictures, poses), members, n_photographs)


def with_further(
    before: LearnedPhotographs | None,
    pictures: LearnedPictures | None,
    left_out: Sequence[Sequence[MemberPrediction]],
    members: Sequence[Member],
    n_before: int,
) -> LearnedPhotographs | None:
    """Pictures and poses after an update; None where there were none before it.

    Args:
        before: of the photographs before.
        pictures: of those of the update, by their numbers from 0; None where none were made.
        left_out: of each member, of those of the update.
        members: of the detector, which have learned them.
        n_before: photographs before.
    """
    if before is None:
        return None
    poses, own = before.poses, _poses(left_out)
    if poses is not None and own is not None:
        # Photographs said to be normal have no place that could be shown.
        unknown = np.tile([*UNTURNED, 0.0, 0.0], (n_before - len(poses), 1))
        poses = np.concatenate([poses, unknown, own])
    kept = before.pictures if pictures is None else pictures.after(before.pictures, n_before)
    return useful(LearnedPhotographs(kept, poses), members, n_before + len(left_out[0]))


def _poses(left_out: Sequence[Sequence[MemberPrediction]]) -> NDArray[np.float64] | None:
    """Axis and centre of the part in each photograph, (n, 4); None where none is turned.

    Args:
        left_out: of each member, of each photograph.
    """
    for of_member in left_out:
        geometries = [one.geometry for one in of_member]
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
