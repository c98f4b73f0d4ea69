"""Block greedy selection on matrix products (GEMM), for any device.

Products in float32 round, and they round differently on every machine.  Where rounding could decide
between candidates, their min-distances are computed again in float64, from the features: so the
centres are those of exact arithmetic, wherever the products were computed.  There are two limits.
More than `MAX_TIES` candidates that close count as exact ties; and once every min-distance is as
small as the rounding error, the order is that of the rounded numbers.  That error is relative to
the distance from the row nearest to the mean: of a thousandth of it, or less, nothing is known.
Usually only near-duplicates are that close; so are the rows of clusters a thousand times as far
from each other as they are wide.

The passes run on a `Device`; features that do not fit there are streamed through it in tiles.  The
centres of a block are chosen on the CPU, as that is a short chain of small steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import (
    blocks,
    empty_on_device_of,
    namespace,
    on_device_of,
    ones_on_device_of,
    to_numpy,
)
from patchbank.core.coreset.greedy_state import CHOSEN, ExistingCentres, GreedyInput, GreedyState
from patchbank.runtime.devices import Device
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Array, Features, Indices

CANDIDATES = 3072  # of a block: more need fewer passes, but the cost is quadratic in them
TILE_ROWS = 1024  # rows of a pass at a time, so that they and their products stay in the cache
ROUNDING = 20 * 2.0**-24  # error of a squared distance in float32, relative to norm and distance
MAX_TIES = 64  # near-ties that are recomputed in float64; more count as exact ties (as on lattices)


def tiles(n: int, device: Device) -> Iterator[slice]:
    """Blocks of rows whose size suits the device."""
    return blocks(n, TILE_ROWS * device.tile_factor)


def squared_distances_to(features: Array, point: Array, device: Device) -> Array:
    """Squared distance of every row to one point, by differences.  (n, d), (d,) -> (n,)."""
    xp = namespace(point)
    parts = []
    for tile in tiles(len(features), device):
        difference = device.put(features[tile]) - point
        parts.append(xp.einsum("nd,nd->n", difference, difference))
        drop_pages(features[tile])
    return xp.concat(parts)


class GemmGreedy(GreedyState):
    """A selection of at most `n_keep` centres; `origin` is the row nearest to the mean.

    Distances are |x|^2 + |c|^2 - 2xc relative to that origin.  There the norms are as small as the
    distances themselves, so little is lost to cancellation (and nothing at all on small integers).
    """

    def __init__(self, given: GreedyInput, n_keep: int, origin: int, device: Device) -> None:
        self._features = given.features
        self._device = device
        self._initial = given.initial
        self._groups = given.groups
        self._origin = device.put(self._features[origin] + 0)
        self._norms = squared_distances_to(self._features, self._origin, device)
        self._norms_on_host = to_numpy(self._norms)
        self._xp = namespace(self._norms)
        self.centres: list[int] = []
        self.radii: list[float] = []
        self.min_distance_to_other_groups: Array | None = None
        to_first = self._distances_to_first(given.first, origin)
        if self._groups is not None:
            in_own_group = np.zeros(len(self._groups), dtype=np.float32)
            if given.first is not None:
                in_own_group[self._groups == self._groups[given.first]] = np.inf
            self.min_distance_to_other_groups = to_first + on_device_of(in_own_group, to_first)
        self.min_distances = to_first + 0
        self._existing = np.empty((0, self._features.shape[1]), dtype=np.float32)
        n_existing = 0 if given.existing is None else len(given.existing.points)
        self._centre_points = self._room_for(n_keep + n_existing)
        if given.existing is not None:
            self._update_with_existing(given.existing)
        if given.initial is not None:
            squared = on_device_of(np.square(given.initial), self.min_distances)
            self.min_distances = self._xp.minimum(self.min_distances, squared)
        self.radius = self._largest_min_distance()
        if given.first is not None:
            self._centre_points.append(*self._points_of(np.array([given.first])))
            self.centres.append(given.first)
            self.radii.append(self.radius)
            self.min_distances[given.first] = CHOSEN

    def _distances_to_first(self, first: int | None, origin: int) -> Array:
        """Distance of every row to the first centre, infinite where there is none."""
        if first is None:
            return self._norms + np.inf
        if first == origin:
            return self._norms
        point = self._device.put(self._features[first] + 0)
        return squared_distances_to(self._features, point, self._device)

    def _room_for(self, n_centres: int) -> _Points:
        """Empty storage for the centres: on the device if all of them fit there."""
        points, norms = self._points_of(np.zeros(0, dtype=np.intp))
        if not self._device.fits(n_centres * self._features.shape[1] * 4):
            points, norms = to_numpy(points), to_numpy(norms)
        return _Points(n_centres, points, norms)

    def _select_block(self, limit: int, stop: float) -> tuple[Indices, NDArray[np.float32]]:
        block = _Block(to_numpy(self.min_distances), self._norms_on_host)
        candidate_distances = self._distances_among(block.rows)
        distances_before: list[float] = []
        while len(block.chosen) < limit:
            best = int(block.min_distances.argmax())  # rows ascend: on ties the lowest row
            distance = float(block.min_distances[best])
            if block.chosen and (block.may_be_outside(best) or distance <= stop):
                break
            near_ties = block.near_ties(best)
            if len(near_ties) > 1:
                exact = self._exact_min_distances(block, near_ties, candidate_distances)
                best = int(near_ties[exact.argmax()])
            block.chosen.append(best)
            distances_before.append(distance)
            to_best = np.maximum(candidate_distances[best], 0.0, out=candidate_distances[best])
            np.minimum(block.min_distances, to_best, out=block.min_distances)
            block.min_distances[best] = CHOSEN
        return block.rows[block.chosen], np.array(distances_before, dtype=np.float32)

    def _exact_min_distances(
        self, block: _Block, candidates: Indices, candidate_distances: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Min-distances of a few candidates in float64.

        Only centres that are nearest, or may be but for rounding, are computed again.
        """
        rows = block.rows[candidates]
        points, norms = self._points_of(rows)
        if isinstance(self._centre_points.rows, np.ndarray):
            points, norms = to_numpy(points), to_numpy(norms)
        centres = self._centre_points
        to_centres = norms[:, None] + (centres.norms - 2.0 * (points @ centres.rows.T))
        rounded = [to_numpy(to_centres), candidate_distances[candidates][:, block.chosen]]
        to_all = np.concatenate(rounded, axis=1)
        limits = to_all.min(axis=1) + 2 * block.rounding[candidates]
        which, near = np.nonzero(to_all <= limits[:, None])
        exact = np.full(len(rows), np.inf)
        if self._initial is not None:
            exact = np.square(self._initial[rows].astype(np.float64))
        for pairs in blocks(len(which), TILE_ROWS):
            candidate = to_numpy(self._features[rows[which[pairs]]]).astype(np.float64)
            centre = self._centre_values(block, near[pairs]).astype(np.float64)
            np.minimum.at(exact, which[pairs], np.square(candidate - centre).sum(axis=1))
        return exact

    def _centre_values(self, block: _Block, numbers: Indices) -> NDArray[np.float32]:
        """Values of some centres, by their number: existing ones, then chosen ones.  -> (m, d)."""
        rows = np.concatenate([self.centres, block.rows[block.chosen]]).astype(np.intp)
        n_existing = len(self._existing)
        values = np.empty((len(numbers), self._existing.shape[1]), dtype=np.float32)
        is_row = numbers >= n_existing
        values[~is_row] = self._existing[numbers[~is_row]]
        values[is_row] = to_numpy(self._features[rows[numbers[is_row] - n_existing]])
        return values

    def _distances_among(self, rows: Indices) -> NDArray[np.float32]:
        """Squared distances among candidates; rounding may leave some below zero.  -> (m, m).

        As in `_update_with` the norms are part of the product, which saves passes over the result.
        """
        points, norms = self._points_of(rows)
        m, d = points.shape
        left, right = (ones_on_device_of((m, d + 2), points) for _ in range(2))
        right[:, :d] = points
        left[:, :d] = -2.0 * points
        left[:, d] = right[:, d + 1] = norms
        return to_numpy(left @ right.T)

    def _points_of(self, rows: Indices) -> tuple[Array, Array]:
        """Some rows relative to the origin, (m, d), and their squared norms, (m,)."""
        points = self._device.put(self._features[rows]) - self._origin
        return points, self._norms[rows]

    def _update(self, rows: Indices) -> None:
        groups = None if self._groups is None else self._groups[rows]
        self._update_with(*self._points_of(rows), groups)
        self.min_distances[rows] = CHOSEN

    def add_existing(self, points: Features) -> None:
        """Lower all min-distances to further existing centres, of no group of the rows."""
        self._update_with_existing(ExistingCentres(points))
        self.radius = self._largest_min_distance()

    def _update_with_existing(self, existing: ExistingCentres) -> None:
        groups = None if self._groups is None else existing.groups
        self._existing = np.concatenate([self._existing, existing.points])
        for part in blocks(len(existing.points), CANDIDATES):  # as many as a block may choose
            points = self._device.put(existing.points[part]) - self._origin
            norms = self._xp.einsum("nd,nd->n", points, points)
            self._update_with(points, norms, None if groups is None else groups[part])
        if self._groups is not None and groups is None:  # all of them are of other groups
            self.min_distance_to_other_groups = self.min_distances + 0

    def _update_with(self, points: Array, norms: Array, of_points: Indices | None) -> None:
        """Lower every min-distance to the nearest of some centres: one pass over the features.

        With a last column of ones in the rows and the norms as last row of the centres, the matrix
        product itself is |c|^2 - 2xc, and only the minimum over centres is left to compute.
        """
        xp, put = self._xp, self._device.put
        self._centre_points.append(points, norms)
        m, d = points.shape
        extended = ones_on_device_of((d + 1, m), points)
        extended[:d] = -2.0 * points.T
        extended[d] = norms
        n_rows = min(TILE_ROWS * self._device.tile_factor, len(self._features))
        tile_rows = ones_on_device_of((n_rows, d + 1), points)
        products = empty_on_device_of((n_rows, m), points)
        for tile in tiles(len(self._features), self._device):
            count = tile.stop - tile.start
            rows, out = tile_rows[:count], products[:count]
            xp.subtract(put(self._features[tile]), self._origin, out=rows[:, :d])
            drop_pages(self._features[tile])
            xp.matmul(rows, extended, out=out)
            nearest = xp.min(out, axis=1)
            if of_points is not None:
                self._update_other_groups(tile, of_points, out, nearest)
            # Chosen rows stay below zero.
            self.min_distances[tile] = self._lowered(self.min_distances, tile, nearest)

    def _update_other_groups(
        self, tile: slice, of_points: Indices, products: Array, nearest: Array
    ) -> None:
        """Update the distances to other groups of one tile; overwrites its `products`."""
        if self._groups is None or self.min_distance_to_other_groups is None:
            return
        groups = self._groups[tile]
        edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
        for low, high in pairwise(edges):
            own_centres = np.flatnonzero(of_points == groups[low])
            group_nearest = nearest[low:high]
            if len(own_centres):
                products[low:high, own_centres] = np.inf
                group_nearest = self._xp.min(products[low:high], axis=1)
            rows = slice(tile.start + low, tile.start + high)
            to_others = self.min_distance_to_other_groups
            to_others[rows] = self._lowered(to_others, rows, group_nearest)

    def _lowered(self, distances: Array, rows: slice, nearest: Array) -> Array:
        """The distances of some rows, lowered to |x|^2 + (|c|^2 - 2xc) where that is smaller."""
        squared = self._xp.clip(nearest + self._norms[rows], 0.0, None)
        return self._xp.minimum(distances[rows], squared)

    def _largest_min_distance(self) -> float:
        return max(float(self._xp.max(self.min_distances)), 0.0)


class _Points:
    """Points and their squared norms, in storage that is allocated once."""

    def __init__(self, capacity: int, like_points: Array, like_norms: Array) -> None:
        self._rows = empty_on_device_of((capacity, like_points.shape[1]), like_points)
        self._norms = empty_on_device_of((capacity,), like_norms)
        self._count = 0

    @property
    def rows(self) -> Array:
        """(m, d): a view."""
        return self._rows[: self._count]

    @property
    def norms(self) -> Array:
        """(m,): a view."""
        return self._norms[: self._count]

    def append(self, rows: Array, norms: Array) -> None:
        """Copy points to where the storage is."""
        if isinstance(self._rows, np.ndarray):
            rows, norms = to_numpy(rows), to_numpy(norms)
        added = slice(self._count, self._count + len(rows))
        self._rows[added], self._norms[added] = rows, norms
        self._count = added.stop


class _Block:
    """The candidates of one block, and bounds of all other rows."""

    def __init__(self, min_distances: NDArray[np.float32], norms: NDArray[np.float32]) -> None:
        self.rows, self._outside_distance, self._outside_row = _candidates(min_distances)
        self.min_distances = min_distances[self.rows]
        self.rounding = ROUNDING * (norms[self.rows] + self.min_distances)
        """Largest float32 rounding error of each min-distance."""
        self.chosen: list[int] = []
        """Indices of the chosen candidates."""
        errors = ROUNDING * (norms + min_distances)
        limits = np.where(min_distances < 0, -np.inf, min_distances + errors)
        limits[self.rows] = -np.inf
        self._outside_limit = float(limits.max())

    def may_be_outside(self, best: int) -> bool:
        """Whether a row that is no candidate may be the farthest of all."""
        distance = float(self.min_distances[best])
        if not self._is_rounding_error(best):
            return bool(distance - self.rounding[best] < self._outside_limit)
        tie = distance == self._outside_distance and self.rows[best] > self._outside_row
        return bool(distance < self._outside_distance or tie)

    def near_ties(self, best: int) -> Indices:
        """The candidates that may be farther than `best` but for rounding, itself among them."""
        if self._is_rounding_error(best):
            return np.array([best])
        lowest = self.min_distances[best] - self.rounding[best]
        may_be = self.min_distances + self.rounding >= lowest
        may_be &= self.min_distances >= 0  # a centre of large norm is not chosen again
        near = np.flatnonzero(may_be)
        return near if len(near) <= MAX_TIES else np.array([best])

    def _is_rounding_error(self, best: int) -> bool:
        """Whether min-distances are as small as their rounding errors, so that none is known."""
        return bool(self.min_distances[best] <= 4 * self.rounding[best])


def _candidates(min_distances: NDArray[np.float32]) -> tuple[Indices, float, int]:
    """Choose the rows of largest min-distance.

    -> the rows, ascending; the largest min-distance of the others, and the lowest row that has it.
    """
    n = len(min_distances)
    if n <= CANDIDATES:
        return np.arange(n), -np.inf, n
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
