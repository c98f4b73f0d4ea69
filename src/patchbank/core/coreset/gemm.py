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

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import (
    blocks,
    empty_on_device_of,
    namespace,
    ones_on_device_of,
    to_numpy,
)
from patchbank.core.coreset.feature_rows import TILE_ROWS
from patchbank.core.coreset.gemm_rows import CANDIDATES, Candidates, GemmRows, rounding
from patchbank.core.coreset.greedy_state import CHOSEN, Beginning, ExistingCentres, GreedyState
from patchbank.core.coreset.sharded import ShardedGemmRows
from patchbank.runtime.devices import Device
from patchbank.types import Array, Features, Indices

MAX_TIES = 64  # near-ties that are recomputed in float64; more count as exact ties (as on lattices)


class GemmGreedy(GreedyState):
    """A selection of at most `n_keep` centres; `origin` is the row nearest to the mean.

    Distances are |x|^2 + |c|^2 - 2xc relative to that origin.  There the norms are as small as the
    distances themselves, so little is lost to cancellation (and nothing at all on small integers).
    """

    def __init__(
        self,
        rows: GemmRows | ShardedGemmRows,
        begin: Beginning,
        n_keep: int,
        origin: int,
        device: Device,
    ) -> None:
        self.rows: GemmRows | ShardedGemmRows = rows
        self._device = device
        self.centres: list[int] = []
        self.radii: list[float] = []
        at_origin = rows.values(np.array([origin]))[0] + 0
        self._origin = device.put(at_origin)
        rows.begin(at_origin, None if begin.first is None else rows.centre(begin.first))
        self._xp = namespace(self._origin)
        self._existing = np.empty((0, len(self._origin)), dtype=np.float32)
        n_existing = 0 if begin.existing is None else len(begin.existing.points)
        self._centre_points = self._room_for(n_keep + n_existing)
        if begin.existing is not None:
            self._lower_to_existing(begin.existing)
        if rows.has_initial:
            rows.lower_to_initial()
        self.radius = rows.largest_min_distance()
        if begin.first is not None:
            first = np.array([begin.first])
            self._centre_points.append(*self._points_of(first))
            self.centres.append(begin.first)
            self.radii.append(self.radius)
            rows.mark(first)

    def _room_for(self, n_centres: int) -> _Points:
        """Empty storage for the centres: on the device if all of them fit there."""
        points, norms = self._points_of(np.zeros(0, dtype=np.intp))
        if not self._device.fits(n_centres * len(self._origin) * 4):
            points, norms = to_numpy(points), to_numpy(norms)
        return _Points(n_centres, points, norms)

    def _select_block(self, limit: int, stop: float) -> tuple[Indices, NDArray[np.float32]]:
        candidates = self.rows.candidates()
        centres = np.array(self.centres, dtype=np.intp)
        block = _Block(candidates, self._points_of(candidates.rows), centres)
        candidate_distances = _distances_among(*block.points_and_norms)
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
        points, norms = (array[candidates] for array in block.points_and_norms)
        if isinstance(self._centre_points.rows, np.ndarray):
            points, norms = to_numpy(points), to_numpy(norms)
        centres = self._centre_points
        to_centres = norms[:, None] + (centres.norms - 2.0 * (points @ centres.rows.T))
        rounded = [to_numpy(to_centres), candidate_distances[candidates][:, block.chosen]]
        to_all = np.concatenate(rounded, axis=1)
        limits = to_all.min(axis=1) + 2 * block.rounding[candidates]
        which, near = np.nonzero(to_all <= limits[:, None])
        exact = np.full(len(rows), np.inf)
        if block.initial is not None:
            exact = np.square(block.initial[candidates].astype(np.float64))
        for pairs in blocks(len(which), TILE_ROWS):
            candidate = to_numpy(self.rows.values(rows[which[pairs]])).astype(np.float64)
            centre = self._centre_values(block, near[pairs]).astype(np.float64)
            np.minimum.at(exact, which[pairs], np.square(candidate - centre).sum(axis=1))
        return exact

    def _centre_values(self, block: _Block, numbers: Indices) -> NDArray[np.float32]:
        """Values of some centres, by their number: existing ones, then chosen ones.  -> (m, d)."""
        rows = np.concatenate([block.centres_before, block.rows[block.chosen]])
        n_existing = len(self._existing)
        values = np.empty((len(numbers), self._existing.shape[1]), dtype=np.float32)
        is_row = numbers >= n_existing
        values[~is_row] = self._existing[numbers[~is_row]]
        values[is_row] = to_numpy(self.rows.values(rows[numbers[is_row] - n_existing]))
        return values

    def _points_of(self, rows: Indices) -> tuple[Array, Array]:
        """Some rows relative to the origin, (m, d), and their squared norms, (m,)."""
        points = self._device.put(self.rows.values(rows)) - self._origin
        return points, self._device.put(self.rows.norms_of(rows))

    def _update(self, rows: Indices) -> None:
        self._lower(self.rows.values(rows), self.rows.norms_of(rows), self.rows.groups_of(rows))
        self.rows.mark(rows)

    def _lower(self, values: Array, norms: Array, of_centres: Indices | None) -> None:
        self._centre_points.append(self._device.put(values) - self._origin, self._device.put(norms))
        self.rows.lower(values, norms, of_centres)

    def add_existing(self, points: Features) -> None:
        """Lower all min-distances to further existing centres, of no group of the rows."""
        self._lower_to_existing(ExistingCentres(points))
        self.radius = self.rows.largest_min_distance()

    def _lower_to_existing(self, existing: ExistingCentres) -> None:
        groups = existing.groups if self.rows.has_groups else None
        self._existing = np.concatenate([self._existing, existing.points])
        for part in blocks(len(existing.points), CANDIDATES):  # as many as a block may choose
            points = self._device.put(existing.points[part]) - self._origin
            norms = self._xp.einsum("nd,nd->n", points, points)
            self._lower(existing.points[part], norms, None if groups is None else groups[part])
        if groups is None:
            self.rows.say_all_are_of_other_groups()


def _distances_among(points: Array, norms: Array) -> NDArray[np.float32]:
    """Squared distances among candidates; rounding may leave some below zero.  -> (m, m).

    As in `GemmRows.lower` the norms are part of the product, which saves passes over the result.
    """
    m, d = points.shape
    left, right = (ones_on_device_of((m, d + 2), points) for _ in range(2))
    right[:, :d] = points
    left[:, :d] = -2.0 * points
    left[:, d] = right[:, d + 1] = norms
    return to_numpy(left @ right.T)


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

    def __init__(
        self,
        candidates: Candidates,
        points_and_norms: tuple[Array, Array],
        centres_before: Indices,
    ) -> None:
        self.rows, self.initial = candidates.rows, candidates.initial
        self.points_and_norms = points_and_norms
        """Candidates relative to the origin, (m, d), and their squared norms, (m,)."""
        self.centres_before = centres_before
        """Rows of the centres before this block."""
        self.min_distances = candidates.min_distances
        self.rounding = rounding(candidates.norms, self.min_distances)
        self.chosen: list[int] = []
        """Indices of the chosen candidates."""
        self._outside_distance = candidates.outside_distance
        self._outside_row = candidates.outside_row
        self._outside_limit = candidates.outside_limit

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
