"""The greedy selection on matrix products, on any device.

`screened.py` has the one for CPUs that multiply whole numbers fast.

* Take the rows of largest gap (distance to the nearest pick) as *candidates*;
* a pick only lowers gaps, so while the best candidate lies above every row outside, it is the
  farthest row of all: the very pick that the loop would make.  Gaps of candidates are kept up to
  date from the distances among them, which is small work;
* when the best candidate falls below the largest gap outside, fold all picks of the block into
  the gaps with one matrix product, and take new candidates.

Products in float32 round, and round otherwise on every machine.  Where rounding could decide
between candidates, their gaps are computed again in double precision, from the features: so the
picks are those of exact arithmetic, wherever the products were made.  Two limits: more than
`MOST_TIES` candidates that close are taken for exact ties, and when every gap has sunk into the
rounding (near-duplicates only are left), the order is that of the rounded numbers.

The passes run on a `Device`; features that do not fit there go through it in blocks.  The picks of
a block are made on the CPU: that is a short chain of small steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from patchbank.runtime.devices import Device
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Array, Indices

CANDIDATES = 3072  # per block: more make fewer passes, but cost their square
TILE_ROWS = 1024  # rows folded at once, so that a tile and its products stay in the cache
ROUNDING = 20 * 2.0**-24  # of a squared distance in float32, relative to norm and distance
MOST_TIES = 64  # candidates that are told apart exactly; more are exact ties, as on whole numbers
TAKEN = -1.0  # gap of a picked row: below every distance, so it is never picked again


def tiles(n: int, device: Device) -> Iterator[slice]:
    """Blocks of rows that suit the device."""
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


class GemmGreedy:
    """The state of one selection: gaps of all rows, and the picks so far."""

    def __init__(
        self,
        features: Array,
        n_keep: int,
        origin: int,
        first: int,
        initial: NDArray[np.float32] | None,
        groups: Indices | None,
        device: Device,
    ) -> None:
        self.features = features
        self.device = device
        # Seen from an ordinary row, the norms in |x|^2 + |p|^2 - 2xp are as small as the distances
        # themselves, so little is lost to cancellation (and nothing at all on whole numbers).
        self.origin = device.put(features[origin] + 0)
        self.norms = squared_distances_to(features, self.origin, device)
        self.norms_here = to_numpy(self.norms)
        self.xp = namespace(self.norms)
        # Squared distance to the nearest pick.
        to_first = self.norms
        if first != origin:
            to_first = squared_distances_to(features, device.put(features[first] + 0), device)
        self.gaps = to_first + 0
        if initial is not None:
            self.gaps = self.xp.minimum(self.gaps, on_device_of(np.square(initial), self.gaps))
        self.initial = initial
        self.rows = [first]
        self.holds_picks = device.fits(n_keep * features.shape[1] * 4)
        self.folded = _Points(n_keep, *self._kept(self._points(np.array([first]))))
        self.radii = [float(self.xp.max(self.gaps))]
        self.gaps[first] = TAKEN
        self.groups = groups
        self.to_others = self.norms[:0]  # squared until the end
        if groups is not None:
            own = np.where(groups == groups[first], np.float32(np.inf), np.float32(0.0))
            self.to_others = to_first + on_device_of(own, to_first)

    def pick_until(self, size: int, stop_gap: float, on_progress: Callable[[int], None]) -> None:
        """Pick until there are `size` rows, or no gap is larger than `stop_gap`.

        `rows`, `radii` and `to_others` then hold what was found; distances are squared.
        """
        while len(self.rows) < size and self.radii[-1] > stop_gap:
            picks = self._pick_block(size - len(self.rows), stop_gap)
            self.rows += picks
            self._fold(np.array(picks))
            self.radii[-1] = max(float(self.xp.max(self.gaps)), 0.0)
            on_progress(len(picks))

    def _pick_block(self, most: int, stop_gap: float) -> list[int]:
        """Make every pick that the candidates alone decide, and note the radius after each."""
        all_gaps = to_numpy(self.gaps)
        block = _Block(all_gaps, self.norms_here)
        between = self._distances_among(block.rows)
        while len(block.picked) < most:
            best = int(block.gaps.argmax())  # rows ascend, so equals go to the lowest
            gap = float(block.gaps[best])
            if block.picked:
                if block.is_decided_outside(best):
                    break
                self.radii[-1] = max(gap, 0.0)
                if gap <= stop_gap:
                    break
            close = block.close_to(best)
            if len(close) > 1:
                best = int(close[self._exact_gaps(block, close, between).argmax()])
            block.picked.append(best)
            self.radii.append(0.0)  # known when the next pick, or the fold, shows the largest gap
            to_best = np.maximum(between[best], 0.0, out=between[best])
            np.minimum(block.gaps, to_best, out=block.gaps)
            block.gaps[best] = TAKEN
        return [int(row) for row in block.rows[block.picked]]

    def _exact_gaps(
        self, block: _Block, close: Indices, between: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Gaps of a few candidates in double precision.

        Only picks that rounding may have made nearest are looked at again.
        """
        rows = block.rows[close]
        points, norms = self._kept(self._points(rows))
        to_folded = norms[:, None] + (self.folded.norms - 2.0 * (points @ self.folded.rows.T))
        rounded = np.concatenate([to_numpy(to_folded), between[close][:, block.picked]], axis=1)
        picks = np.concatenate([self.rows, block.rows[block.picked]]).astype(np.intp)
        limits = rounded.min(axis=1) + 2 * block.rounding[close]
        which, near = np.nonzero(rounded <= limits[:, None])
        exact = np.full(len(rows), np.inf)
        if self.initial is not None:
            exact = np.square(self.initial[rows].astype(np.float64))
        for some in blocks(len(which), TILE_ROWS):
            one, other = (
                to_numpy(self.features[numbers]).astype(np.float64)
                for numbers in (rows[which[some]], picks[near[some]])
            )
            np.minimum.at(exact, which[some], np.square(one - other).sum(axis=1))
        return exact

    def _kept(self, points_and_norms: tuple[Array, Array]) -> tuple[Array, Array]:
        """The same where the picks are kept: on the device, if it holds them all."""
        points, norms = points_and_norms
        return (points, norms) if self.holds_picks else (to_numpy(points), to_numpy(norms))

    def _distances_among(self, rows: Indices) -> NDArray[np.float32]:
        """Squared distances of candidates, (m, m), but for rounding below zero.

        As in `_fold` the norms ride along in the product, which saves passes over the result.
        """
        points, norms = self._points(rows)
        m, d = points.shape
        left, right = (ones_on_device_of((m, d + 2), points) for _ in range(2))
        right[:, :d] = points
        left[:, :d] = -2.0 * points
        left[:, d] = right[:, d + 1] = norms
        return to_numpy(left @ right.T)

    def _points(self, rows: Indices) -> tuple[Array, Array]:
        """Some rows as seen from the origin, (m, d), and their squared norms, (m,)."""
        points = self.device.put(self.features[rows]) - self.origin
        return points, self.norms[rows]

    def _fold(self, picks: Indices) -> None:
        """Lower every gap to the nearest of `picks`.

        With a column of ones beside the rows and the norms beside the picks, the matrix product
        itself gives |p|^2 - 2xp, and only the minimum over picks is left to do.
        """
        xp, put = self.xp, self.device.put
        points, norms = self._points(picks)
        self.folded.append(*self._kept((points, norms)))
        m, d = points.shape
        extended = ones_on_device_of((d + 1, m), points)
        extended[:d] = -2.0 * points.T
        extended[d] = norms
        n_rows = min(TILE_ROWS * self.device.tile_factor, len(self.features))
        tile = ones_on_device_of((n_rows, d + 1), points)
        products = empty_on_device_of((n_rows, m), points)
        for some in tiles(len(self.features), self.device):
            count = some.stop - some.start
            rows, out = tile[:count], products[:count]
            xp.subtract(put(self.features[some]), self.origin, out=rows[:, :d])
            drop_pages(self.features[some])
            xp.matmul(rows, extended, out=out)
            nearest = xp.min(out, axis=1)
            if self.groups is not None:
                self._fold_others(self.groups, some, picks, out, nearest)
            self.gaps[some] = self._lower(self.gaps, some, nearest)  # taken rows stay below zero
        self.gaps[picks] = TAKEN

    def _fold_others(
        self, group_of: Indices, some: slice, picks: Indices, products: Array, nearest: Array
    ) -> None:
        """Lower `to_others` of one tile, whose `products` with the picks it may overwrite."""
        groups = group_of[some]
        edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
        for low, high in pairwise(edges):
            own = np.flatnonzero(group_of[picks] == groups[low])
            run = nearest[low:high]
            if len(own):
                products[low:high, own] = np.inf
                run = self.xp.min(products[low:high], axis=1)
            rows = slice(some.start + low, some.start + high)
            self.to_others[rows] = self._lower(self.to_others, rows, run)

    def _lower(self, gaps: Array, rows: slice, nearest: Array) -> Array:
        """The gaps of some rows, lowered to |x|^2 + (|p|^2 - 2xp) where that is lower."""
        squared = self.xp.clip(nearest + self.norms[rows], 0.0, None)
        return self.xp.minimum(gaps[rows], squared)


class _Points:
    """Rows side by side, and their squared norms, in room that is taken up as they come."""

    def __init__(self, room: int, rows: Array, norms: Array) -> None:
        self._rows = empty_on_device_of((room, rows.shape[1]), rows)
        self._norms = empty_on_device_of((room,), rows)
        self._count = 0
        self.append(rows, norms)

    @property
    def rows(self) -> Array:
        """(m, d): a view."""
        return self._rows[: self._count]

    @property
    def norms(self) -> Array:
        """(m,): a view."""
        return self._norms[: self._count]

    def append(self, rows: Array, norms: Array) -> None:
        """Add rows."""
        some = slice(self._count, self._count + len(rows))
        self._rows[some], self._norms[some] = rows, norms
        self._count = some.stop


class _Block:
    """Candidates of one block, and what lies outside."""

    def __init__(self, gaps: NDArray[np.float32], norms: NDArray[np.float32]) -> None:
        self.rows, self._outside_gap, self._outside_row = _candidates(gaps)
        self.gaps = gaps[self.rows]
        self.rounding = ROUNDING * (norms[self.rows] + self.gaps)
        """What float32 may have moved each gap by."""
        self.picked: list[int] = []  # places among the rows
        limits = np.where(gaps < 0, -np.inf, gaps + ROUNDING * (norms + gaps))
        limits[self.rows] = -np.inf
        self._outside_limit = float(limits.max())

    def is_decided_outside(self, best: int) -> bool:
        """Whether a row outside may be the farthest of all."""
        gap = float(self.gaps[best])
        if not self._is_noise(best):
            return bool(gap - self.rounding[best] < self._outside_limit)
        tie = gap == self._outside_gap and self.rows[best] > self._outside_row
        return bool(gap < self._outside_gap or tie)

    def close_to(self, best: int) -> Indices:
        """The candidates that rounding may have put behind `best`, itself among them."""
        if self._is_noise(best):
            return np.array([best])
        close = np.flatnonzero(self.gaps + self.rounding >= self.gaps[best] - self.rounding[best])
        return close if len(close) <= MOST_TIES else np.array([best])

    def _is_noise(self, best: int) -> bool:
        """Whether gaps are as small as what rounding moves them by: there is nothing to tell."""
        return bool(self.gaps[best] <= 4 * self.rounding[best])


def _candidates(gaps: NDArray[np.float32]) -> tuple[Indices, float, int]:
    """Choose the rows of largest gap.

    -> their numbers, ascending; the largest gap outside, and the lowest row that has it.
    """
    n = len(gaps)
    if n <= CANDIDATES:
        return np.arange(n), -np.inf, n
    kth = n - CANDIDATES - 1
    order = np.argpartition(gaps, kth)
    outside_gap = gaps[order[kth]]
    inside = order[kth + 1 :]
    above = inside[gaps[inside] > outside_gap]
    ties = np.flatnonzero(gaps == outside_gap)  # the lowest of equals must be inside
    taken = CANDIDATES - len(above)
    rows = np.sort(np.concatenate([above, ties[:taken]]))
    return rows, float(outside_gap), int(ties[taken])
