"""Which patches the bank keeps: exact greedy k-centre selection at matrix-product speed.

The one-at-a-time loop of Gonzalez (1985) picks the row farthest from those already picked and
pays one pass over all features for each pick.  Here a pass serves hundreds of picks:

* take the rows of largest gap (distance to the nearest pick) as *candidates*;
* a pick only lowers gaps, so while the best candidate lies above every row outside, it is the
  farthest row of all: the very pick that the loop would make.  Gaps of candidates are kept up to
  date from the distances among them, which is small work;
* when the best candidate falls below the largest gap outside, fold all picks of the block into
  the gaps with one matrix product, and take new candidates.

Ties go to the lowest row number, as in the loop.  Distances are squared until the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import ParameterError, ShapeError
from patchbank.types import Features, Indices

CANDIDATES = 3072  # per block: more make fewer passes, but cost their square
TILE_ROWS = 1024  # rows folded at once, so that a tile and its products stay in the cache
TAKEN = -1.0  # gap of a picked row: below every distance, so it is never picked again


@dataclass(frozen=True, slots=True)
class Coreset:
    """Rows picked in greedy order: the first m of them are the greedy coreset of size m."""

    rows: Indices
    """(m,) distinct row numbers, in picking order."""
    radii: NDArray[np.float32]
    """(m,) covering radius after each pick: the largest distance of any row to its nearest pick."""
    to_others: NDArray[np.float32]
    """(n,) distance of each row to the nearest pick of *another* group, infinite if there is none;
    empty where no groups were given."""


def greedy_coreset(
    features: Features,
    n_keep: int,
    *,
    start: int | None = None,
    radius: float | None = None,
    groups: Indices | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Coreset:
    """Pick rows so that every row lies near a picked one (greedy k-centre; PatchCore, Algorithm 1).

    Args:
        features: (n, d) float32.
        n_keep: the most rows to keep, from 1 to n.
        start: row number of the first pick; None takes the row nearest to the mean.
        radius: stop as soon as no row is farther than this from its nearest pick; None never stops.
        groups: (n,) group of each row, equal ones side by side (the image that a patch comes
            from); the selection then also tells how far each row is from the picks of the others,
            which is what leaving one group out needs, at little cost.
        on_progress: called with the number of picks made since the last call.

    Raises:
        ShapeError: `features` does not have two axes.
        ParameterError: `n_keep`, `start` or `radius` is out of range.

    Cost: 2 * n * n_keep * d operations in a few tens of passes, n floats of extra memory.

    >>> line = np.array([[0.0], [1.0], [10.0]], dtype=np.float32)
    >>> picked = greedy_coreset(line, 3, start=0)
    >>> picked.rows.tolist(), picked.radii.tolist()
    ([0, 2, 1], [10.0, 1.0, 0.0])
    """
    n = _check(features, n_keep)
    if start is not None and not 0 <= start < n:
        raise ParameterError(f"start: expected a row from 0 to {n - 1}, got {start}")
    if groups is not None and groups.shape != (n,):
        raise ShapeError(f"groups: expected ({n},), one a row, got {groups.shape}")
    if radius is not None and not radius >= 0:
        raise ParameterError(f"radius: expected 0 or more, got {radius}")
    first = row_nearest_to_mean(features) if start is None else start
    greedy = _Greedy(features, n_keep, first, radius, groups)
    return greedy.run(on_progress or (lambda picks: None))


def random_coreset(n: int, n_keep: int, *, rng: np.random.Generator) -> Indices:
    """Pick `n_keep` of `n` rows at random, without repetition.  -> (n_keep,) ascending."""
    if not 1 <= n_keep <= n:
        raise ParameterError(f"n_keep: expected 1 to {n} (the patches there are), got {n_keep}")
    return np.sort(rng.choice(n, n_keep, replace=False))


def row_nearest_to_mean(features: Features) -> int:
    """Find a start that is not luck: the most ordinary row, the lowest of equals."""
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    return int(_squared_distances_to(features, mean).argmin())


def project(features: Features, n_dims: int, *, rng: np.random.Generator) -> Features:
    """Project by a random Gaussian matrix that keeps distances on average.  (n, d) -> (n, n_dims).

    After Johnson and Lindenstrauss (1984).  Only ever used to select: the bank holds the features.
    """
    d = features.shape[1]
    matrix = rng.standard_normal((d, n_dims)) / np.sqrt(n_dims)
    return np.asarray(features @ matrix.astype(np.float32))


def _check(features: Features, n_keep: int) -> int:
    if features.ndim != 2:
        raise ShapeError(f"features: expected (n, d), got {features.shape}")
    n = len(features)
    if not 1 <= n_keep <= n:
        raise ParameterError(f"n_keep: expected 1 to {n} (the patches there are), got {n_keep}")
    return n


def _squared_distances_to(features: Features, point: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distance of every row to one point, by differences.  (n, d), (d,) -> (n,)."""
    out = np.empty(len(features), dtype=np.float32)
    for begin in range(0, len(features), TILE_ROWS):
        difference = features[begin : begin + TILE_ROWS] - point
        np.einsum("nd,nd->n", difference, difference, out=out[begin : begin + TILE_ROWS])
    return out


class _Greedy:
    """The state of one selection: gaps of all rows, and the picks so far."""

    def __init__(
        self,
        features: Features,
        n_keep: int,
        first: int,
        radius: float | None,
        groups: Indices | None,
    ) -> None:
        self.features = features
        self.n_keep = n_keep
        self.stop_gap = TAKEN if radius is None else radius * radius
        # Seen from the first pick, the norms in |x|^2 + |p|^2 - 2xp are as small as the distances
        # themselves, so little is lost to cancellation (and nothing at all on whole numbers).
        self.origin = features[first].copy()
        self.norms = _squared_distances_to(features, self.origin)
        self.gaps = self.norms.copy()  # squared distance to the nearest pick
        self.rows = [first]
        self.radii = [float(self.gaps.max())]
        self.gaps[first] = TAKEN
        self.groups = groups
        self.to_others = np.empty(0, dtype=np.float32)  # squared until the end
        if groups is not None:
            self.to_others = np.where(groups == groups[first], np.float32(np.inf), self.norms)

    def run(self, on_progress: Callable[[int], None]) -> Coreset:
        on_progress(1)
        while len(self.rows) < self.n_keep and self.radii[-1] > self.stop_gap:
            picks = self._pick_block()
            self.rows += picks
            self._fold(np.array(picks))
            self.radii[-1] = float(max(self.gaps.max(), 0.0))
            on_progress(len(picks))
        radii = np.sqrt(np.array(self.radii, dtype=np.float32))
        return Coreset(np.array(self.rows, dtype=np.intp), radii, np.sqrt(self.to_others))

    def _pick_block(self) -> list[int]:
        """Make every pick that the candidates alone decide, and note the radius after each."""
        rows, outside_gap, outside_row = self._candidates()
        gaps = self.gaps[rows]
        between = self._distances_among(rows)
        picks: list[int] = []
        while len(self.rows) + len(picks) < self.n_keep:
            best = int(gaps.argmax())  # rows ascend, so equals go to the lowest
            gap = float(gaps[best])
            if picks:
                if gap < outside_gap or (gap == outside_gap and rows[best] > outside_row):
                    break
                self.radii[-1] = max(gap, 0.0)
                if gap <= self.stop_gap:
                    break
            picks.append(int(rows[best]))
            self.radii.append(0.0)  # known when the next pick, or the fold, shows the largest gap
            to_best = np.maximum(between[best], 0.0, out=between[best])
            np.minimum(gaps, to_best, out=gaps)
            gaps[best] = TAKEN
        return picks

    def _candidates(self) -> tuple[Indices, float, int]:
        """Choose the rows of largest gap.

        -> their numbers, ascending; the largest gap outside, and the lowest row that has it.
        """
        n, gaps = len(self.gaps), self.gaps
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

    def _distances_among(self, rows: Indices) -> NDArray[np.float32]:
        """Squared distances of candidates, (m, m), but for rounding below zero.

        As in `_fold` the norms ride along in the product, which saves passes over the result.
        """
        m, d = len(rows), self.features.shape[1]
        left, right = (np.ones((m, d + 2), dtype=np.float32) for _ in range(2))
        np.subtract(self.features[rows], self.origin, out=right[:, :d])
        np.multiply(right[:, :d], -2.0, out=left[:, :d])
        left[:, d] = right[:, d + 1] = self.norms[rows]
        return np.asarray(left @ right.T)

    def _fold(self, picks: Indices) -> None:
        """Lower every gap to the nearest of `picks`.

        With a column of ones beside the rows and the norms beside the picks, the matrix product
        itself gives |p|^2 - 2xp, and only the minimum over picks is left to do.
        """
        d, m = self.features.shape[1], len(picks)
        points = np.empty((d + 1, m), dtype=np.float32)
        points[:d] = -2.0 * (self.features[picks] - self.origin).T
        points[d] = self.norms[picks]
        tile = np.empty((TILE_ROWS, d + 1), dtype=np.float32)
        tile[:, d] = 1.0
        products = np.empty((TILE_ROWS, m), dtype=np.float32)
        for begin in range(0, len(self.gaps), TILE_ROWS):
            some = self.features[begin : begin + TILE_ROWS]
            rows, out = tile[: len(some)], products[: len(some)]
            np.subtract(some, self.origin, out=rows[:, :d])
            nearest = np.matmul(rows, points, out=out).min(axis=1)
            if self.groups is not None:
                self._fold_others(self.groups, begin, picks, out, nearest)
            self._lower(self.gaps, begin, nearest)  # a taken row stays below zero
        self.gaps[picks] = TAKEN

    def _fold_others(
        self,
        group_of: Indices,
        begin: int,
        picks: Indices,
        products: NDArray[np.float32],
        nearest: NDArray[np.float32],
    ) -> None:
        """Lower `to_others` of one tile, whose `products` with the picks it may overwrite."""
        groups = group_of[begin : begin + len(products)]
        edges = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(groups)]
        for low, high in pairwise(edges):
            own = np.flatnonzero(group_of[picks] == groups[low])
            run = nearest[low:high]
            if len(own):
                products[low:high, own] = np.inf
                run = products[low:high].min(axis=1)
            self._lower(self.to_others, begin + low, run.copy())

    def _lower(self, gaps: NDArray[np.float32], begin: int, nearest: NDArray[np.float32]) -> None:
        """Lower the gaps from row `begin` on to |x|^2 + (|p|^2 - 2xp), where that is lower."""
        rows = slice(begin, begin + len(nearest))
        nearest += self.norms[rows]
        np.maximum(nearest, 0.0, out=nearest)
        np.minimum(gaps[rows], nearest, out=gaps[rows])
