"""Number of false alarms that chance gives among new good photographs."""

from __future__ import annotations

import math

import numpy as np


def chance_of_false_alarms(flagged: int, n_new: int, rate: float, n_learned: int) -> float:
    """Probability that at least `flagged` of `n_new` good photographs lie above the threshold.

    An exact binomial test, in which the rate of false alarms is not the one that was asked for, but
    the one that a threshold from `n_learned` photographs really has: above the k-th largest of n
    scores lies a share of the new ones that is distributed as Beta(k, n + 1 - k), with the mean
    k / (n + 1) (Vovk, "Conditional validity of inductive conformal predictors", 2012, section 3).
    The number of false alarms is beta-binomial then (Angelopoulos and Bates, "Conformal Prediction:
    A Gentle Introduction", 2023, section 3.3).  With the binomial distribution of `rate` itself, a
    test at 1 % would call one in seven thresholds broken that come from 31 photographs and were
    asked for 5 %, on 200 new ones.

    The photographs must be exchangeable with those that were learned, and not in groups.

    Args:
        flagged: number above the threshold.
        n_new: number of new good photographs.
        rate: mean rate of the threshold, k / (n + 1), in (0, 1]; k need not be an integer.
        n_learned: number of photographs that the threshold comes from, or of groups.

    >>> round(chance_of_false_alarms(1, 1, 0.25, 3), 12)  # one photograph: the rate itself
    0.25
    """
    if flagged <= 0 or rate >= 1:
        return 1.0
    above, below = rate * (n_learned + 1), (1 - rate) * (n_learned + 1)
    counts = np.arange(n_new + 1)
    ratios = (n_new - counts[:-1]) / (counts[:-1] + 1)
    ratios = ratios * (counts[:-1] + above) / (n_new - counts[:-1] - 1 + below)
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    shares = np.exp(logs - logs.max())
    return min(float(math.fsum(shares[flagged:]) / math.fsum(shares)), 1.0)
