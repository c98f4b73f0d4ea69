"""Thresholds and p-values from left-out scores: conformal ranks, refined by a tail model.

Let s_1, ..., s_n be the scores of n good photographs, each left out, and r(x) the number of them at
or above x.  Of n + 1 exchangeable photographs the new one is among the k highest with probability
k / (n + 1), whatever the distribution (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random
World", 2005, section 2.1), so that (r(x) + 1) / (n + 1) is a p-value.  It distinguishes no rate
below 1 / (n + 1) and is coarse where n is small.  Here a tail model chooses the p-value within the
steps next to the rank:

    p(x) = tail(x), but at least lowest(r(x)) / (n + 1) and at most (r(x) + 1) / (n + 1)
    lowest(r) = 0 for r <= 1, r - 1 up to r = 2, r above

So the rate of false alarms stays below (k + 1) / (n + 1), or (k + 2) / (n + 1) for rates below
2 / (n + 1), whatever the model says: k is the number of ranks that the rate allows.

Photographs of one group were left out together and are not independent.  The groups are the sample
then: n is their number, and each photograph counts as its share of its group.  For a photograph of
a new group the p-value keeps its meaning (Lee, Barber, Willett, "Distribution-free inference with
hierarchical data", 2023, section 3.1).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.tail_model import TailModel

ROUNDING = 1e-12
"""Relative error of a rate times a number of ranks, and of sums of shares."""


@dataclass(frozen=True)
class LeftOutScores:
    """Scores of good photographs that were left out, of one kind: image scores or map peaks."""

    scores: NDArray[np.float64]
    """(n,)"""
    weights: NDArray[np.float64]
    """(n,) share of its group that each photograph is; they add up to the number of groups."""
    origin: float = 0.0
    """Score of a photograph without any distance to the learned ones."""

    @cached_property
    def n_groups(self) -> int:
        """Number of groups; that of photographs where each is alone."""
        return round(float(self.weights.sum()))

    @cached_property
    def model(self) -> TailModel:
        """Distribution of the score of a new good photograph."""
        return TailModel.fit(self.scores, self.weights, self.origin)

    @cached_property
    def descending(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(m,) the distinct scores, highest first, and r(x) at each of them."""
        distinct, index = np.unique(self.scores, return_inverse=True)
        shares = np.bincount(index, weights=self.weights, minlength=len(distinct))
        return distinct[::-1], _whole(np.cumsum(shares[::-1]))

    def at_or_above(self, score: float) -> float:
        """r(x): number of groups that score at least x; a part of a group counts as its share."""
        scores, counts = self.descending
        at = int(np.searchsorted(-scores, -score, side="right"))
        return float(counts[at - 1]) if at else 0.0

    def threshold(self, rate: float) -> float:
        """The score above which the p-value is at most `rate`."""
        ranks = self._ranks(rate)
        scores, counts = self.descending
        certain = scores[counts > ranks - 1]
        refused = scores[_lowest(counts) > ranks]
        high = float(certain[0]) if ranks >= 1 and len(certain) else math.inf
        low = float(refused[0]) if len(refused) else -math.inf
        return min(max(self.model.quantile(rate), low), high)

    def p_value(self, score: float) -> float:
        """Probability that a new good photograph scores this high or higher, in (0, 1]."""
        if math.isnan(score):
            score = math.inf
        count = self.at_or_above(score)
        step = 1 / (self.n_groups + 1)
        low, high = float(_lowest(np.float64(count))) * step, (count + 1) * step
        p_value = min(max(self.model.tail_probability(score), low), high)
        return min(max(p_value, sys.float_info.min), 1.0)

    def guaranteed_rate(self, rate: float) -> float:
        """Upper bound of the mean share of false alarms at `threshold(rate)`, in (0, 1].

        It needs no assumption but exchangeability: the mean is that over draws of the photographs
        that were learned, and the new photograph is one of a new group.
        """
        ranks = self._ranks(rate)
        allowed = ranks if ranks >= 2 else min(ranks + 1, 2.0)
        if (self.weights == 1).all():
            allowed = math.floor(allowed)
        return min((allowed + 1) / (self.n_groups + 1), 1.0)

    def _ranks(self, rate: float) -> float:
        return rate * (self.n_groups + 1) * (1 + ROUNDING)


def group_shares(groups: NDArray[np.int32] | None, count: int) -> NDArray[np.float64]:
    """Share of its group that each of `count` photographs is, (n,).

    Args:
        groups: (n,) number of the group of each; None where each is alone.
        count: number of photographs.

    >>> group_shares(np.array([3, 1, 3]), 3).tolist()
    [0.5, 1.0, 0.5]
    """
    if groups is None:
        return np.ones(count)
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shares: NDArray[np.float64] = 1 / sizes[group]
    return shares


def _lowest(counts: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """Ranks that a p-value covers at least where r(x) scores are at or above."""
    return np.where(counts <= 2, np.maximum(counts - 1, 0), counts)


def _whole(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of shares; those that are whole but for rounding are made whole."""
    nearest = np.rint(counts)
    return np.where(np.abs(counts - nearest) <= ROUNDING * np.maximum(nearest, 1), nearest, counts)
