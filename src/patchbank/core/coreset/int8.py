"""Block greedy selection on the native int8 kernel; see `patchbank.core.int8`.

Min-distances are in float64, so there is nothing that rounding could decide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core import int8
from patchbank.core.coreset.greedy_state import CHOSEN, ExistingCentres, GreedyInput, GreedyState
from patchbank.core.int8 import OtherGroups, PackedRows, Quantization, QuantizedRows
from patchbank.runtime.threads import usable_cores
from patchbank.types import Features, Indices

MIN_CANDIDATES, MAX_CANDIDATES = 1024, 32_768  # of a block
ROWS_A_CANDIDATE = 32  # for each core: one core selects among candidates, all cores update the rows
SHORT_BLOCK = 128  # centres: fewer are not worth a pass, so the next block has more candidates
SAMPLE = 8192  # min-distances from which the threshold of a candidate is estimated


class Int8Greedy(GreedyState):
    """A selection on the CPU; `features` are C-contiguous float32."""

    def __init__(self, given: GreedyInput) -> None:
        features: Features = given.features
        n = len(features)
        self._rows = Quantization.fit(features).quantize(features)
        self._groups = None if given.groups is None else given.groups.astype(np.int32)
        self.min_distance_to_other_groups: NDArray[np.float64] | None = None
        self.centres: list[int] = []
        self.radii: list[float] = []
        if given.first is not None:
            point = features[given.first] + 0
            self.min_distances = int8.squared_distances_to(features, point)
            if self._groups is not None:
                own = self._groups == self._groups[given.first]
                self.min_distance_to_other_groups = np.where(own, np.inf, self.min_distances)
        else:
            self.min_distances = np.full(n, np.inf)
            if self._groups is not None:
                self.min_distance_to_other_groups = np.full(n, np.inf)
        if given.existing is not None:
            self._update_with_existing(given.existing, given.groups)
        if given.initial is not None:
            squared = np.square(given.initial, dtype=np.float64)
            np.minimum(self.min_distances, squared, out=self.min_distances)
        self.radius = float(self.min_distances.max())
        if given.first is not None:
            self.centres.append(given.first)
            self.radii.append(self.radius)
            self.min_distances[given.first] = CHOSEN
        wanted = n // (ROWS_A_CANDIDATE * usable_cores())
        self._n_candidates = min(max(wanted, MIN_CANDIDATES), MAX_CANDIDATES)

    def _select_block(self, limit: int, stop: float) -> tuple[Indices, NDArray[np.float64]]:
        rows, outside = self._candidates()
        chosen, distances_before = int8.select_centres(
            self._rows.take(rows), self.min_distances[rows], limit, outside=outside, stop=stop
        )
        if len(chosen) < min(SHORT_BLOCK, limit):
            self._n_candidates = min(2 * self._n_candidates, MAX_CANDIDATES)
        return rows[chosen], distances_before

    def _candidates(self) -> tuple[Indices, float]:
        """Find about `_n_candidates` rows of largest min-distance.

        -> the rows, ascending, and a bound: every other row has a smaller min-distance, or the same
        and a higher row number.
        """
        n, share = len(self.min_distances), self._n_candidates / len(self.min_distances)
        if share >= 1:
            return np.arange(n), CHOSEN
        sample = self.min_distances[:: max(1, n // SAMPLE)]
        kth = int(len(sample) * (1 - share))
        bound = float(np.partition(sample, kth)[kth])
        rows = np.flatnonzero(self.min_distances >= bound)
        if bound < 0:  # few rows are not centres yet
            return np.flatnonzero(self.min_distances >= 0), CHOSEN
        if len(rows) > 2 * self._n_candidates:  # the sample underestimated the threshold
            largest = np.partition(self.min_distances[rows], -self._n_candidates)
            bound = float(largest[-self._n_candidates])
            rows = rows[self.min_distances[rows] >= bound]
        if len(rows) > 2 * self._n_candidates:  # many equal min-distances
            bound = float(self.min_distances.max())
            rows = np.flatnonzero(self.min_distances == bound)[: self._n_candidates]
        return rows, bound

    def _update(self, rows: Indices) -> None:
        self.min_distances[rows] = CHOSEN
        of_centres = None if self._groups is None else self._groups[rows]
        self._update_nearest(self._rows.take(rows), of_centres)

    def add_existing(self, points: Features) -> None:
        """Lower all min-distances to further existing centres, of no group of the rows."""
        self._update_with_existing(ExistingCentres(points), None)
        self.radius = self._largest_min_distance()

    def _update_with_existing(self, existing: ExistingCentres, groups: Indices | None) -> None:
        points = self._rows.quantization.quantize(np.require(existing.points, np.float32, "C"))
        if groups is not None and existing.groups is not None:
            self._update_nearest(points, existing.groups.astype(np.int32))
            return
        self._update_nearest(points, None)
        if self.min_distance_to_other_groups is not None:  # all of them are of other groups
            self.min_distance_to_other_groups[:] = self.min_distances

    def _update_nearest(self, centres: QuantizedRows, of_centres: NDArray[np.int32] | None) -> None:
        groups, to_others = None, self.min_distance_to_other_groups
        if self._groups is not None and of_centres is not None and to_others is not None:
            groups = OtherGroups(self._groups, of_centres, to_others)
        int8.update_nearest(self._rows, PackedRows(centres), self.min_distances, groups=groups)

    def _largest_min_distance(self) -> float:
        return max(float(self.min_distances.max()), 0.0)
