"""Composable coresets: each shard selects for itself, then one selection among all their rows.

    shard 1   shard 2   ...          each chooses m rows of its own, without the others
        |         |      |
         union of S m rows          greedy k-centre chooses m of them
                 |
    one pass over all shards        measures the covering radius, and distances to other groups

The result is not that of `greedy_coreset_of_shards`, and depends on the shards.  Its covering
radius is at most four times that of the best set of the same size, where the greedy selection
guarantees twice: a row is within 2 OPT of a row of the union, and that within 2 OPT of a chosen one
(Malkomes et al., "Fast distributed k-center clustering with outliers on massive data", 2015).  It
needs one exchange with the shards instead of four for each block of centres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from patchbank.core.array_api import blocks, to_numpy
from patchbank.core.coreset.gemm_rows import GemmRows
from patchbank.core.coreset.greedy_state import CHOSEN
from patchbank.core.coreset.int8_rows import Int8Rows
from patchbank.core.coreset.k_centre_greedy import (
    ShardedRows,
    begun,
    check_numbers,
    coreset_of,
    extreme_from_mean,
    greedy_coreset,
)
from patchbank.core.coreset.result import Coreset
from patchbank.runtime.devices import HOST
from patchbank.types import Features, Indices

CENTRES_A_PASS = 4096


@dataclass(frozen=True, slots=True)
class ComposedCoreset:
    """Rows that were selected twice, and a limit for all selections of as many."""

    coreset: Coreset
    """Rows through all shards.  Their covering radii are measured after each `CENTRES_A_PASS` rows,
    and after the last one; for rows in between the one before is given, a bound.
    """
    least_radius: float
    """No set of so many rows has a smaller covering radius: half of the largest one that a greedy
    selection on the way has left (Gonzalez, 1985)."""


@dataclass(frozen=True, slots=True)
class OwnCoreset:
    """Rows that a shard has chosen among its own."""

    rows: Indices
    """(m,) by the numbers of the shard."""
    values: Features
    """(m, d)"""
    radius: float
    """Covering radius of the rows of the shard."""


def composable_coreset_of_shards(
    rows: ShardedRows,
    n_keep: int,
    *,
    start: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ComposedCoreset:
    """Choose rows so that every row is near a chosen one, by selections of the shards.

    Args:
        rows: the shards; where they have groups, they keep the distances to others for `n_keep`.
        n_keep: number of rows to choose.
        start: row of the first centre; None for the row nearest to the mean.
        on_progress: called with the number of centres chosen since the last call.

    Raises:
        ShapeError: features are not finite.
        ParameterError: `n_keep` or `start` is out of range.
    """
    check_numbers(len(rows), n_keep, start, None)
    nearest = extreme_from_mean(rows, 1.0)  # checks that all is finite, whatever the start is
    first = nearest if start is None else start
    parts = rows.apply(own_coreset, n_keep)
    union = np.concatenate([[first], *(part.rows + begin for begin, part in parts)])
    values = np.concatenate([rows.values(union[:1]), *(part.values for _, part in parts)])
    union, positions = np.unique(union, return_index=True)
    again = greedy_coreset(values[positions], n_keep, start=int(np.searchsorted(union, first)))
    assert again.radii is not None
    progress = on_progress or (lambda centres: None)
    state = begun(rows, n_keep, first, HOST)
    progress(1)
    others = union[again.centres[1:]]
    for part in blocks(len(others), CENTRES_A_PASS):
        state.take(others[part])
        progress(part.stop - part.start)
    rows.keep_distances_to_other_groups(n_keep)
    largest = max(float(again.radii[-1]), *(part.radius for _, part in parts))
    return ComposedCoreset(coreset_of(state, None), largest / 2)


def own_coreset(rows: GemmRows | Int8Rows, n_keep: int) -> OwnCoreset:
    """The greedy selection of one shard; all of its rows where it has no more than are asked for.

    -> rows with their features.  The min-distances of the shard are then those of this selection.
    """
    state = begun(rows, n := min(n_keep, len(rows)), None, HOST)
    state.select_until(n, CHOSEN, lambda centres: None)
    chosen = np.array(state.centres, dtype=np.intp)
    return OwnCoreset(chosen, to_numpy(rows.values(chosen)), float(np.sqrt(state.radius)))
