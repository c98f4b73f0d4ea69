"""The same place on grids of several shapes: its share of the height and of the width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices


def nearest_cells(grid: tuple[int, int], other: tuple[int, int]) -> Indices:
    """For each cell of `grid`, the cell of `other` that lies at its middle.

    Args:
        grid: (h, w).
        other: (H, W).

    Returns:
        (h * w,) numbers of cells, row by row, from 0 to H * W - 1.

    >>> nearest_cells((1, 4), (3, 2)).tolist()  # of three rows, the middle one
    [2, 2, 3, 3]
    """
    rows, columns = (
        (2 * np.arange(n) + 1) * n_other // (2 * n) for n, n_other in zip(grid, other, strict=True)
    )
    return np.asarray(rows[:, None] * other[1] + columns, dtype=np.intp).ravel()


def all_inside(inside: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Which cells of another grid lie wholly inside a mask.  (h, w) -> grid.

    >>> all_inside(np.array([[False, True, True, True]]), (2, 2)).tolist()
    [[False, True], [False, True]]
    """
    down, across = (_overlaps(n, m) for n, m in zip(inside.shape, grid, strict=True))
    touched = down @ (~inside).astype(np.intp) @ across.T
    return np.asarray(touched == 0)


def _overlaps(n: int, m: int) -> NDArray[np.intp]:
    """(m, n): 1 where the i-th of m equal parts of a line overlaps the j-th of n."""
    parts, others = np.arange(m)[:, None], np.arange(n)
    return np.asarray(
        (parts * n < (others + 1) * m) & (others * m < (parts + 1) * n), dtype=np.intp
    )
