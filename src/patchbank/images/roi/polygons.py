"""Pixels inside a polygon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Mask


def inside_polygon(points: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """True for the pixels whose centre is inside a polygon, by the even-odd rule.

    Args:
        points: (n, 2) corners (x, y) in pixels; (0, 0) is the outer corner of the first pixel.
        size: (H, W) of the result.

    >>> inside_polygon(np.array([[1.0, 0], [4, 0], [4, 1], [1, 1]]), (2, 5)).astype(int).tolist()
    [[0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    """
    height, width = size
    crossed = np.zeros((height, width + 1), dtype=np.bool_)  # odd number of edges at this column
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = (min(max(int(np.ceil(y - 0.5)), 0), height) for y in sorted((y0, y1)))
        rows = np.arange(low, high)
        if not len(rows):
            continue
        x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)
        crossed[rows, columns] ^= True
    inside: Mask = np.logical_xor.accumulate(crossed, axis=1)[:, :width]
    return inside
