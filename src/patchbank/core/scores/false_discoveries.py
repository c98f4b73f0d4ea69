"""False ones among the parts of a lot that are called anomalous.

Benjamini and Hochberg, *Controlling the false discovery rate* (1995): of m parts with p-values
p_(1) <= ... <= p_(m), reject the k with the largest k such that p_(k) <= k q / m.  Of the rejected,
a share of q at most is expected to be good.  Conformal p-values of one calibration depend on each
other, but positively (Bates, Candès, Lei, Romano, Sesia, *Testing for outliers with conformal
p-values*, 2023, theorem 2.4), where the procedure keeps its promise.

The p-values of ranks are at least 1 / (n + 1) with n good photographs, so from a lot of m parts
nothing is rejected unless m / (q (n + 1)) parts or more score above all good photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.left_out import LeftOutScores, group_shares
from patchbank.errors import ParameterError

MIDDLE = 0.5
"""Storey's lambda: p-values above it are those of good parts."""


@dataclass(frozen=True, slots=True)
class FalseDiscoveries:
    """A lot of parts: those called anomalous, and how many of them are expected to be good."""

    parts: int
    """Number of parts that were inspected."""
    flagged: int
    """Number that the threshold calls anomalous."""
    expected_false: float
    """Number of good parts expected among the flagged, if good parts are as they were."""
    level: float
    """Share of false ones allowed among the rejected."""
    rejected: int
    """Number that Benjamini and Hochberg reject at this level, by the p-values of the detector."""
    rejected_score: float | None
    """Lowest score among them; None where there are none."""
    rejected_by_ranks: int
    """Number that they reject by ranks alone: no tail model, exchangeability is enough."""
    needed_by_ranks: int
    """Parts that must score above all good photographs before ranks alone can reject any."""


def false_discoveries(
    calibration: Calibration, scores: NDArray[np.float64], level: float
) -> FalseDiscoveries:
    """Count the flagged of a lot, those expected to be good, and those that are clearly not.

    Args:
        calibration: of the detector that made the scores.
        scores: (m,) of the parts of the lot; one that is no number counts as the highest.
        level: share of false ones allowed among the rejected, in (0, 1).

    Raises:
        ParameterError: `level` is outside (0, 1).
    """
    if not 0 < level < 1:
        raise ParameterError(f"level: expected more than 0 and less than 1, got {level}")
    scores = np.where(np.isnan(scores), np.inf, scores)
    p_values = np.array([calibration.p_value(float(score)) for score in scores])
    flagged = int(np.count_nonzero(scores > calibration.threshold))
    expected = calibration.expected_rate * len(scores) * share_of_good(p_values)
    rejected = scores[adjusted(p_values) <= level]
    by_ranks = adjusted(rank_p_values(calibration, scores)) <= level
    return FalseDiscoveries(
        parts=len(scores),
        flagged=flagged,
        expected_false=min(expected, float(flagged)),
        level=level,
        rejected=len(rejected),
        rejected_score=float(rejected.min()) if len(rejected) else None,
        rejected_by_ranks=int(by_ranks.sum()),
        needed_by_ranks=int(np.ceil(len(scores) * calibration.smallest_rate / level * (1 - 1e-12))),
    )


def adjusted(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest level at which Benjamini and Hochberg reject each part.  (m,) -> (m,).

    >>> adjusted(np.array([0.01, 0.5, 0.02])).round(3).tolist()
    [0.03, 0.5, 0.03]
    """
    m = len(p_values)
    order = np.argsort(p_values)
    raised = p_values[order] * m / np.arange(1, m + 1)
    found = np.empty(m)
    found[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return found


def share_of_good(p_values: NDArray[np.float64]) -> float:
    """Estimate, on the high side, of the share of good parts in a lot, in (0, 1].

    Good parts have p-values above 1/2 half of the time, defects hardly ever: twice their share
    (Storey, Taylor, Siegmund, *Strong control, conservative point estimation ...*, 2004, eq. 6).

    >>> share_of_good(np.array([0.001, 0.6, 0.7, 0.2, 0.01, 0.001, 0.001, 0.001]))
    0.75
    """
    if not len(p_values):
        return 1.0
    high = int(np.count_nonzero(p_values > MIDDLE))
    return min(1.0, (high + 1) / ((1 - MIDDLE) * len(p_values)))


def rank_p_values(calibration: Calibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Conformal p-values by ranks alone, whatever the rule of the calibration.  (m,) -> (m,)."""
    if calibration.views_of_one:
        return np.ones(len(scores))
    n_photographs = len(calibration.image_scores)
    good = LeftOutScores(calibration.image_scores, group_shares(calibration.groups, n_photographs))
    counts = np.array([good.at_or_above(float(score)) for score in scores])
    ranks: NDArray[np.float64] = (counts + 1) / (good.n_groups + 1)
    return ranks
