"""Model of the upper tail of left-out scores: a Student-t distribution of their logarithms.

Ranks alone distinguish no rate below 1 / (n + 1), and let a single odd photograph set the
threshold.  The model says how much higher than the middle a new good photograph may score, from the
upper half of the scores only (photographs that resemble each other score very low when they are
left out, and say nothing about the tail), and counts one odd photograph as three deviations at
most.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.student_t import upper_quantile, upper_tail

USUAL_SPREAD = 0.1
"""Standard deviation of the logarithms that is usual, towards which few scores are shrunk."""
USUAL_WEIGHT = 2.0
"""Degrees of freedom that the usual spread is worth."""
LARGEST_DEVIATION = 3.0
"""Deviations that an odd score counts at most."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
MEDIAN_VARIANCE = 1.5
"""About pi / 2: variance of the median of normal numbers over that of their mean."""
SMALLEST_SHARE = 1e-9
"""Share of the largest score below which scores are not distinguished."""


@dataclass(frozen=True, slots=True)
class TailModel:
    """Distribution of the score of a new good photograph: exp(centre + spread * t) + origin."""

    origin: float
    """Score of a photograph without any distance to the learned ones."""
    centre: float
    """Median of the logarithms; minus infinity where no score is above the origin."""
    spread: float
    """Scale of the logarithms of the upper half, the uncertainty of the centre included."""
    dof: float
    """Degrees of freedom."""

    @classmethod
    def fit(
        cls, scores: NDArray[np.float64], weights: NDArray[np.float64], origin: float
    ) -> TailModel:
        """Estimate the model.

        Args:
            scores: (n,) left-out scores.
            weights: (n,) share of its group that each photograph is; they add up to the number of
                groups, which are the sample.
            origin: score of a photograph without any distance to the learned ones.
        """
        n_groups = float(weights.sum())
        half = (n_groups - 1) / 2
        dof = USUAL_WEIGHT + half
        above = scores - origin
        largest = float(above.max())
        if not largest > 0:
            return cls(origin, -math.inf, USUAL_SPREAD, dof)
        logs = np.log(np.maximum(above, SMALLEST_SHARE * largest))
        centre = weighted_median(logs, weights)
        upper = np.maximum(logs - centre, 0)
        is_above = upper > 0
        rough = 0.0
        if is_above.any():
            rough = NORMAL_MAD * weighted_median(upper[is_above], weights[is_above])
        usual = USUAL_WEIGHT * USUAL_SPREAD**2
        first = math.sqrt((usual + half * rough**2) / dof)
        kept = np.minimum(upper, LARGEST_DEVIATION * first)
        # The upper half alone has half of the squares of a symmetric distribution.
        variance = 2 * float(np.average(kept**2, weights=weights))
        spread = math.sqrt((usual + half * variance) / dof * (1 + MEDIAN_VARIANCE / n_groups))
        return cls(origin, centre, spread, dof)

    def quantile(self, rate: float) -> float:
        """The score that a new good photograph exceeds with a probability of `rate`, finite."""
        if self.centre == -math.inf:
            return self.origin
        exponent = self.centre + self.spread * upper_quantile(rate, self.dof)
        if exponent > math.log(sys.float_info.max):
            return sys.float_info.max
        return self.origin + math.exp(exponent)

    def tail_probability(self, score: float) -> float:
        """Probability that a new good photograph scores higher than `score`, in [0, 1]."""
        above = score - self.origin
        if self.centre == -math.inf:
            return 0.0 if above > 0 else 1.0
        if above <= 0:
            return 1.0
        if math.isinf(above):
            return 0.0
        return upper_tail((math.log(above) - self.centre) / self.spread, self.dof)


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Value with half of the weight below it; the middle of two where both have half.

    >>> weighted_median(np.array([3.0, 1.0, 2.0, 9.0]), np.ones(4))
    2.5
    >>> weighted_median(np.array([1.0, 2.0, 9.0]), np.array([0.5, 0.5, 2.0]))
    9.0
    """
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    half = cumulative[-1] / 2
    at = int(np.searchsorted(cumulative, half * (1 - 1e-12)))
    low = float(values[order[at]])
    if cumulative[at] > half * (1 + 1e-12):
        return low
    return (low + float(values[order[at + 1]])) / 2
