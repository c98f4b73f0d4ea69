"""Ranking metrics from exact counts at every distinct score of a defect.

Between two such scores there are only good elements, and no metric here needs them one by one: the
counts at the defects' scores are enough, and there are no more of them than defects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import ShapeError


@dataclass(frozen=True, slots=True)
class RankingCounts:
    """Counts at each distinct defect score, from the highest to the lowest.  All (t,)."""

    scores: NDArray[np.float32]
    defects_at: NDArray[np.int64]
    """Defect elements of exactly this score."""
    good_above: NDArray[np.int64]
    """Good elements of a higher score."""
    good_at: NDArray[np.int64]
    """Good elements of exactly this score."""
    n_good: int

    @property
    def n_defect(self) -> int:
        """All defect elements."""
        return int(self.defects_at.sum())

    @property
    def found(self) -> NDArray[np.int64]:
        """Defect elements at or above each score."""
        return np.cumsum(self.defects_at)

    @property
    def false_alarms(self) -> NDArray[np.int64]:
        """Good elements at or above each score."""
        return self.good_above + self.good_at


def count_images(scores: NDArray[np.floating], is_defect: NDArray[np.bool_]) -> RankingCounts:
    """Count from one score and one label for each element.  (n,), (n,) -> counts.

    Raises:
        ShapeError: the two differ in length, a score is not finite, or one class is missing.
    """
    if scores.ndim != 1 or scores.shape != is_defect.shape:
        raise ShapeError(
            f"scores, labels: expected (n,) both, got {scores.shape}, {is_defect.shape}"
        )
    if not np.isfinite(scores).all():
        raise ShapeError("scores: expected finite numbers, got NaN or inf")
    if is_defect.all() or not is_defect.any():
        raise ShapeError("labels: expected good and defect ones, got one class only")
    values, defects_at = np.unique(scores[is_defect], return_counts=True)
    good = np.sort(scores[~is_defect])
    above = len(good) - np.asarray(np.searchsorted(good, values, side="right"))
    at_or_above = len(good) - np.asarray(np.searchsorted(good, values, side="left"))
    return RankingCounts(
        values[::-1], defects_at[::-1], above[::-1], (at_or_above - above)[::-1], len(good)
    )


def auroc(counts: RankingCounts) -> float:
    """Area under the ROC curve: share of pairs with the defect above; ties count half."""
    pairs = counts.defects_at * (counts.n_good - counts.good_above - counts.good_at / 2)
    return float(pairs.sum() / (counts.n_defect * counts.n_good))


def average_precision(counts: RankingCounts) -> float:
    """Average precision: the step-wise area under the precision-recall curve."""
    precision = counts.found / (counts.found + counts.false_alarms)
    return float((precision * counts.defects_at).sum() / counts.n_defect)


def f1_max(counts: RankingCounts) -> tuple[float, float]:
    """The largest F1 over all thresholds, and the lowest score that gives it (score >= threshold).

    The best threshold is always a defect's score: a lower one only adds false alarms.
    """
    f1 = 2 * counts.found / (counts.found + counts.false_alarms + counts.n_defect)
    best = len(f1) - 1 - int(f1[::-1].argmax())
    return float(f1[best]), float(counts.scores[best])


def roc(counts: RankingCounts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corner points of the ROC curve, from (0, 0) to (1, 1): false- and true-positive rates."""
    before, after = counts.good_above, counts.false_alarms
    found = counts.found
    x = np.stack([before, after], axis=1).ravel() / counts.n_good
    y = np.stack([found - counts.defects_at, found], axis=1).ravel() / counts.n_defect
    return np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [1.0]])
