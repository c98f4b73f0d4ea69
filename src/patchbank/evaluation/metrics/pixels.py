"""Pixel AUROC, AP, F1-max and AUPRO of any number of images: exact, in memory of a fixed size.

Every metric here depends only on counts at the distinct scores of defect pixels.  A first pass over
the maps finds these scores, a second counts the pixels at and above each.  If they are too many for
memory, the highest are processed first, then the next lower ones, with two more passes each time.
The maps are computed again for each pass instead of kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchbank.core.array_api import blocks
from patchbank.core.spatial.regions import TOUCHING
from patchbank.errors import ShapeError
from patchbank.evaluation.metrics.curves import RankingCounts, auroc, average_precision, f1_max
from patchbank.types import AnomalyMap, Mask

FALSE_POSITIVE_LIMIT = 0.3  # usual integration limit of AUPRO (Bergmann et al., 2020)
SCORES_AT_ONCE = 2**25  # 1.2 GB of counts
PIXELS_AT_ONCE = 2**24  # sorted together: 0.6 GB
PART = 2**20  # scores whose curves are summed together

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Scores = NDArray[np.float32]
MapWithMask: TypeAlias = tuple[AnomalyMap, Mask] | tuple[AnomalyMap, Mask, Mask]


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """Metrics over all pixels of all images together."""

    auroc: float
    average_precision: float
    f1_max: float
    aupro: float


class PixelCounter:
    """Computes pixel metrics of maps that are computed on demand.

    Args:
        images: called for each pass; yields a map and its mask, the same in every pass, and, where
            not all pixels count, (H, W) True for those that do.  A good image has a mask of all
            False.
        scores_at_once: distinct scores of defect pixels that are counted in one pass; the result
            does not depend on it.
        pixels_at_once: pixels that are sorted together; the result does not depend on it.

    Memory: 36 bytes for each of `scores_at_once` (or of the distinct scores, if there are fewer),
    and 40 for each of `pixels_at_once`.
    """

    def __init__(
        self,
        images: Callable[[], Iterable[MapWithMask]],
        *,
        scores_at_once: int = SCORES_AT_ONCE,
        pixels_at_once: int = PIXELS_AT_ONCE,
    ) -> None:
        self._images = images
        self._scores_at_once = scores_at_once
        self._pixels_at_once = pixels_at_once

    def metrics(self, limit: float = FALSE_POSITIVE_LIMIT) -> PixelMetrics:
        """Compute all metrics.

        Args:
            limit: false-positive rate up to which AUPRO integrates, in (0, 1].

        Raises:
            ShapeError: a map and its mask differ in shape, a map is not finite, or there is no
                defect or no good pixel.
        """
        sums = _Sums(limit)
        values, more = self._highest_defect_scores(np.inf)
        if len(values) == 0:
            raise ShapeError("masks: expected at least one defect pixel, got none")
        while len(values):
            sums.add(self._counted(values))
            values, more = self._highest_defect_scores(values[0]) if more else (values[:0], False)
        return sums.metrics()

    def _compared(self) -> Iterator[tuple[AnomalyMap, Mask, Mask]]:
        """Each map with its defect and its good pixels, of those that count."""
        for image in self._images():
            anomaly_map, mask = image[:2]
            _check(anomaly_map, mask)
            if len(image) == 2:
                yield anomaly_map, mask, ~mask
            else:
                yield anomaly_map, mask & image[2], ~mask & image[2]

    def _highest_defect_scores(self, below: float) -> tuple[Scores, bool]:
        """Find the highest distinct scores of defect pixels below a score.

        -> (t,) ascending, and whether there are lower ones.
        """
        most = self._scores_at_once
        kept, more, lowest = np.empty(0, dtype=np.float32), False, -np.inf

        def merge(scores: Scores) -> None:
            nonlocal kept, more, lowest
            kept = np.unique(np.concatenate([kept, scores]))
            if len(kept) > most:
                kept, more = kept[-most:].copy(), True  # a copy, so that the rest is freed
                lowest = kept[0]

        batch = _Batch(most, merge)
        for anomaly_map, defect, _ in self._compared():
            scores = anomaly_map[defect]
            batch.add(scores[(scores < below) & (scores > lowest)])
        batch.hand_on()
        return kept, more

    def _counted(self, values: Scores) -> _Tally:
        """Count the pixels of all images at some distinct scores of defect pixels."""
        tally = _Tally(values)
        good = _Batch(self._pixels_at_once, tally.count_good)
        defect = _Batch(self._pixels_at_once, tally.count_defect)
        low, high = values[0], values[-1]
        for anomaly_map, mask, good_pixels in self._compared():
            scores = anomaly_map[good_pixels]
            tally.n_good += len(scores)
            tally.n_good_below += int(np.count_nonzero(scores < low))
            good.add(scores[(scores >= low) & (scores <= high)])
            labels, count = ndimage.label(mask, structure=TOUCHING)
            inside, scores = labels[mask], anomaly_map[mask]
            tally.n_defect += len(scores)
            tally.n_regions += count
            shares = 1.0 / np.bincount(inside, minlength=count + 1)[inside]
            reached = (scores >= low) & (scores <= high)
            defect.add(scores[reached], shares[reached])
        good.hand_on()
        defect.hand_on()
        if tally.n_good == 0:
            raise ShapeError("masks: expected at least one good pixel, got none")
        return tally


class _Batch:
    """Buffer of arrays that are joined and handed on once they hold enough numbers."""

    def __init__(self, size: int, receive: Callable[..., None]) -> None:
        self._size, self._receive = size, receive
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._held = 0

    def add(self, *columns: NDArray[Any]) -> None:
        """Add arrays of one length."""
        self._parts.append(columns)
        self._held += len(columns[0])
        if self._held >= self._size:
            self.hand_on()

    def hand_on(self) -> None:
        """Hand on all arrays that are left."""
        parts, self._parts, self._held = self._parts, [], 0
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        parts.clear()  # so that only the joined arrays are in memory
        if columns:
            self._receive(*columns)


class _Tally:
    """Counts at neighbouring distinct scores of defect pixels, ascending; none is left out between.

    All (t,); pixels with scores outside their range are counted in the totals only.
    """

    def __init__(self, values: Scores) -> None:
        self.values = values
        self._good_below = np.zeros(len(values), dtype=np.int64)
        self._good_not_above = np.zeros(len(values), dtype=np.int64)
        self._defects_at = np.zeros(len(values), dtype=np.int64)
        self._overlap_at = np.zeros(len(values))  # sum of 1 / area of the pixel's region
        self.n_good = self.n_good_below = self.n_defect = self.n_regions = 0

    def count_good(self, scores: Scores) -> None:
        """Count good pixels between the lowest and the highest value.  (n,)."""
        scores.sort()
        for some in blocks(len(self.values), PART):
            values = self.values[some]
            self._good_below[some] += np.searchsorted(scores, values, side="left")
            self._good_not_above[some] += np.searchsorted(scores, values, side="right")

    def count_defect(self, scores: Scores, shares: Floats) -> None:
        """Count defect pixels in that range, each with its share of its region.  (n,), (n,)."""
        if len(scores) == 0:
            return
        order = np.argsort(scores)
        scores, shares = scores[order], shares[order]
        first = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
        at = np.searchsorted(self.values, scores[first])
        self._defects_at[at] += np.diff(first, append=len(scores))
        self._overlap_at[at] += np.add.reduceat(shares, first)

    def parts(self, found_above: int) -> Iterator[tuple[_Part, Floats]]:
        """Yield parts from the highest score down: counts, and the overlap gained at each score."""
        for begin in reversed(range(0, len(self.values), PART)):
            some = slice(begin, begin + PART)
            not_above = self._good_not_above[some] + self.n_good_below
            at = self._good_not_above[some] - self._good_below[some]
            part = _Part(
                scores=self.values[some][::-1],
                defects_at=self._defects_at[some][::-1],
                good_above=(self.n_good - not_above)[::-1],
                good_at=at[::-1],
                n_good=self.n_good,
                found_above=found_above,
                n_all=self.n_defect,
            )
            found_above += int(part.defects_at.sum())
            yield part, self._overlap_at[some][::-1] / self.n_regions


@dataclass(frozen=True, slots=True)
class _Part(RankingCounts):
    """Neighbouring scores of a longer ranking.

    `n_defect` and `found` are those of the whole ranking, so that the metrics of `curves` give the
    share of this part: AUROC and average precision are sums over the parts, F1-max is a maximum.
    """

    found_above: int
    """Defect elements of higher scores."""
    n_all: int
    """Defect elements of all scores."""

    @property
    def n_defect(self) -> int:
        return self.n_all

    @property
    def found(self) -> Counts:
        return self.found_above + np.cumsum(self.defects_at)


class _Sums:
    """Metrics, accumulated from the highest score down."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._auroc = self._average_precision = self._f1_max = self._area = 0.0
        self._found = 0
        self._corner = (0.0, 0.0)  # last point of the overlap curve

    def add(self, tally: _Tally) -> None:
        """Add the next lower scores."""
        for part, overlap in tally.parts(self._found):
            self._auroc += auroc(part)
            self._average_precision += average_precision(part)
            self._f1_max = max(self._f1_max, f1_max(part)[0])
            self._found = int(part.found[-1])
            self._follow_overlap(part, overlap)

    def metrics(self) -> PixelMetrics:
        """Close the curves."""
        self._add_area(np.array([1.0]), np.array([self._corner[1]]))
        return PixelMetrics(
            self._auroc, self._average_precision, self._f1_max, self._area / self._limit
        )

    def _follow_overlap(self, part: _Part, overlap: Floats) -> None:
        """Continue the per-region overlap curve: a point for each score, straight lines between.

        The overlap does not change between the defects' scores, so their corners are the curve.
        """
        reached = self._corner[1] + np.cumsum(overlap)
        x = np.stack([part.good_above, part.false_alarms], axis=1).ravel() / part.n_good
        y = np.stack([reached - overlap, reached], axis=1).ravel()
        self._add_area(x, y)

    def _add_area(self, x: Floats, y: Floats) -> None:
        """Add the area below the lines from the last corner through (t,), (t,), up to the limit."""
        x, y = np.append(self._corner[0], x), np.append(self._corner[1], y)
        self._corner = (float(x[-1]), float(y[-1]))
        width = np.diff(x)
        integrated = np.clip(self._limit - x[:-1], 0.0, width)
        slope = np.diff(y) / np.where(width > 0, width, 1.0)
        self._area += float(np.sum(integrated * (y[:-1] + slope * integrated / 2)))


def _check(anomaly_map: AnomalyMap, mask: Mask) -> None:
    if anomaly_map.shape != mask.shape:
        raise ShapeError(f"mask: expected {anomaly_map.shape} as its map, got {mask.shape}")
    if not np.isfinite(anomaly_map).all():
        raise ShapeError("map: expected finite numbers, got NaN or inf")
