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
    down, across = (_overlaps(n, m) for n, m in zip(inside.shape, grid, strict=True))
    touched = down @ (~inside).astype(np.intp) @ across.T
    return np.asarray(touched == 0)


def _overlaps(n: int, m: int) -> NDArray[np.intp]:
    """1 where the i-th of m equal parts of a line overlaps the j-th of n parts.  -> (m, n)."""
    parts, others = np.arange(m)[:, None], np.arange(n)
    return np.asarray(
        (parts * n < (others + 1) * m) & (others * m < (parts + 1) * n), dtype=np.intp
    )
