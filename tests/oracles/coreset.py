"""Greedy k-centre, one centre at a time, in float64."""

from __future__ import annotations

import numpy as np


def greedy(features, n_keep, start):
    """-> rows in the order in which they are chosen, and the covering radius after each."""
    features = np.asarray(features, dtype=np.float64)
    min_distances = np.full(len(features), np.inf)
    row, rows, radii = start, [], []
    for _ in range(n_keep):
        rows.append(row)
        to_row = ((features - features[row]) ** 2).sum(axis=1)
        min_distances = np.minimum(min_distances, to_row)
        min_distances[row] = -1.0
        row = int(min_distances.argmax())
        radii.append(np.sqrt(max(min_distances.max(), 0.0)))
    return rows, radii


def greedy_after(features, n_keep, existing):
    """The same after centres that exist already.

    -> rows, the covering radius after each, and the radius before the first.
    """
    features, existing = (np.asarray(a, dtype=np.float64) for a in (features, existing))
    to_existing = ((features[:, None] - existing[None]) ** 2).sum(axis=2)
    min_distances = to_existing.min(axis=1)
    before = np.sqrt(min_distances.max())
    rows, radii = [], []
    for _ in range(n_keep):
        rows.append(int(min_distances.argmax()))
        to_row = ((features - features[rows[-1]]) ** 2).sum(axis=1)
        min_distances = np.minimum(min_distances, to_row)
        min_distances[rows[-1]] = -1.0
        radii.append(np.sqrt(max(min_distances.max(), 0.0)))
    return rows, radii, before
