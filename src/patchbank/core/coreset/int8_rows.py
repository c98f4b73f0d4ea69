"""Rows of a selection on the native int8 kernel, with their min-distances: all, or a shard.

`core.coreset.int8` chooses; these do what takes a pass over the features.  All distances are
squared, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core import int8
from patchbank.core.coreset.feature_rows import FeatureRows
from patchbank.core.coreset.greedy_state import CHOSEN, Centre
from patchbank.core.int8 import OtherGroups, PackedRows, Quantization, QuantizedRows
from patchbank.runtime.devices import HOST
from patchbank.types import Features, Indices

MIN_CANDIDATES, MAX_CANDIDATES = 1024, 32_768  # of a block
SAMPLE = 8192  # min-distances from which the threshold of a candidate is estimated
SAMPLE_ROWS = 2048  # rows from which the quantization is chosen


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows of largest min-distance, and what is known of all others."""

    rows: Indices
    """(m,) ascending."""
    min_distances: NDArray[np.float64]
    """(m,) a copy."""
    bound: float
    """Every other row has a smaller min-distance, or the same and a higher row number."""
    has_more: bool
    """Whether there are others with a min-distance of `bound`."""

    def shifted(self, begin: int) -> Candidates:
        """The same with numbers of rows through all shards, of which `begin` are before these."""
        return replace(self, rows=self.rows + begin)

    @classmethod
    def merged(cls, parts: Sequence[Candidates]) -> Candidates:
        """The candidates of all shards, of ascending rows."""
        bound = max(part.bound for part in parts)
        holds_back = any(part.has_more for part in parts if part.bound == bound)
        if holds_back and any(np.any(part.min_distances > bound) for part in parts):
            # A farther row may come down to the bound, where a lower row is held back.
            bound = float(np.nextafter(bound, np.inf))
        rows, distances, has_more = [], [], False
        for part in parts:
            # Behind the first shard that holds equal ones back, equal ones are higher rows.
            is_candidate = part.min_distances > bound
            if not has_more:
                is_candidate |= part.min_distances == bound
            has_more |= part.has_more and part.bound == bound
            rows.append(part.rows[is_candidate])
            distances.append(part.min_distances[is_candidate])
        return cls(np.concatenate(rows), np.concatenate(distances), bound, has_more)


class Int8Rows(FeatureRows):
    """Rows on one machine."""

    dtype = np.float64
    min_distances: NDArray[np.float64]
    min_distance_to_other_groups: NDArray[np.float64] | None = None

    def __init__(
        self,
        features: Features,
        groups: Indices | None = None,
        initial: NDArray[np.float32] | None = None,
    ) -> None:
        """Hold the features; see `FeatureRows`."""
        contiguous = np.require(features, np.float32, "C")
        super().__init__(contiguous, HOST, groups, initial)
        self._groups32 = None if groups is None else groups.astype(np.int32)

    def sample(self) -> Features:
        """Rows from which the quantization is chosen."""
        step = max(1, len(self) // SAMPLE_ROWS)
        return np.asarray(self.values(np.arange(0, len(self), step)))

    def begin(self, quantization: Quantization, first: Centre | None) -> None:
        """Set the min-distances to those of the first centre, infinite where there is none."""
        self._rows = quantization.quantize(self._features)
        if first is None:
            self.min_distances = np.full(len(self), np.inf)
        else:
            self.min_distances = int8.squared_distances_to(self._features, first.values)
        if self._groups is not None:
            to_others = self.min_distances.copy()
            if first is not None:
                to_others[self._groups == first.group] = np.inf
            self.min_distance_to_other_groups = to_others

    def quantized(self, rows: Indices) -> QuantizedRows:
        """Some rows in memory, with their codes."""
        return self._rows.take(rows)

    def candidates(self, wanted: int) -> Candidates:
        """Find about so many rows of largest min-distance."""
        rows, bound, has_more = self._largest(wanted)
        return Candidates(rows, self.min_distances[rows], bound, has_more)

    def _largest(self, wanted: int) -> tuple[Indices, float, bool]:
        n, share = len(self), wanted / len(self)
        if share >= 1:
            return np.arange(n), CHOSEN, False
        sample = self.min_distances[:: max(1, n // SAMPLE)]
        kth = int(len(sample) * (1 - share))
        bound = float(np.partition(sample, kth)[kth])
        rows = np.flatnonzero(self.min_distances >= bound)
        if bound < 0:  # few rows are not centres yet
            return np.flatnonzero(self.min_distances >= 0), CHOSEN, False
        if len(rows) > 2 * wanted:  # the sample underestimated the threshold
            largest = np.partition(self.min_distances[rows], -wanted)
            bound = float(largest[-wanted])
            rows = rows[self.min_distances[rows] >= bound]
        has_more = False
        if len(rows) > 2 * wanted:  # many equal min-distances
            bound = float(self.min_distances.max())
            equal = np.flatnonzero(self.min_distances == bound)
            rows, has_more = equal[:wanted], len(equal) > wanted
        return rows, bound, has_more

    def lower(self, centres: QuantizedRows, of_centres: Indices | None) -> None:
        """Lower every min-distance to the nearest of some centres: one pass over the features.

        Args:
            centres: (m, d), of the same quantization.
            of_centres: (m,) their groups; None where they are of no group of the rows.
        """
        groups, to_others = None, self.min_distance_to_other_groups
        if self._groups32 is not None and of_centres is not None and to_others is not None:
            groups = OtherGroups(self._groups32, of_centres.astype(np.int32), to_others)
        int8.update_nearest(self._rows, PackedRows(centres), self.min_distances, groups=groups)

    def lower_to_rows(self, rows: Indices) -> None:
        """The same for some of these rows, as centres."""
        self.lower(self.quantized(rows), self.groups_of(rows))

    def lower_to_both(self, rows: Indices, values: Features, of_centres: Indices | None) -> None:
        """The same for some of these rows, and then for others, without codes."""
        self.lower_to_values(np.concatenate([self.values(rows), values]), of_centres)

    def lower_to_values(self, values: Features, of_centres: Indices | None) -> None:
        """The same for centres without codes."""
        self.lower(self._rows.quantization.quantize(values), of_centres)

    def described(self, rows: Indices) -> tuple[Features, None, Indices | None]:
        """Features and groups of some rows."""
        return self.values(rows), None, self.groups_of(rows)

    def _squared_distances_to(self, point: NDArray[np.float32]) -> NDArray[np.float64]:
        return int8.squared_distances_to(self._features, point)
