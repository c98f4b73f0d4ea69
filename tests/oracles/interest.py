"""Cells of a region of interest and pixels of a polygon, one at a time, in fractions."""

from fractions import Fraction

import numpy as np


def share(mask, rows, columns):
    """Share of a rectangle, in fractions of a pixel, that is inside a mask.  -> Fraction."""
    covered = Fraction(0)
    for y, x in np.argwhere(mask).tolist():
        height = min(rows[1], y + 1) - max(rows[0], y)
        width = min(columns[1], x + 1) - max(columns[0], x)
        covered += max(height, 0) * max(width, 0)
    return covered / ((rows[1] - rows[0]) * (columns[1] - columns[0]))


def shares(mask, grid, stride):
    """(h', w') object: share of the area that each patch stands for."""
    axes = []
    for n_cells, n_pixels in zip(grid, mask.shape, strict=True):
        n_patches = -(-n_cells // stride)
        edges = [Fraction(0)]
        for number in range(1, n_patches):  # half-way between two patches' own cells
            last, first = (number - 1) * stride, number * stride
            edges.append((Fraction(last + first) + 1) / 2)
        edges.append(Fraction(n_cells))
        axes.append([edge * Fraction(n_pixels, n_cells) for edge in edges])
    rows, columns = axes
    found = np.empty((len(rows) - 1, len(columns) - 1), dtype=object)
    for i, j in np.ndindex(*found.shape):
        found[i, j] = share(mask, rows[i : i + 2], columns[j : j + 2])
    return found


def cells(mask, grid, stride):
    """(h', w') bool: the patches that count."""
    of_patches = shares(mask, grid, stride)
    half = {cell for cell in np.ndindex(*of_patches.shape) if of_patches[cell] >= Fraction(1, 2)}
    everywhere = set(np.ndindex(*of_patches.shape))

    def around(cell):
        return [(cell[0] + i, cell[1] + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]

    kept = {c for c in half if of_patches[c] == 1 or any(n not in half for n in around(c))}
    added = {c for c in everywhere if of_patches[c] > 0 and not any(n in kept for n in around(c))}
    found = np.zeros(of_patches.shape, dtype=bool)
    for cell in kept | added:
        found[cell] = True
    return found


def inside(points, size):
    """(H, W) bool: whether a ray from the centre of each pixel to the left crosses an odd number
    of edges; a centre on an edge is inside on the left and upper side of the polygon."""
    found = np.zeros(size, dtype=bool)
    for row, column in np.ndindex(*size):
        y, x = Fraction(2 * row + 1, 2), Fraction(2 * column + 1, 2)
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if min(y0, y1) <= y < max(y0, y1):
                at = x0 + (y - y0) * Fraction(x1 - x0) / Fraction(y1 - y0)
                found[row, column] ^= at <= x
    return found
