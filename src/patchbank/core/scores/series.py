"""Series of photographs: whether neighbours in an order make each other's left-out scores lower.

Photographs of a film, of one part from several sides, of one board, of one shift are alike.  Left
out one at a time, each finds its like among the others, and scores lower than a new photograph of
another series would.  So left-out scores are compared, not likeness as such:

1.  For some patches of each photograph, the distance to the nearest patch of every other photograph
    is computed once (`LeftOutTable`).  The left-out score for *any* grouping follows from it.
2.  Photographs are left out in contiguous blocks of 2, 3, 4, 6, 8, ... neighbours, and in the same
    blocks of shuffled photographs.  What contiguous blocks score more than shuffled ones is due to
    the order alone: bank and blocks have the same sizes.  Without a series the order is one of
    the shuffled ones (a permutation test: Fisher, "The Design of Experiments", 1935, chapter 3).
3.  If the order matters, ends of blocks are moved to where neighbours are least alike, and the
    smallest blocks are chosen beyond which the scores no longer grow.

That leaving out blocks mends dependence between neighbours is Burman, Chow and Nolan, "A
cross-validatory method for dependent data", Biometrika 81 (1994).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices

Float32 = NDArray[np.float32]

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Lengths of blocks that are tried."""
FEWEST_BLOCKS = 6
"""Blocks below which the threshold would rest on too few."""
FEWEST_PHOTOGRAPHS = 20
"""Photographs below which the order of a few decides."""
SHUFFLES = 40
"""Shuffled orders that contiguous blocks are compared with."""
DEVIATIONS = 5.5
"""Standard deviations of shuffled orders beyond which the order matters."""
LEAST_EFFECT = 0.25
"""Rise of the logarithm of the scores, as a share of their spread, that is worth longer blocks."""
NO_LONGER_GROWS = 0.93
"""Share of the largest rise at which the smallest blocks are chosen."""
TOP_SHARE = 0.25
"""Share of the patches of a photograph, those farthest from all others, that are its score."""
REACH = 3
"""Photographs on either side of an end of a block whose likeness is compared."""
REFERENCES = 32
"""Photographs that say how alike photographs are that are no neighbours."""
QUERIES_AT_ONCE = 256
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class LeftOutTable:
    """Distances of some patches of n photographs to the nearest other photographs."""

    photographs: NDArray[np.int32]
    """(n, q, t) the photographs nearest to each patch, nearest first, without the own group."""
    distances: Float32
    """(n, q, t) distance of each patch to the nearest patch of those."""

    @classmethod
    def of(cls, patches: Float32, n_queries: int, groups: Indices) -> LeftOutTable:
        """Compute it from (n, s, d) patches of each photograph.

        Args:
            patches: s patches of each of n photographs.
            n_queries: patches of each photograph whose distances are computed.
            groups: (n,) photographs of equal number never count for each other.

        Cost: 2 n^2 q s d operations.
        """
        n, s, d = patches.shape
        queries = np.linspace(0, s - 1, n_queries).astype(np.intp)
        kept = min(n - 1, 2 * max(LENGTHS))
        norms = np.einsum("nsd,nsd->ns", patches, patches)
        columns = np.concatenate([patches, norms[..., None]], axis=2)  # product adds the norms
        columns = np.ascontiguousarray(columns.transpose(2, 1, 0).reshape(d + 1, s * n))
        photographs = np.empty((n, n_queries, kept), dtype=np.int32)
        distances = np.empty((n, n_queries, kept), dtype=np.float32)
        step = max(1, QUERIES_AT_ONCE // n_queries)
        for begin in range(0, n, step):
            some = slice(begin, min(begin + step, n))
            rows = np.ones(((some.stop - begin) * n_queries, d + 1), dtype=np.float32)
            rows[:, :d] = -2 * patches[some][:, queries].reshape(-1, d)
            squared = (rows @ columns).reshape(-1, s, n).min(axis=1)
            squared += norms[some][:, queries].reshape(-1, 1)
            squared = squared.reshape(-1, n_queries, n)
            is_own = groups[some, None] == groups
            squared[np.broadcast_to(is_own[:, None], squared.shape)] = np.inf
            nearest = np.argpartition(squared, kept - 1, axis=2)[..., :kept]
            found = np.take_along_axis(squared, nearest, axis=2)
            order = np.argsort(found, axis=2, kind="stable")
            photographs[some] = np.take_along_axis(nearest, order, axis=2)
            distances[some] = np.sqrt(np.take_along_axis(found, order, axis=2).clip(0))
        is_known = np.isfinite(distances)
        np.copyto(distances, distances.max(where=is_known, initial=0), where=~is_known)
        return cls(photographs, distances)

    def log_scores(self, groups: Indices) -> NDArray[np.float64]:
        """Logarithm of the score of each photograph without its group.  (n,) -> (n,).

        A group of all the nearest photographs that the table has leaves the farthest of them.
        """
        needed = int(np.bincount(groups).max())  # one of so many is of another group
        nearest = self.photographs[..., :needed]
        is_other = groups.astype(np.int32)[nearest] != groups[:, None, None]
        is_other[..., -1] = True
        first = is_other.argmax(axis=2)[..., None]
        found = np.take_along_axis(self.distances, first, axis=2)[..., 0]  # (n, q)
        n_top = max(1, round(found.shape[1] * TOP_SHARE))
        top = np.partition(found, -n_top, axis=1)[:, -n_top:]
        return np.asarray(np.log(top.mean(axis=1, dtype=np.float64) + TINY))


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of photographs that follow each other, which belong together."""

    groups: Indices
    """(n,) number of the block of each photograph, ascending."""
    rise: float
    """Rise of the scores in these blocks above those in the same blocks of shuffled photographs:
    0.5 for half as much again."""
    effect: float
    """The rise as a share of the spread of scores."""

    @property
    def sizes(self) -> Indices:
        """Photographs of each block."""
        return np.bincount(self.groups)


def find_blocks(
    patches: Float32, table: LeftOutTable, members: Indices, rng: np.random.Generator
) -> Blocks | None:
    """Find the blocks in which photographs come, in the order of the photographs; None without.

    Args:
        patches: (n, s, d) of all photographs in their order.
        table: of the photographs whose scores are compared.
        members: (m,) numbers of these, ascending, in whole stretches.
        rng: shuffles.
    """
    m = len(members)
    lengths = [length for length in LENGTHS if m >= length * FEWEST_BLOCKS]
    if len(patches) < FEWEST_PHOTOGRAPHS or not lengths:
        return None
    shuffles = [rng.permutation(m) for _ in range(SHUFFLES)]
    equal = [_effect(table, _equal_blocks(m, length), shuffles) for length in lengths]
    if max(found.deviations for found in equal) < DEVIATIONS:
        return None
    costs = _cut_costs(patches)
    blocks = [_blocks(costs, length) for length in lengths]
    moved = [_effect(table, _numbered(one[members]), shuffles) for one in blocks]
    largest = max(found.shift for found in moved)
    if largest <= 0:  # blocks whose ends were moved score no higher, so it was no series
        return None
    best = next(i for i, one in enumerate(moved) if one.shift >= NO_LONGER_GROWS * largest)
    effect = moved[best].shift / moved[best].spread
    if effect < LEAST_EFFECT:
        return None
    return Blocks(blocks[best], float(np.expm1(moved[best].shift)), effect)


@dataclass(frozen=True, slots=True)
class _Effect:
    """Difference of the scores in contiguous blocks from those in shuffled ones."""

    shift: float
    """Difference of the mean logarithms of scores."""
    deviations: float
    """The same in standard deviations of shuffled orders."""
    spread: float
    """Spread of the logarithms of scores between photographs."""


def _effect(table: LeftOutTable, groups: Indices, shuffles: list[Indices]) -> _Effect:
    contiguous = table.log_scores(groups)
    shuffled = np.array([table.log_scores(groups[order]) for order in shuffles])
    middle = float(np.median(shuffled))
    spread = 1.4826 * float(np.median(np.abs(shuffled - middle)))
    # A threshold follows from high scores.  Low ones, those of a few twins, say little about it.
    lowest = middle - spread
    means = shuffled.clip(lowest).mean(axis=1)
    shift = float(contiguous.clip(lowest).mean() - means.mean())
    return _Effect(shift, shift / max(float(means.std()), TINY), max(spread, TINY))


def _equal_blocks(n: int, length: int) -> Indices:
    """Number n photographs in blocks of nearly equal length.

    >>> _equal_blocks(7, 3).tolist()
    [0, 0, 0, 0, 1, 1, 1]
    """
    return np.arange(n) * max(1, round(n / length)) // n


def _numbered(groups: Indices) -> Indices:
    return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.intp)


def _cut_costs(patches: Float32) -> NDArray[np.float64]:
    """Likeness of the photographs on both sides of each border.  (n, s, d) -> (n - 1,).

    The number is standardised over all borders: below 0, a block had better end there.
    """
    n = len(patches)
    references = np.unique(np.linspace(0, n - 1, REFERENCES).astype(np.intp))
    far = np.stack([_log_distances(patches, patches[None, i]) for i in references], axis=1)
    middle = np.median(far, axis=1)
    spread = 1.4826 * np.median(np.abs(far - middle[:, None]), axis=1) + TINY
    costs, counts = np.zeros(n - 1), np.zeros(n - 1)
    for reach in range(1, min(2 * REACH, n)):
        one, other = patches[:-reach], patches[reach:]
        there = (middle[:-reach] - _log_distances(one, other)) / spread[:-reach]
        back = (middle[reach:] - _log_distances(other, one)) / spread[reach:]
        likeness = (there + back) / 2  # of photographs i and i + reach
        for border in range(max(0, reach - REACH), min(reach, REACH)):
            # The border after i + border lies between them, at most REACH away from both.
            costs[border : border + len(likeness)] += likeness
            counts[border : border + len(likeness)] += 1
    costs /= np.maximum(counts, 1)
    return np.asarray((costs - costs.mean()) / max(float(costs.std()), TINY))


def _log_distances(patches: Float32, others: Float32) -> NDArray[np.float64]:
    """Mean logarithm of the distance of each patch to the nearest one of another photograph.

    (n, s, d), (n or 1, s, d) -> (n,).
    """
    squared = np.einsum("nsd,nsd->ns", others, others)[:, None] - 2 * (
        patches @ others.swapaxes(1, 2)
    )
    nearest = squared.min(axis=2) + np.einsum("nsd,nsd->ns", patches, patches)
    return np.asarray(np.log(nearest.clip(0) + TINY).mean(axis=1, dtype=np.float64) / 2)


def _blocks(costs: NDArray[np.float64], length: int) -> Indices:
    """Blocks of about a length, from half to twice of it, that end at cheap borders.  -> (n,).

    The sum of the costs of the borders, and of the squared deviations of lengths from `length` as
    shares of it, is the smallest possible one (dynamic programming).

    >>> _blocks(np.array([1.0, 1, -2, 1, 1, -2, 1]), 3).tolist()
    [0, 0, 0, 1, 1, 1, 2, 2]
    """
    n = len(costs) + 1
    lengths = np.arange(max(1, length // 2), 2 * length + 1)
    deviations = np.square(lengths / length - 1)
    at_end = np.append(costs, 0.0)
    best, last = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.intp)
    best[0] = 0.0
    for end in range(1, n + 1):
        possible = lengths[lengths <= end]
        totals = best[end - possible] + deviations[: len(possible)]
        if len(possible):
            last[end] = possible[totals.argmin()]
            best[end] = totals.min() + at_end[end - 1]
    if not np.isfinite(best[n]):
        return _equal_blocks(n, length)
    ends = [n]
    while ends[-1]:
        ends.append(ends[-1] - int(last[ends[-1]]))
    sizes = [high - low for low, high in pairwise(reversed(ends))]
    return np.repeat(np.arange(len(sizes)), sizes)
