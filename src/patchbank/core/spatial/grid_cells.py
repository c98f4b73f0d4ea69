"""Cells that correspond on grids of several shapes: same fraction of the height and the width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices


def nearest_cells(grid: tuple[int, int], other: tuple[int, int]) -> Indices:
    """Find the cell of another grid that contains the centre of each cell of one grid.

    Args:
        grid: (h, w).
        other: (H, W).

    Returns:
        (h * w,) cell numbers of `other`, row-major, from 0 to H * W - 1.

    >>> nearest_cells((1, 4), (3, 2)).tolist()  # the middle one of three rows
    [2, 2, 3, 3]
    """
    rows, columns = (
        (2 * np.arange(n) + 1) * n_other // (2 * n) for n, n_other in zip(grid, other, strict=True)
    )
    return np.asarray(rows[:, None] * other[1] + columns, dtype=np.intp).ravel()


def all_inside(inside: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """True for the cells of another grid that lie entirely inside a mask.  (h, w) -> grid.

    >>> all_inside(np.array([[False, True, True, True]]), (2, 2)).tolist()
    [[False, True], [False, True]]
    """
    h, w = inside.shape
    outside = np.zeros((h + 1, w + 1), dtype=np.intp)  # number of cells outside, above and left
    outside[1:, 1:] = np.cumsum(np.cumsum(~inside, axis=0, dtype=np.intp), axis=1)
    (top, bottom), (left, right) = (_overlapped(n, m) for n, m in zip((h, w), grid, strict=True))
    above = outside[top][:, right] - outside[top][:, left]
    return np.asarray(outside[bottom][:, right] - outside[bottom][:, left] == above)


def any_inside(inside: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """True for the cells of another grid with some part inside a mask.  (h, w) -> grid.

    >>> any_inside(np.array([[False, True, True, True]]), (2, 2)).tolist()
    [[True, True], [True, True]]
    """
    return ~all_inside(~inside, grid)


def _overlapped(n: int, m: int) -> tuple[Indices, Indices]:
    """First and last plus one of n equal parts of a line that each of m parts overlaps."""
    parts = np.arange(m)
    return parts * n // m, -(-(parts + 1) * n // m)
