"""Control limits of a p-chart: what the share of flagged parts stays between by chance alone.

Each point of the chart is a number of parts, of which some are flagged.  As long as every part is
flagged with one and the same probability, whatever the others were, that number is binomial.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SIGMAS = 3.0
TAIL = math.erfc(SIGMAS / math.sqrt(2)) / 2
"""Chance of a normal variable beyond three standard deviations on one side: 0.135 %."""
FEW = 10.0
"""Expected number, of flagged or of other parts, below which the limits are exact."""


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """Shares between which a point stays by chance alone; the limits themselves are inside."""

    low: float
    high: float
    is_exact: bool
    """Whether they are quantiles of the binomial distribution, and not three sigmas."""

    def hold(self, share: float) -> bool:
        """Whether a share is inside."""
        return self.low <= share <= self.high


def control_limits(number: int, mean: float) -> ControlLimits:
    """Control limits of the share of flagged ones among so many parts.

    They are three standard deviations on both sides of the mean, each point with its own number of
    parts (Montgomery, "Introduction to Statistical Quality Control", 7th edition, section 7.2.2;
    NIST/SEMATECH e-Handbook of Statistical Methods, section 6.3.3.2).  Where fewer than 10 parts
    are expected to be flagged, or not to be, a binomial variable is too skew for that: with one
    that is expected, chance puts 1.9 % above three sigmas.  The limits are quantiles then, so that
    the chance on each side is at most that of a normal variable beyond three standard deviations
    (probability limits).

    Args:
        number: of parts, at least 1.
        mean: share of flagged ones in the long run, in [0, 1].

    >>> control_limits(400, 0.25)
    ControlLimits(low=0.185..., high=0.314..., is_exact=False)
    >>> control_limits(50, 0.02)
    ControlLimits(low=0.0, high=0.1, is_exact=True)
    """
    if min(mean, 1 - mean) * number < FEW:
        low, high = _quantiles(number, mean)
        return ControlLimits(low / number, high / number, True)
    half = SIGMAS * math.sqrt(mean * (1 - mean) / number)
    return ControlLimits(max(0.0, mean - half), min(1.0, mean + half), False)


def _quantiles(number: int, mean: float) -> tuple[int, int]:
    """The least and the most that are not beyond the tails of a binomial distribution.

    Few are expected, so few terms are summed up, and none of them is too small for a float.
    """
    if mean > 0.5:
        low, high = _quantiles(number, 1 - mean)
        return number - high, number - low
    term = (1 - mean) ** number
    low, count, below = 0, 0, 0.0
    while 1 - (below + term) > TAIL:
        below += term
        count += 1
        term *= (number - count + 1) / count * mean / (1 - mean)
        if below < TAIL:
            low = count
    return low, count
