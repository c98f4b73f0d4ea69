"""Greedy k-centre, one pick at a time, in float64."""

from __future__ import annotations

import numpy as np


def greedy(features, n_keep, start):
    """-> rows in picking order, and the covering radius after each pick."""
    features = np.asarray(features, dtype=np.float64)
    gap = np.full(len(features), np.inf)
    row, rows, radii = start, [], []
    for _ in range(n_keep):
        rows.append(row)
        gap = np.minimum(gap, ((features - features[row]) ** 2).sum(axis=1))
        gap[row] = -1.0
        row = int(gap.argmax())
        radii.append(np.sqrt(max(gap.max(), 0.0)))
    return rows, radii
