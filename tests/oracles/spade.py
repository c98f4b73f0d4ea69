"""SPADE by its definition, pixel by pixel, in float64."""

from __future__ import annotations

import numpy as np


def similar(gallery, pooled, k):
    """(n, c), (c,) -> numbers of the k nearest and their distances, nearest first."""
    distances = [np.linalg.norm(np.asarray(g, np.float64) - pooled) for g in gallery]
    order = sorted(range(len(gallery)), key=lambda i: distances[i])[:k]
    return order, [distances[i] for i in order]


def pixel_grid(plane, others, kappa=1):
    """(h, w, d), pixels (m, d) -> (h, w): mean distance to the kappa nearest."""
    others = np.asarray(others, np.float64)
    grid = np.empty(plane.shape[:2])
    for row, column in np.ndindex(*grid.shape):
        distances = np.linalg.norm(others - plane[row, column].astype(np.float64), axis=1)
        grid[row, column] = np.sort(distances)[:kappa].mean()
    return grid
