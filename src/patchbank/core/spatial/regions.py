"""Regions: connected parts of an anomaly map above a threshold, with their bounding boxes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.types import AnomalyMap, Indices

TOUCHING = np.ones((3, 3), dtype=np.int8)  # 8-connectivity: diagonal neighbours are connected


@dataclass(frozen=True, slots=True)
class Region:
    """A connected part of a photograph above the pixel threshold; lengths in pixels."""

    left: int
    top: int
    width: int
    height: int
    area: int
    """Pixels above the threshold, at most width x height."""
    score: float
    """The largest value of the anomaly map inside."""


def find_regions(anomaly_map: AnomalyMap, threshold: float) -> tuple[Region, ...]:
    """Find the connected regions above a threshold, worst first.  (H, W) -> regions.

    >>> find_regions(np.array([[0, 5, 0], [0, 0, 7]], np.float32), threshold=1.0)
    (Region(left=1, top=0, width=2, height=2, area=2, score=7.0),)
    """
    from scipy import ndimage  # imports in 0.1 s, which a photograph without regions is spared

    above = anomaly_map > threshold
    labels, count = ndimage.label(above, structure=TOUCHING)
    if count == 0:
        return ()
    runs = _runs(above)
    region_of = labels[runs.rows, runs.begins].astype(np.intp) - 1
    width, height = anomaly_map.shape[1], anomaly_map.shape[0]
    left = _reduced(np.minimum, runs.begins, region_of, np.full(count, width))
    right = _reduced(np.maximum, runs.ends, region_of, np.zeros(count, np.intp))
    top = _reduced(np.minimum, runs.rows, region_of, np.full(count, height))
    bottom = _reduced(np.maximum, runs.rows + 1, region_of, np.zeros(count, np.intp))
    area = _reduced(np.add, runs.ends - runs.begins, region_of, np.zeros(count, np.intp))
    lowest = np.full(count, -np.inf, anomaly_map.dtype)
    score = _reduced(np.maximum, runs.largest(anomaly_map), region_of, lowest)
    columns = (left, top, right - left, bottom - top, area, score)
    worst_first = np.argsort(-score, kind="stable")
    return tuple(starmap(Region, zip(*(c[worst_first].tolist() for c in columns), strict=True)))


@dataclass(frozen=True, slots=True)
class _Runs:
    """Stretches of true pixels along the rows of a mask: regions in pieces that lie in one row.

    A region of any shape has few runs for its pixels, so its box, area and largest value cost one
    pass over the mask and one over the runs, however many regions there are.
    """

    rows: Indices
    """(n,) row of each run; ascending."""
    begins: Indices
    """(n,) its first column."""
    ends: Indices
    """(n,) the column after its last."""

    def largest(self, values: AnomalyMap) -> AnomalyMap:
        """Largest value of each run.  (H, W) -> (n,)."""
        width = values.shape[1]
        edges = np.column_stack([self.rows * width + self.begins, self.rows * width + self.ends])
        # Each second segment lies between runs; the end of the last one may be that of the array.
        largest: AnomalyMap = np.maximum.reduceat(values.ravel(), edges.ravel()[:-1])[::2]
        return largest


def _runs(mask: NDArray[np.bool_]) -> _Runs:
    height, width = mask.shape
    fenced = np.zeros(height * (width + 1) + 1, dtype=np.bool_)  # false before and after each row
    fenced[1:].reshape(height, width + 1)[:, :width] = mask
    edges = np.flatnonzero(fenced[1:] != fenced[:-1])
    rows, begins = np.divmod(edges[::2], width + 1)
    return _Runs(rows, begins, edges[1::2] - rows * (width + 1))


def _reduced(
    operation: np.ufunc, values: NDArray[Any], groups: Indices, start: NDArray[Any]
) -> NDArray[Any]:
    """The values of each group, reduced into `start`, which has one number for each group."""
    operation.at(start, groups, values)
    return start
