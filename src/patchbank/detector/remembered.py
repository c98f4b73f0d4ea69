"""Remembered defects: scores and feature patches, by which later updates look for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import DetectorFileError
from patchbank.methods.remembering import Remembering
from patchbank.methods.tensor_spec import TensorSpec, check_tensors
from patchbank.types import Indices

KEY = "remembered"
MOST = 1000
"""Defects that a detector remembers at most."""
LARGEST_GRID = 2**15


@dataclass(frozen=True, slots=True, eq=False)
class RememberedPatches:
    """The patches of a defect that one member of the detector found the oddest."""

    features: NDArray[np.float32]
    """(p, d)."""
    cells: Indices
    """(p, 2) row and column of each in the patch grid."""
    grid: tuple[int, int]
    """(h, w) of that."""
    count: int
    """Number of patches that the image score averages."""


@dataclass(frozen=True, slots=True, eq=False)
class RememberedDefect:
    """A photograph that was confirmed as a defect, and need not stay."""

    name: str
    score: float
    """Score when it was remembered."""
    patches: tuple[RememberedPatches, ...]
    """Patches for each member of the detector."""

    def is_same(self, other: RememberedDefect) -> bool:
        """Whether both are the same photograph, as the members see it."""
        pairs = zip(self.patches, other.patches, strict=True)
        return all(np.array_equal(one.features, two.features) for one, two in pairs)


def pack_remembered(
    defects: Sequence[RememberedDefect],
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Keys of the record and tensors of the file; none where nothing is remembered."""
    if not defects:
        return {}, {}
    tensors: dict[str, NDArray[Any]] = {
        f"{KEY}.scores": np.array([each.score for each in defects], dtype=np.float64)
    }
    for member in range(len(defects[0].patches)):
        of_member = [each.patches[member] for each in defects]
        name = f"{KEY}.{member}"
        tensors |= {
            f"{name}.features": np.concatenate([each.features for each in of_member]),
            f"{name}.cells": np.concatenate([each.cells for each in of_member]).astype(np.int32),
            f"{name}.ends": np.cumsum([len(each.features) for each in of_member], dtype=np.int64),
            f"{name}.grids": np.array([each.grid for each in of_member], dtype=np.int32),
            f"{name}.counts": np.array([each.count for each in of_member], dtype=np.int32),
        }
    return {KEY: [each.name for each in defects]}, tensors


def unpack_remembered(
    record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], models: Sequence[object]
) -> tuple[RememberedDefect, ...]:
    """The remembered defects of a file, none for files without them, such as older ones.

    Args:
        record: of the file.
        tensors: of the file.
        models: of its members.

    Raises:
        DetectorFileError, ShapeError: parts contradict each other.
    """
    names = record.get(KEY)
    if names is None:
        return ()
    scores = {f"{KEY}.scores": TensorSpec("float64", ("k",), low=-1e300, high=1e300)}
    check_tensors(_of(scores, tensors), scores, {"k": len(names)})
    members = []
    for number, model in enumerate(models):
        found = _of_member(f"{KEY}.{number}", tensors, len(names))
        width = found[0].features.shape[1]
        if not isinstance(model, Remembering) or model.n_features != width:
            known = model.n_features if isinstance(model, Remembering) else "no"
            raise DetectorFileError(
                f"{KEY}.{number}.features: expected {known} numbers a patch, got {width}"
            )
        members.append(found)
    return tuple(
        RememberedDefect(name, float(tensors[f"{KEY}.scores"][number]), patches)
        for number, (name, patches) in enumerate(
            zip(names, zip(*members, strict=True), strict=True)
        )
    )


def are_names(value: Any) -> bool:
    """Whether a value of the record names the remembered defects."""
    return (
        isinstance(value, list)
        and 1 <= len(value) <= MOST
        and all(isinstance(name, str) for name in value)
    )


def _of(specs: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: tensors[name] for name in specs if name in tensors}


def _of_member(
    name: str, tensors: Mapping[str, NDArray[Any]], n_defects: int
) -> list[RememberedPatches]:
    specs = {
        f"{name}.features": TensorSpec("float32", ("p", "d")),
        f"{name}.cells": TensorSpec("int32", ("p", "2"), low=0, high=LARGEST_GRID),
        f"{name}.ends": TensorSpec("int64", ("k",), low=1, high=2**31),
        f"{name}.grids": TensorSpec("int32", ("k", "2"), low=1, high=LARGEST_GRID),
        f"{name}.counts": TensorSpec("int32", ("k",), low=1),
    }
    found = _of(specs, tensors)
    check_tensors(found, specs, {"k": n_defects})
    features, cells, ends, grids, counts = (found[one] for one in specs)
    if (np.diff(ends) <= 0).any() or ends[-1] != len(features):
        raise DetectorFileError(
            f"{name}.ends: expected ascending numbers up to {len(features)}, got others"
        )
    sizes = np.diff(ends, prepend=0)
    if (cells >= np.repeat(grids, sizes, axis=0)).any():
        raise DetectorFileError(f"{name}.cells: expected cells in the grid, got one outside")
    if (counts > sizes).any():
        raise DetectorFileError(f"{name}.counts: expected at most the patches, got more")
    begins = ends - sizes
    return [
        RememberedPatches(
            features[begin:end],
            cells[begin:end].astype(np.intp),
            (int(grid[0]), int(grid[1])),
            int(count),
        )
        for begin, end, grid, count in zip(begins, ends, grids, counts, strict=True)
    ]
