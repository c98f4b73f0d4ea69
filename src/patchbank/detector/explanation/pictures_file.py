"""The part of a detector file that explanations alone need: optional, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.explanation.pictures import LearnedPhotographs, LearnedPictures
from patchbank.errors import DetectorFileError
from patchbank.methods.tensor_spec import TensorSpec, check_tensors

LARGEST_PLACE = 1e6
LARGEST_SIDE = 2**31 - 1
POSES = "photographs.poses"
PICTURES = "photographs.pictures"
OF_POSES: Mapping[str, TensorSpec] = {
    POSES: TensorSpec("float64", ("k", "4"), low=-LARGEST_PLACE, high=LARGEST_PLACE)
}
OF_PICTURES: Mapping[str, TensorSpec] = {
    PICTURES: TensorSpec("uint8", ("bytes",)),
    "photographs.pictured": TensorSpec("int32", ("p",), low=0, below="n"),
    "photographs.picture_boxes": TensorSpec("int32", ("p", "4"), low=0, high=LARGEST_SIDE),
    "photographs.picture_ends": TensorSpec("int64", ("p",), low=1, high=2**62),
}


def pack_photographs(
    photographs: LearnedPhotographs | None,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Keys of the record, of which there are none, and tensors of the file."""
    tensors: dict[str, NDArray[Any]] = {}
    if photographs is not None and photographs.poses is not None:
        tensors[POSES] = photographs.poses
    if photographs is not None and photographs.pictures is not None:
        pictures = photographs.pictures
        tensors |= {
            PICTURES: pictures.content,
            "photographs.pictured": pictures.photographs,
            "photographs.picture_boxes": pictures.boxes,
            "photographs.picture_ends": pictures.ends,
        }
    return {}, tensors


def unpack_photographs(
    tensors: Mapping[str, NDArray[Any]], n_photographs: int
) -> LearnedPhotographs | None:
    """Poses and pictures in a file; None for files that have none, such as older ones.

    No picture is decoded.

    Raises:
        DetectorFileError, ShapeError: parts contradict each other.
    """
    poses, pictures = tensors.get(POSES), None
    if poses is not None:
        check_tensors(tensors, OF_POSES, {})
        if len(poses) > n_photographs:
            raise DetectorFileError(
                f"{POSES}: expected at most {n_photographs} photographs, got {len(poses)}"
            )
    if PICTURES in tensors:
        check_tensors(tensors, OF_PICTURES, {"n": n_photographs})
        content, shown, boxes, ends = (tensors[name] for name in OF_PICTURES)
        if (np.diff(shown) <= 0).any():
            raise DetectorFileError("photographs.pictured: expected ascending numbers, got others")
        if (np.diff(ends) <= 0).any() or ends[-1] != len(content):
            raise DetectorFileError(
                f"photographs.picture_ends: expected ascending numbers up to {len(content)}, "
                "got others"
            )
        if (boxes[:, 2:] < 1).any():
            raise DetectorFileError("photographs.picture_boxes: expected areas, got an empty one")
        pictures = LearnedPictures(shown, boxes, ends, content)
    return None if poses is None and pictures is None else LearnedPhotographs(pictures, poses)
