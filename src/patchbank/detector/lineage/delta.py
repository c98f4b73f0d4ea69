"""A state, coded against the state after it: the way back of one change.

A tensor that is equal in both states is not stored.  Rows of a tensor that are in the later one
are references to them, as runs or as one number for each row, whichever is smaller; others are
stored.  A tensor for which that is no gain is stored whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.lineage import json_delta
from patchbank.detector.lineage.entry import canonical
from patchbank.detector.lineage.rows import ABSENT, is_same, rows_in
from patchbank.detector.lineage.state import State, made_state
from patchbank.errors import DetectorFileError
from patchbank.types import Indices

MOST_REPEATED = 2
"""Times that all rows of a tensor may occur in another one, before it is stored whole."""
HEADER_BYTES = 100
"""Bytes that a tensor takes in the header of a file, about."""
INDEX_TYPES = (np.uint8, np.uint16, np.uint32)


@dataclass(frozen=True, slots=True)
class Delta:
    """The way back from the state after one entry to the state after an earlier one."""

    later: int
    """Number of the entry after which this way back can be used."""
    earlier: int
    """Number of the entry whose state it gives."""
    steps: Mapping[str, Any]
    """JSON: ``record`` (see `json_delta`), ``tensors`` (name -> how it is coded, with indices into
    `arrays`), ``removed`` (names of tensors that the earlier state lacks)."""
    arrays: tuple[NDArray[Any], ...]

    @property
    def n_bytes(self) -> int:
        """Size in a file, in bytes."""
        arrays = sum(array.nbytes + HEADER_BYTES for array in self.arrays)
        return arrays + len(canonical(self.steps))


def delta_of(earlier: State, later: State, numbers: tuple[int, int]) -> Delta:
    """Code a state against the one after it.

    Args:
        earlier: the state that is coded.
        later: the state that it is coded against.
        numbers: of their entries, the earlier one first.
    """
    arrays: list[NDArray[Any]] = []
    numbers_of: dict[tuple[str, bytes], int] = {}

    def stored(array: NDArray[Any], *, shared: bool = False) -> int:
        """Number of a stored array; row numbers that several tensors share are stored once."""
        if not shared:
            arrays.append(array)
            return len(arrays) - 1
        key = (f"{array.dtype.str}{array.shape}", array.tobytes())
        if key not in numbers_of:
            numbers_of[key] = stored(array)
        return numbers_of[key]

    tensors: dict[str, dict[str, int]] = {}
    for name in sorted(earlier.tensors):
        tensor, other = earlier.tensors[name], later.tensors.get(name)
        if other is not None and is_same(tensor, other):
            continue
        rows = None if other is None else _coded_rows(tensor, other)
        if rows is None:
            tensors[name] = {"whole": stored(tensor)}
        else:
            kind, index, new = rows
            tensors[name] = {kind: stored(index, shared=True), "new": stored(new)}
    steps = {
        "record": json_delta.encoded(earlier.record, later.record),
        "tensors": tensors,
        "removed": sorted(later.tensors.keys() - earlier.tensors.keys()),
    }
    return Delta(numbers[1], numbers[0], steps, tuple(arrays))


def restored(delta: Delta, later: State) -> State:
    """The earlier state of a delta.

    Raises:
        DetectorFileError: the delta is not one of this state.
    """
    try:
        removed, coded = delta.steps["removed"], delta.steps["tensors"]
        tensors = {name: t for name, t in later.tensors.items() if name not in removed}
        for name, how in coded.items():
            tensors[name] = _decoded(how, delta.arrays, later.tensors.get(name))
        record = json_delta.decoded(delta.steps["record"], later.record)
        return made_state(tensors, record, later.backbones)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DetectorFileError(
            f"lineage: expected the way back to entry {delta.earlier}, got a damaged one "
            f"({type(error).__name__}); restore a copy of the file"
        ) from error


def _coded_rows(
    tensor: NDArray[Any], other: NDArray[Any]
) -> tuple[str, NDArray[Any], NDArray[Any]] | None:
    """(``runs`` or ``index``, row numbers, rows that are stored); None where it is no gain.

    The number after the last row of `other` stands for the next row that is stored.
    """
    is_like = tensor.dtype == other.dtype and tensor.shape[1:] == other.shape[1:]
    if not is_like or tensor.ndim == 0 or not tensor.nbytes:
        return None
    index = rows_in(tensor, other)
    new = tensor[index == ABSENT]
    n_rows = len(other)
    if len(tensor) > MOST_REPEATED * (n_rows + len(new)) or max(len(tensor), n_rows) >= 2**31:
        return None
    index[index == ABSENT] = n_rows
    every = _small(index, n_rows)
    runs = _runs(index, n_rows)
    kind, numbers = ("runs", runs) if runs.nbytes < every.nbytes else ("index", every)
    return None if numbers.nbytes + new.nbytes >= tensor.nbytes else (kind, numbers, new)


def _runs(index: Indices, n_rows: int) -> NDArray[Any]:
    """(r, 2) first row and number of rows of each run."""
    steps = np.diff(index)
    is_stored = index == n_rows
    goes_on = (steps == 1) & ~is_stored[1:] | is_stored[1:] & is_stored[:-1]
    starts = np.concatenate([[0], np.flatnonzero(~goes_on) + 1])
    counts = np.diff(np.append(starts, len(index)))
    return _small(np.stack([index[starts], counts], axis=1), max(n_rows, len(index)))


def _small(numbers: Indices, highest: int) -> NDArray[Any]:
    """The numbers in the smallest type that holds them."""
    kind = next(kind for kind in INDEX_TYPES if highest <= np.iinfo(kind).max)
    return numbers.astype(kind)


def _decoded(
    how: Mapping[str, int], arrays: tuple[NDArray[Any], ...], other: NDArray[Any] | None
) -> NDArray[Any]:
    """A tensor of the earlier state."""
    if "whole" in how:
        return _array(arrays, how["whole"])
    new = _array(arrays, how["new"])
    if other is None or new.dtype != other.dtype or new.shape[1:] != other.shape[1:]:
        raise ValueError("stored rows are not like those of the tensor")
    n_rows, most = len(other), MOST_REPEATED * (len(other) + len(new))
    if "runs" in how:
        index = _index_of_runs(_numbers(arrays, how["runs"], 2), n_rows, most)
    else:
        index = _numbers(arrays, how["index"], 1)
    is_stored = index == n_rows
    if len(index) > most or is_stored.sum() != len(new):
        raise ValueError("row numbers and stored rows do not agree")
    rows = np.empty((len(index), *other.shape[1:]), other.dtype)
    rows[is_stored] = new
    rows[~is_stored] = other[index[~is_stored]]
    return rows


def _index_of_runs(runs: NDArray[Any], n_rows: int, most: int) -> Indices:
    """One row number for each row, from runs."""
    first, count = runs.T
    if (count < 1).any() or count.sum() > most or (count > most).any():
        raise ValueError("runs are too long")
    starts = np.repeat(first, count)
    steps = np.arange(len(starts)) - np.repeat(np.cumsum(count) - count, count)
    return np.where(starts == n_rows, n_rows, starts + steps)


def _numbers(arrays: tuple[NDArray[Any], ...], number: int, n_axes: int) -> Indices:
    """Stored numbers, which are unsigned."""
    found = _array(arrays, number)
    if found.dtype.kind != "u" or found.ndim != n_axes:
        raise ValueError("row numbers are of another type or shape")
    return found.astype(np.int64)


def _array(arrays: tuple[NDArray[Any], ...], number: int) -> NDArray[Any]:
    if type(number) is not int or not 0 <= number < len(arrays):
        raise IndexError("no such array")
    return arrays[number]
