"""Whether photographs that follow each other score alike, as several of one part do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FAR = 50
"""Distance at which scores of one stream are compared as a control; a quarter of a short one."""
FEWEST = 40
"""Scores below which no correlation is sure."""
SURE = 4.0
"""Standard deviations beyond which the difference is no chance (1 in 30,000)."""
LEAST = 0.2
"""Correlation below which it does no harm."""


def neighbour_correlation(scores: NDArray[np.float64]) -> float | None:
    """Rank correlation of neighbours, where it is clearly above that of scores far from each other.

    Scores that drift are alike at any distance, so those `FAR` away are the control.

    Args:
        scores: (t,) in their order.

    -> the correlation, in [-1, 1]; None where neighbours are no more alike than others, or there
    are too few scores.

    >>> scores = np.random.default_rng(0).random(200)
    >>> neighbour_correlation(scores) is None, neighbour_correlation(np.repeat(scores, 3)) > 0.6
    (True, True)
    """
    if len(scores) < FEWEST or np.ptp(scores) == 0:
        return None
    control = min(FAR, len(scores) // 4)
    _, tied = np.unique(scores, return_inverse=True)
    last = np.bincount(tied).cumsum()
    ranks = (last[tied] - np.bincount(tied)[tied] / 2).astype(np.float64)
    ranks = (ranks - ranks.mean()) / ranks.std()
    near, far = (float((ranks[:-lag] * ranks[lag:]).mean()) for lag in (1, control))
    chance = np.sqrt(2 / (len(scores) - control))
    is_alike = near > LEAST and near - far > SURE * chance
    return min(near, 1.0) if is_alike else None
