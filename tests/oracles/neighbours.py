"""Nearest neighbours by brute force, in float64."""

from __future__ import annotations

import numpy as np


def nearest(bank, queries, k):
    """-> (n, k) distances, ascending."""
    bank, queries = np.asarray(bank, np.float64), np.asarray(queries, np.float64)
    distances = np.array([[np.linalg.norm(q - b) for b in bank] for q in queries])
    return np.sort(distances, axis=1)[:, :k]
