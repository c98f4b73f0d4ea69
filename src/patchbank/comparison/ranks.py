"""Rank correlation of two scores."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Spearman's rank correlation in [-1, 1], in which equal scores share their mean rank.

    It does not depend on the units of the scores: 1 if both order all photographs alike.  Ranks are
    doubled to be integers, whose sums are exact; so it is exactly 1 where both orders are equal.
    Source: Spearman, "The proof and measurement of association between two things", 1904; with ties
    as Kendall, "Rank Correlation Methods", chapter 3.

    Args:
        first: (n,).
        second: (n,).

    Returns:
        None with fewer than two photographs, or where one gives all of them the same score.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 40.0, 20.0]))
    0.5
    """
    a, b = _centred(first), _centred(second)
    spread_a, spread_b = int(a @ a), int(b @ b)
    if not spread_a or not spread_b:
        return None
    common = int(a @ b)
    if spread_a == spread_b:
        return common / spread_a
    return max(-1.0, min(1.0, common / math.sqrt(spread_a * spread_b)))


def _centred(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Twice the difference of each rank from the mean rank.  (n,) -> (n,)."""
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    doubled = 2 * last - counts + 1  # first rank and last rank of equal scores
    return doubled[which].astype(np.int64) - (len(scores) + 1)
