"""The range that a trait of a new good photograph has, from those of the learned ones.

The extremes of n learned photographs do not suffice: a new one lies beyond them with probability
2 / (n + 1) (exchangeability alone), which is a tenth of all photographs where 19 were learned.  So
the range is that of a prediction interval for one future observation (Hahn and Meeker, "Statistical
Intervals", 1991, chapter 4): each side has the tail model that thresholds have, on a logarithmic
scale, and ends at the extreme, with a margin, at least.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.tail_model import TailModel

RATE = 0.0005
"""Share of new good photographs beyond each end of a range, where the model holds."""
SMALLEST = 1e-9
"""Smallest distance from the origin that is distinguished."""


class UsualRange(NamedTuple):
    """Values that a trait of a new good photograph has."""

    low: float
    high: float
    learned_low: float
    """Smallest value of the learned photographs."""
    learned_high: float
    """Largest value of the learned photographs."""

    @classmethod
    def of(
        cls,
        values: NDArray[np.float64],
        shares: NDArray[np.float64],
        *,
        margin: float,
        origin: float = 0.0,
    ) -> UsualRange:
        """The range that values of learned photographs lead to.

        Args:
            values: (n,) more than `origin`.
            shares: (n,) share of its group that each photograph is; see `LeftOutScores`.
            margin: factor, at least 1, by which the ends lie beyond the extremes at least.
            origin: zero of the logarithmic scale.

        >>> learned = np.array([100.0, 104, 96, 102, 98])
        >>> found = UsualRange.of(learned, np.ones(5), margin=1.1)
        >>> found.low < 96 / 1.1, found.high > 104 * 1.1, found.learned_low
        (True, True, 96.0)
        """
        above = np.maximum(values - origin, SMALLEST)
        high = TailModel.fit(above, shares, 0.0).quantile(RATE)
        low = 1 / TailModel.fit(1 / above, shares, 0.0).quantile(RATE)
        least, most = float(values.min()), float(values.max())
        return cls(
            low=min(min(low, float(above.min()) / margin) + origin, least),
            high=max(max(high, float(above.max()) * margin) + origin, most),
            learned_low=least,
            learned_high=most,
        )
