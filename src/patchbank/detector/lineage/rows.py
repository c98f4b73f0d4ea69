"""Rows of a tensor that are in another tensor already: which they are, compared bit for bit.

All comparisons are of bytes, so NaN equals itself and -0.0 differs from 0.0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices

CHUNK_BYTES = 2**24
"""Bytes of rows that are compared or hashed at once, which bounds the memory of both."""
ABSENT = -1
"""Row number of a row that is not there."""


def is_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two tensors have the same type, shape and bytes."""
    if one is other:
        return True
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    a, b = _bytes(one.reshape(-1)), _bytes(other.reshape(-1))
    return bool(np.array_equal(a, b))


def rows_in(wanted: NDArray[Any], there: NDArray[Any]) -> Indices:
    """Number of an equal row in `there` for each row of `wanted`; `ABSENT` if there is none.

    A row that is equal at its own place is found there, which keeps prefixes together.

    Args:
        wanted: (n, ...), with rows of at least a byte.
        there: (m, ...) of the same type and shape of rows.

    >>> rows_in(np.array([[1, 2], [5, 6], [9, 9]]), np.array([[1, 2], [3, 4], [5, 6]])).tolist()
    [0, 2, -1]
    """
    found = np.full(len(wanted), ABSENT, np.int64)
    rows, others = _rows(wanted), _rows(there)
    n_both = min(len(rows), len(others))
    step = max(1, CHUNK_BYTES // max(1, rows.shape[1]))
    for start in range(0, n_both, step):
        part = slice(start, min(start + step, n_both))
        equal = (rows[part] == others[part]).all(axis=1)
        found[part][equal] = np.arange(part.start, part.stop)[equal]
    rest = np.flatnonzero(found == ABSENT)
    if not rest.size or not len(others):
        return found
    known = _hashes(others, step)
    order = np.argsort(known, kind="stable")
    hashes = _hashes(rows[rest], step)
    first = np.searchsorted(known, hashes, sorter=order)
    candidates = order[np.minimum(first, len(order) - 1)]
    for start in range(0, len(rest), step):
        part = slice(start, start + step)
        equal = (rows[rest[part]] == others[candidates[part]]).all(axis=1)
        found[rest[part][equal]] = candidates[part][equal]
    return found


def _rows(tensor: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of each row, (n, bytes)."""
    return _bytes(tensor.reshape(len(tensor), math.prod(tensor.shape[1:])))


def _bytes(tensor: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(tensor).view(np.uint8)


def _hashes(rows: NDArray[np.uint8], step: int) -> NDArray[np.uint64]:
    """A number for each row, equal for equal rows, and nearly always different for others."""
    n_bytes = rows.shape[1]
    width = next(size for size in (8, 4, 2, 1) if n_bytes % size == 0)
    words = rows.view(f"<u{width}")
    weights = np.random.default_rng(0).integers(0, 2**63, words.shape[1], np.uint64) * 2 + 1
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), step):
        part = words[start : start + step].astype(np.uint64)
        mixed = (part ^ (part >> np.uint64(29))) * weights
        found[start : start + step] = mixed.sum(axis=1, dtype=np.uint64)
    return found
