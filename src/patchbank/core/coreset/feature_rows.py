"""Features of a selection on one machine: what both implementations ask of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import blocks, namespace, on_device_of, to_numpy
from patchbank.core.coreset.greedy_state import CHOSEN, Centre
from patchbank.runtime.devices import Device
from patchbank.runtime.scratch import drop_pages, take_rows
from patchbank.types import Array, Indices

TILE_ROWS = 1024  # rows of a pass at a time, so that they and their products stay in the cache
RELATIVE_TOLERANCE = 1e-9  # above the error of a float64 sum, in whatever order it is added


def tiles(n: int, device: Device) -> Iterator[slice]:
    """Blocks of rows whose size suits the device."""
    return blocks(n, TILE_ROWS * device.tile_factor)


class FeatureRows(ABC):
    """Rows (n, d), all of a selection or a shard, with their groups and min-distances."""

    dtype: type[np.float32] | type[np.float64]
    """Type of squared distances."""
    min_distances: Array
    min_distance_to_other_groups: Array | None = None

    def __init__(
        self,
        features: Array,
        device: Device,
        groups: Indices | None = None,
        initial: NDArray[np.float32] | None = None,
    ) -> None:
        """Hold the features.

        Args:
            features: (n, d) float32.
            device: where the passes over them are computed.
            groups: (n,) group of each row.
            initial: (n,) distances that stay in the running minimum.
        """
        self._features, self._device, self._groups = features, device, groups
        self._initial = initial
        self.has_groups, self.has_initial = groups is not None, initial is not None
        self._kept: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._features)

    @property
    def d(self) -> int:
        """Numbers of a row."""
        return int(self._features.shape[1])

    def values(self, rows: Indices) -> Array:
        """The features of some rows.  -> (m, d)."""
        if isinstance(self._features, np.ndarray):
            return take_rows(self._features, rows)
        return self._features[rows]

    def groups_of(self, rows: Indices) -> Indices | None:
        """The group of each of some rows; None without groups."""
        return None if self._groups is None else self._groups[rows]

    def centre(self, row: int) -> Centre:
        """One row as the first centre."""
        group = None if self._groups is None else int(self._groups[row])
        return Centre(self.values(np.array([row]))[0], group)

    def tile_sums(self) -> NDArray[np.float64]:
        """(t, d) sums of the rows of each tile."""
        sums = []
        for tile in tiles(len(self), self._device):
            rows = self._device.put(self._features[tile])
            xp = namespace(rows)
            sums.append(to_numpy(xp.sum(rows, axis=0, dtype=xp.float64)))
            drop_pages(self._features[tile])
        return np.array(sums)

    def nearest_to(self, point: NDArray[np.float32], sign: float) -> tuple[Indices, NDArray[Any]]:
        """Rows that may be nearest to a point; with a sign of -1 farthest.

        -> rows in ascending order, each nearer than those before it; and sign times their squared
        distances.  Of all rows as near as the nearest one, but for rounding, the lowest is there.
        """
        distances = sign * self._squared_distances_to(point)
        least = distances.min()
        rows = np.flatnonzero(distances <= least + abs(least) * RELATIVE_TOLERANCE)
        before = np.minimum.accumulate(distances[rows])
        is_nearer = np.append(True, before[1:] < before[:-1])
        return rows[is_nearer], distances[rows[is_nearer]]

    @abstractmethod
    def _squared_distances_to(self, point: NDArray[np.float32]) -> NDArray[Any]:
        """Squared distance of every row to a point.  (d,) -> (n,)."""

    def host_min_distances(self) -> NDArray[Any]:
        """(n,) min-distances."""
        return to_numpy(self.min_distances)

    def width(self) -> int:
        """Numbers of a row."""
        return self.d

    def largest_initial(self) -> tuple[int, float]:
        """The row of the largest distance before the first centre, the lowest on ties."""
        assert self._initial is not None
        row = int(self._initial.argmax())
        return row, float(self._initial[row])

    def lower_to_initial(self) -> None:
        """Lower the min-distances to the distances before the first centre."""
        assert self._initial is not None
        xp = namespace(self.min_distances)
        squared = on_device_of(np.square(self._initial, dtype=self.dtype), self.min_distances)
        self.min_distances = xp.minimum(self.min_distances, squared)

    def say_all_are_of_other_groups(self) -> None:
        """Say that all centres so far are of no group of the rows."""
        if self.has_groups:
            self.min_distance_to_other_groups = self.min_distances + 0

    def keep_distances_to_other_groups(self, size: int) -> None:
        """Keep these distances as they are after so many centres."""
        if self.min_distance_to_other_groups is not None:
            squared = to_numpy(self.min_distance_to_other_groups)
            self._kept[size] = np.asarray(np.sqrt(squared), dtype=np.float32)

    def distances_to_other_groups(self, size: int) -> NDArray[np.float32] | None:
        """(n,) distances that were kept after so many centres."""
        return self._kept.get(size)

    def mark(self, rows: Indices) -> None:
        """Say that some rows are centres."""
        self.min_distances[rows] = CHOSEN

    def largest_min_distance(self) -> float:
        """The largest min-distance; 0 where all rows are centres."""
        return max(float(namespace(self.min_distances).max(self.min_distances)), 0.0)
