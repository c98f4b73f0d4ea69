"""The part of a detector file that describes the learned photographs: optional, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.left_out import group_shares
from patchbank.detector.likeness import Likeness, PhotographKind
from patchbank.detector.updates import n_in_sample
from patchbank.errors import DetectorFileError
from patchbank.methods.tensor_spec import TensorSpec, check_tensors

KEY = "photograph_kinds"
LARGEST_SIDE, LARGEST_DISTANCE = 2**31 - 1, 1e30
TENSORS: Mapping[str, TensorSpec] = {
    "photographs.sizes": TensorSpec("int32", ("n", "2"), low=1, high=LARGEST_SIDE),
    "photographs.brightness": TensorSpec("float64", ("n",), low=0, high=255.01),
    "photographs.sharpness": TensorSpec("float64", ("n",), low=0, high=1e6),
    "photographs.blockiness": TensorSpec("float64", ("n",), low=0, high=1e6),
    "photographs.patch_distances": TensorSpec(
        "float64", ("m", "2"), low=-LARGEST_DISTANCE, high=LARGEST_DISTANCE
    ),
    "photographs.uncovered": TensorSpec(
        "float64", ("k",), low=0, high=LARGEST_DISTANCE, optional=True
    ),
}
BY_SIZE: Mapping[str, TensorSpec] = {
    "photographs.patch_distances_by_size": TensorSpec(
        "float64", ("s", "m", "2"), low=-LARGEST_DISTANCE, high=LARGEST_DISTANCE
    ),
}


def pack_likeness(
    likeness: Likeness | None,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Keys of the record and tensors of the file; none where nothing is remembered."""
    if likeness is None:
        return {}, {}
    kinds = sorted(likeness.kinds.items(), key=lambda item: (-item[1], repr(item[0])))
    record = [{**kind._asdict(), "count": count} for kind, count in kinds]
    tensors = {
        "photographs.sizes": likeness.sizes,
        "photographs.brightness": likeness.brightness,
        "photographs.sharpness": likeness.sharpness,
        "photographs.blockiness": likeness.blockiness,
        "photographs.patch_distances": likeness.patch_distances[-1],
    }
    if len(likeness.patch_distances) > 1:
        tensors["photographs.patch_distances_by_size"] = likeness.patch_distances
    if len(likeness.uncovered):
        tensors["photographs.uncovered"] = likeness.uncovered
    return {KEY: record}, tensors


def unpack_likeness(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
) -> Likeness | None:
    """The likeness in a file; None for files that have none, such as those of format 2.

    Args:
        record: of the file, whose keys are checked.
        tensors: all of the file, of which those of the calibration are checked.

    Raises:
        DetectorFileError, ShapeError: parts contradict each other.
    """
    kinds: Sequence[Mapping[str, Any]] | None = record.get(KEY)
    if kinds is None:
        return None
    n_photographs, n_scores = n_in_sample(record), len(tensors["calibration.image_scores"])
    count = sum(kind["count"] for kind in kinds)
    if count != n_photographs:
        raise DetectorFileError(
            f"{KEY}: expected {n_photographs} photographs altogether, got {count}"
        )
    check_tensors(tensors, TENSORS, {"n": n_photographs, "m": n_scores})
    patch_distances = tensors["photographs.patch_distances"][None]
    sizes = tensors.get("ladder.bank_rows", ())
    if len(sizes) > 1:
        check_tensors(tensors, BY_SIZE, {"s": len(sizes), "m": n_scores})
        patch_distances = tensors["photographs.patch_distances_by_size"]
    groups = tensors.get("calibration.groups") if n_photographs == n_scores else None
    return Likeness(
        kinds={
            PhotographKind(*(kind[name] for name in PhotographKind._fields)): kind["count"]
            for kind in kinds
        },
        sizes=tensors["photographs.sizes"],
        brightness=tensors["photographs.brightness"],
        sharpness=tensors["photographs.sharpness"],
        blockiness=tensors["photographs.blockiness"],
        patch_distances=patch_distances,
        shares=group_shares(groups, n_photographs),
        uncovered=tensors.get("photographs.uncovered", np.empty(0)),
    )


def are_kinds(value: Any) -> bool:
    """Whether a value of the record lists kinds of photographs with their numbers."""
    return isinstance(value, list) and bool(value) and all(map(_is_kind, value))


def _is_kind(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {*PhotographKind._fields, "count"}:
        return False
    quality = value["jpeg_quality"]
    return (
        (value["format"] is None or _is_word(value["format"]))
        and _is_word(value["mode"])
        and isinstance(value["is_grey"], bool)
        and all(_is_integer(value[name], 1, 16) for name in ("bit_depth", "bits_in_use"))
        and (quality is None or _is_integer(quality, 1, 100))
        and _is_integer(value["count"], 1, 2**31 - 1)
    )


def _is_word(value: Any) -> bool:
    """Whether it is a name such as Pillow has: it is printed."""
    is_short = isinstance(value, str) and 1 <= len(value) <= 16
    return is_short and value.isascii() and value.replace(";", "").isalnum()


def _is_integer(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high
