"""Pixel AUROC, AP and AUPRO of any number of images, exact, in memory of the defect pixels only.

Two passes over the maps: the first collects the scores of defect pixels, the second counts good
pixels between them.  The maps themselves are made again instead of kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchbank.core.regions import TOUCHING
from patchbank.errors import ShapeError
from patchbank.metrics.curves import RankingCounts, auroc, average_precision, f1_max
from patchbank.types import AnomalyMap, Mask

FALSE_POSITIVE_LIMIT = 0.3  # where AUPRO is cut, as everybody does (Bergmann et al., 2020)


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """Metrics over all pixels of all images together."""

    auroc: float
    average_precision: float
    f1_max: float
    aupro: float


class PixelCounter:
    """Computes pixel metrics of maps that are made on demand.

    Args:
        images: called for each pass; yields a map and its mask, the same in every pass.  A good
            image has a mask of all False.
    """

    def __init__(self, images: Callable[[], Iterable[tuple[AnomalyMap, Mask]]]) -> None:
        self._images = images

    def metrics(self, limit: float = FALSE_POSITIVE_LIMIT) -> PixelMetrics:
        """Compute all metrics.

        Args:
            limit: false-positive rate up to which AUPRO integrates, in (0, 1].

        Raises:
            ShapeError: a map and its mask differ in shape, or there is no defect or no good pixel.
        """
        scores, weights = self._defect_pixels()
        values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
        above, at, n_good = self._count_good(values)
        ranking = RankingCounts(values[::-1], counts[::-1], above[::-1], at[::-1], n_good)
        overlap = np.bincount(inverse, weights, minlength=len(values))[::-1].astype(np.float64)
        return PixelMetrics(
            auroc=auroc(ranking),
            average_precision=average_precision(ranking),
            f1_max=f1_max(ranking)[0],
            aupro=_aupro(ranking, overlap, limit),
        )

    def _defect_pixels(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Scores of all defect pixels, and for each the share of its region that it is."""
        scores, shares, n_regions = [], [], 0
        for anomaly_map, mask in self._images():
            if anomaly_map.shape != mask.shape:
                raise ShapeError(f"mask: expected {anomaly_map.shape} as its map, got {mask.shape}")
            labels, count = ndimage.label(mask, structure=TOUCHING)
            inside = labels[mask]
            areas = np.bincount(inside, minlength=count + 1)
            scores.append(anomaly_map[mask])
            shares.append(1.0 / areas[inside])
            n_regions += count
        if n_regions == 0:
            raise ShapeError("masks: expected at least one defect pixel, got none")
        return np.concatenate(scores), np.concatenate(shares) / n_regions

    def _count_good(
        self, values: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """For each of the ascending `values`: good pixels above it, and exactly at it."""
        below_or_at = np.zeros(len(values) + 1, dtype=np.int64)  # by number of values below
        at = np.zeros(len(values), dtype=np.int64)
        n_good = 0
        for anomaly_map, mask in self._images():
            good = np.sort(anomaly_map[~mask])
            n_good += len(good)
            place = np.searchsorted(values, good, side="left")
            below_or_at += np.bincount(place, minlength=len(values) + 1)
            reached = place < len(values)
            equal = place[reached][values[place[reached]] == good[reached]]
            at += np.bincount(equal, minlength=len(values))
        if n_good == 0:
            raise ShapeError("masks: expected at least one good pixel, got none")
        not_above = np.cumsum(below_or_at[:-1])  # good pixels <= each value
        return n_good - not_above, at, n_good


def _aupro(ranking: RankingCounts, overlap: NDArray[np.float64], limit: float) -> float:
    """Area under the per-region overlap curve up to a false-positive rate, over that rate.

    One point a distinct score, from (0, 0), straight lines between.  The overlap stays level
    while only good pixels are passed, so the corners at the defects' scores are the whole curve.
    """
    before, after = ranking.good_above, ranking.false_alarms
    reached = np.cumsum(overlap)
    x = np.stack([before, after], axis=1).ravel() / ranking.n_good
    y = np.stack([reached - overlap, reached], axis=1).ravel()
    x = np.concatenate([[0.0], x, [1.0]])
    y = np.concatenate([[0.0], y, [reached[-1]]])
    last = int(np.searchsorted(x, limit, side="right")) - 1  # the corner at or before the limit
    at_limit = y[last]
    if x[last] < limit:  # on the line to the next corner
        at_limit += (y[last + 1] - y[last]) * (limit - x[last]) / (x[last + 1] - x[last])
    x, y = np.append(x[: last + 1], limit), np.append(y[: last + 1], at_limit)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit)
