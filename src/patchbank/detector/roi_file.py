"""The region of interest in a detector file: optional, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.likeness_file import LARGEST_SIDE
from patchbank.errors import DetectorFileError
from patchbank.images.roi import RegionOfInterest
from patchbank.methods.tensor_spec import TensorSpec, check_tensors
from patchbank.settings import Settings

KEY = "roi"
"""Key of the record; a program that does not know it would inspect whole photographs."""
MASK = "roi.mask"


def pack_roi(roi: RegionOfInterest | None) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Keys of the record and tensors of the file; none without a region."""
    if roi is None:
        return {}, {}
    record = {"size": list(roi.size), "roi": list(roi.roi), "ignore": list(roi.ignore)}
    return {KEY: record}, {MASK: np.packbits(roi.mask, axis=1)}


def unpack_roi(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    settings: Sequence[Settings],
) -> RegionOfInterest | None:
    """The region of interest in a file; None where whole photographs are inspected.

    Args:
        record: of the file, whose keys are checked.
        tensors: all of the file.
        settings: of each member.

    Raises:
        DetectorFileError, ShapeError: parts contradict each other.
    """
    stored = record.get(KEY)
    if stored is None:
        return None
    height, width = stored["size"]
    shape = (str(height), str(-(-width // 8)))
    check_tensors(tensors, {MASK: TensorSpec("uint8", shape)}, {})
    mask = np.unpackbits(tensors[MASK], axis=1, count=width).astype(np.bool_)
    if not mask.any():
        raise DetectorFileError(f"{MASK}: expected a pixel that is inspected, got none")
    if any(one.crop or one.position != "as_photographed" for one in settings):
        raise DetectorFileError(
            f"{KEY}: expected members without crop and canonical position, got one with it"
        )
    return RegionOfInterest(mask, stored["roi"], stored["ignore"])


def is_roi(value: Any) -> bool:
    """Whether a value of the record describes a region of interest."""
    if not isinstance(value, dict) or value.keys() != {"size", "roi", "ignore"}:
        return False
    size = value["size"]
    return (
        isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in size)
        and all(_are_texts(value[name]) for name in ("roi", "ignore"))
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
