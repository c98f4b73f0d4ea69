"""Cells of a feature grid that belong to a region of interest, from a mask of its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices, Mask


def cells_of_interest(mask: Mask, grid: tuple[int, int], stride: int = 1) -> NDArray[np.bool_]:
    """True for the cells of the patches that lie at least by half inside a mask.

    With a stride, a patch stands for the cells that are nearest to its own.  Where the region has a
    thin or small hole, in which no patch lies by half, those that the hole touches are left out;
    where a thin or small part of it would have none, those that it touches are added.

    Args:
        mask: (H, W) pixels that the grid covers.
        grid: (h, w) cells of the feature grid.
        stride: cells from one patch to the next.

    Returns:
        (h, w); every `stride`-th row and column of it are the patches.

    >>> mask = np.array([[1, 1, 1, 0, 0, 0, 0, 0, 0, 1]], dtype=bool)
    >>> cells_of_interest(mask, (1, 5)).tolist()  # halves count; the last is small
    [[True, True, False, False, True]]
    """
    if mask.all():
        return np.ones(grid, dtype=np.bool_)
    shares = inside_shares(mask, grid, stride)
    inside = shares >= 0.5
    inside &= (shares == 1) | _neighbourhood(~inside, beyond=True)
    inside |= (shares > 0) & ~_neighbourhood(inside, beyond=False)
    down, across = (_patch_of_cells(n, stride) for n in grid)
    return inside[down[:, None], across]


def inside_shares(mask: Mask, grid: tuple[int, int], stride: int = 1) -> NDArray[np.float64]:
    """Share of the area that each patch stands for that is inside a mask.  -> (h', w').

    Args:
        mask: (H, W) pixels that the grid covers.
        grid: (h, w) cells of the feature grid.
        stride: cells from one patch to the next.
    """
    rows, columns = (_edges(n, stride) for n in grid)
    down, across = (
        _overlaps(edges, 2 * n, n_pixels)
        for edges, n, n_pixels in zip((rows, columns), grid, mask.shape, strict=True)
    )
    covered = np.stack([_sum_of_rows(mask, weights) for weights in down]) @ across.T
    areas = np.outer(np.diff(rows) * mask.shape[0], np.diff(columns) * mask.shape[1])
    return np.asarray(covered / areas)


def _edges(n_cells: int, stride: int) -> Indices:
    """Where the areas of the patches along an axis begin and end, in halves of a cell."""
    n_patches = -(-n_cells // stride)
    between = 2 * stride * np.arange(1, n_patches) - (stride - 1)
    return np.concatenate([[0], between, [2 * n_cells]])


def _patch_of_cells(n_cells: int, stride: int) -> Indices:
    """The patch that stands for each cell along an axis.  -> (n_cells,)."""
    return np.minimum((np.arange(n_cells) + stride // 2) // stride, -(-n_cells // stride) - 1)


def _overlaps(edges: Indices, length: int, n_pixels: int) -> NDArray[np.float64]:
    """Overlap of each part of an axis with each pixel, in units in which all are integers.

    Args:
        edges: (p + 1,) of the parts, on an axis of this length.
        length: of the axis.
        n_pixels: of it.

    Returns:
        (p, n_pixels); a pixel is as long as the axis.
    """
    begins = length * np.arange(n_pixels)
    low = np.maximum(edges[:-1, None] * n_pixels, begins)
    high = np.minimum(edges[1:, None] * n_pixels, begins + length)
    overlaps: NDArray[np.float64] = np.maximum(high - low, 0).astype(np.float64)
    return overlaps


def _sum_of_rows(mask: Mask, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sum of the rows of a mask, of which few have a weight.  (H,) -> (W,)."""
    used = np.flatnonzero(weights)
    rows = slice(int(used[0]), int(used[-1]) + 1)
    total: NDArray[np.float64] = weights[rows] @ mask[rows]
    return total


def _neighbourhood(cells: NDArray[np.bool_], *, beyond: bool) -> NDArray[np.bool_]:
    """True for cells of which one of the eight neighbours, or the cell itself, is true.

    Args:
        cells: (h, w).
        beyond: value of the neighbours beyond the border.
    """
    h, w = cells.shape
    fenced = np.pad(cells, 1, constant_values=beyond)
    shifted = [fenced[i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return np.asarray(np.logical_or.reduce(shifted))
