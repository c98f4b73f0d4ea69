"""Rows of a selection on matrix products, with their min-distances: all rows, or a shard of them.

`core.coreset.gemm` chooses; these do what takes a pass over the features.  All distances are
squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import (
    empty_on_device_of,
    namespace,
    on_device_of,
    ones_on_device_of,
    to_numpy,
)
from patchbank.core.coreset.feature_rows import FeatureRows, tiles
from patchbank.core.coreset.greedy_state import Centre
from patchbank.runtime.devices import Device
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Array, Features, Indices

CANDIDATES = 3072  # of a block: more need fewer passes, but the cost is quadratic in them
ROUNDING = 20 * 2.0**-24  # error of a squared distance in float32, relative to norm and distance


def squared_distances_to(features: Array, point: Array, device: Device) -> Array:
    """Squared distance of every row to one point, by differences.  (n, d), (d,) -> (n,)."""
    xp = namespace(point)
    parts = []
    for tile in tiles(len(features), device):
        difference = device.put(features[tile]) - point
        parts.append(xp.einsum("nd,nd->n", difference, difference))
        drop_pages(features[tile])
    return xp.concat(parts)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rows of largest min-distance, and what is known of all others."""

    rows: Indices
    """(m,) ascending."""
    min_distances: NDArray[np.float32]
    """(m,)"""
    norms: NDArray[np.float32]
    """(m,) squared distance of each to the origin."""
    initial: NDArray[np.float32] | None
    """(m,) distance of each before the first centre; None where there is none."""
    outside_distance: float
    """Largest min-distance of the others; minus infinity where there are none."""
    outside_row: int
    """The lowest row that has it."""
    outside_limit: float
    """Upper bound of the min-distances of the others, whatever was rounded."""

    @classmethod
    def among(
        cls,
        rows: Indices,
        min_distances: NDArray[np.float32],
        norms: NDArray[np.float32],
        initial: NDArray[np.float32] | None,
    ) -> Candidates:
        """The candidates among some rows, which ascend; on ties the lowest ones."""
        inside, outside_distance, outside = _largest(min_distances)
        limits = np.where(
            min_distances < 0, -np.inf, min_distances + rounding(norms, min_distances)
        )
        limits[inside] = -np.inf
        return cls(
            rows=rows[inside],
            min_distances=min_distances[inside],
            norms=norms[inside],
            initial=None if initial is None else initial[inside],
            outside_distance=outside_distance,
            outside_row=-1 if outside is None else int(rows[outside]),
            outside_limit=float(limits.max()),
        )

    def shifted(self, begin: int) -> Candidates:
        """The same with numbers of rows through all shards, of which `begin` are before these."""
        outside = self.outside_row + begin if self.outside_row >= 0 else self.outside_row
        return replace(self, rows=self.rows + begin, outside_row=outside)

    @classmethod
    def merged(cls, parts: Sequence[Candidates]) -> Candidates:
        """The candidates among the rows of all shards: those of one pass over all of them."""
        first = parts[0].initial
        found = cls.among(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.min_distances for part in parts]),
            np.concatenate([part.norms for part in parts]),
            None if first is None else np.concatenate([_given(part.initial) for part in parts]),
        )
        outside = [found, *parts]
        farthest = max(part.outside_distance for part in outside)
        lowest = min(part.outside_row for part in outside if part.outside_distance == farthest)
        limit = max(part.outside_limit for part in outside)
        return replace(found, outside_distance=farthest, outside_row=lowest, outside_limit=limit)


def rounding(norms: NDArray[np.float32], min_distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest float32 rounding error of each min-distance."""
    return np.asarray(ROUNDING * (norms + min_distances))


class GemmRows(FeatureRows):
    """Rows on one machine, or on one GPU."""

    dtype = np.float32
    _norms: Any = None

    def begin(self, origin: Array, first: Centre | None) -> None:
        """Set the min-distances to those of the first centre, infinite where there is none.

        Args:
            origin: (d,) to which products are relative.
            first: the first centre.
        """
        self._origin = self._device.put(origin)
        self._norms = squared_distances_to(self._features, self._origin, self._device)
        self._norms_on_host = to_numpy(self._norms)
        self._xp = namespace(self._norms)
        to_first = self._norms + np.inf
        if first is not None:
            to_first = self._norms + 0
            if not bool(to_numpy(first.values == origin).all()):
                point = self._device.put(first.values)
                to_first = squared_distances_to(self._features, point, self._device)
        if self._groups is not None:
            in_own_group = np.zeros(len(self._groups), dtype=np.float32)
            if first is not None:
                in_own_group[self._groups == first.group] = np.inf
            self.min_distance_to_other_groups = to_first + on_device_of(in_own_group, to_first)
        self.min_distances = to_first

    def norms_of(self, rows: Indices) -> Array:
        """Squared distances of some rows to the origin.  -> (m,)."""
        return self._norms[rows]

    def described(
        self, rows: Indices
    ) -> tuple[Features, NDArray[np.float32] | None, Indices | None]:
        """Features, norms if they are known, and groups of some rows."""
        norms = None if self._norms is None else to_numpy(self._norms[rows])
        return to_numpy(self.values(rows)), norms, self.groups_of(rows)

    def candidates(self) -> Candidates:
        """The rows of largest min-distance."""
        return Candidates.among(
            np.arange(len(self)),
            to_numpy(self.min_distances),
            self._norms_on_host,
            self._initial,
        )

    def lower(self, values: Array, norms: Array, of_centres: Indices | None) -> None:
        """Lower every min-distance to the nearest of some centres: one pass over the features.

        With a last column of ones in the rows and the norms as last row of the centres, the matrix
        product itself is |c|^2 - 2xc, and only the minimum over centres is left to compute.

        Args:
            values: (m, d) of the centres.
            norms: (m,) their squared distances to the origin.
            of_centres: (m,) their groups; None where they are of no group of the rows.
        """
        xp, put = self._xp, self._device.put
        points = put(values) - self._origin
        m, d = points.shape
        extended = ones_on_device_of((d + 1, m), points)
        extended[:d] = -2.0 * points.T
        extended[d] = norms
        n_rows = next(tiles(len(self), self._device)).stop
        tile_rows = ones_on_device_of((n_rows, d + 1), points)
        products = empty_on_device_of((n_rows, m), points)
        for tile in tiles(len(self), self._device):
            count = tile.stop - tile.start
            rows, out = tile_rows[:count], products[:count]
            xp.subtract(put(self._features[tile]), self._origin, out=rows[:, :d])
            drop_pages(self._features[tile])
            xp.matmul(rows, extended, out=out)
            nearest = xp.min(out, axis=1)
            if of_centres is not None:
                self._lower_to_other_groups(tile, of_centres, out, nearest)
            # Chosen rows stay below zero.
            self.min_distances[tile] = self._lowered(self.min_distances, tile, nearest)

    def _squared_distances_to(self, point: NDArray[np.float32]) -> NDArray[np.float64]:
        first = self._device.put(self._features[:1])
        there = on_device_of(point.astype(np.float64), first)
        return to_numpy(squared_distances_to(self._features, there, self._device))

    def _lower_to_other_groups(
        self, tile: slice, of_centres: Indices, products: Array, nearest: Array
    ) -> None:
        """Lower the distances to other groups of one tile; overwrites its `products`."""
        if self._groups is None or self.min_distance_to_other_groups is None:
            return
        groups = self._groups[tile]
        if not isinstance(products, np.ndarray):
            nearest = self._nearest_of_other_groups(groups, of_centres, products)
            to_others = self.min_distance_to_other_groups
            to_others[tile] = self._lowered(to_others, tile, nearest)
            return
        edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
        for low, high in pairwise(edges):
            own_centres = np.flatnonzero(of_centres == groups[low])
            group_nearest = nearest[low:high]
            if len(own_centres):
                products[low:high, own_centres] = np.inf
                group_nearest = self._xp.min(products[low:high], axis=1)
            rows = slice(tile.start + low, tile.start + high)
            to_others = self.min_distance_to_other_groups
            to_others[rows] = self._lowered(to_others, rows, group_nearest)

    def _nearest_of_other_groups(
        self, groups: Indices, of_centres: Indices, products: Array
    ) -> Array:
        """The least product of each row, in one step: on a GPU many small ones cost more."""
        rows, columns = (on_device_of(of, products) for of in (groups, of_centres))
        products.masked_fill_(rows[:, None] == columns, np.inf)
        return self._xp.min(products, axis=1)

    def _lowered(self, distances: Array, rows: slice, nearest: Array) -> Array:
        """The distances of some rows, lowered to |x|^2 + (|c|^2 - 2xc) where that is smaller."""
        squared = self._xp.clip(nearest + self._norms[rows], 0.0, None)
        return self._xp.minimum(distances[rows], squared)


def _given(initial: NDArray[np.float32] | None) -> NDArray[np.float32]:
    assert initial is not None
    return initial


def _largest(min_distances: NDArray[np.float32]) -> tuple[Indices, float, int | None]:
    """Choose the rows of largest min-distance.

    -> the rows, ascending; the largest min-distance of the others, and the lowest row that has it.
    """
    n = len(min_distances)
    if n <= CANDIDATES:
        return np.arange(n), -np.inf, None
    kth = n - CANDIDATES - 1
    order = np.argpartition(min_distances, kth)
    outside_distance = min_distances[order[kth]]
    inside = order[kth + 1 :]
    above = inside[min_distances[inside] > outside_distance]
    # Of the rows that tie with the largest outside, the lowest are candidates.
    ties = np.flatnonzero(min_distances == outside_distance)
    n_ties = CANDIDATES - len(above)
    rows = np.sort(np.concatenate([above, ties[:n_ties]]))
    return rows, float(outside_distance), int(ties[n_ties])
