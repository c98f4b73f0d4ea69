"""Nearest candidates, greedy centres and distances to a point, on the native kernel.

All distances are squared, in float64, and exact but for float64 rounding.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.int8 import binding
from patchbank.core.int8.binding import NEVER_CHECK, SPARE_ROWS, address
from patchbank.core.int8.quantization import PackedRows, QuantizedRows
from patchbank.runtime.scratch import drop_pages
from patchbank.runtime.threads import parallel_ranges, usable_cores
from patchbank.types import Features, Indices


@dataclass(frozen=True, slots=True)
class OtherGroups:
    """Groups of queries and candidates, for the nearest candidate of another group."""

    of_queries: NDArray[np.int32]
    """(n,)"""
    of_candidates: NDArray[np.int32]
    """(m,)"""
    min_distances: NDArray[np.float64]
    """(n,) squared distance to the nearest candidate of another group; updated in place."""


def update_nearest(
    queries: QuantizedRows,
    candidates: PackedRows,
    min_distances: NDArray[np.float64],
    *,
    nearest: NDArray[np.int64] | None = None,
    exclude: NDArray[np.bool_] | None = None,
    groups: OtherGroups | None = None,
) -> None:
    """Lower min-distances to those of nearer candidates.

    Args:
        queries: (n, d).
        candidates: (m, d), of the same quantization.
        min_distances: (n,) or (n, k) smallest squared distances known so far, ascending; negative
            for queries that need no update.  Updated in place.
        nearest: (n, k) indices of the candidates at these distances, updated with them; on ties
            the candidate of lower index stays.
        exclude: (m,) True for candidates to ignore.
        groups: where the nearest candidate of another group is wanted too; only for k = 1.
    """
    task = binding.NearestTask(
        queries=queries.struct(),
        n_candidates=len(candidates),
        candidate_values=address(candidates.values),
        panels=address(candidates.panels),
        offsets=address(candidates.offsets),
        exclude=address(exclude),
        k=1 if min_distances.ndim == 1 else min_distances.shape[1],
        min_distances=address(min_distances),
        nearest=address(nearest),
        query_groups=address(groups.of_queries if groups else None),
        candidate_groups=address(groups.of_candidates if groups else None),
        min_distances_other=address(groups.min_distances if groups else None),
    )

    def part(begin: int, end: int) -> None:
        thresholds = np.empty(end - begin + SPARE_ROWS, dtype=np.int32)
        binding.library().int8_update_nearest(ctypes.byref(task), begin, end, address(thresholds))
        queries.drop_pages(begin, end)

    size = min(binding.PART_ROWS, max(SPARE_ROWS, -(-len(queries) // (2 * usable_cores()))))
    parallel_ranges(part, len(queries), size)


def select_centres(
    rows: QuantizedRows,
    min_distances: NDArray[np.float64],
    n_max: int,
    *,
    outside: float,
    stop: float,
) -> tuple[Indices, NDArray[np.float64]]:
    """Select the row of largest min-distance again and again: greedy k-centre among `rows`.

    Single-threaded, as each step depends on the one before.

    Args:
        rows: (m, d), in the order in which ties are broken.
        min_distances: (m,) squared distance of each row to its nearest centre so far.  Updated in
            place; that of a selected row becomes -1.
        n_max: the most centres to select.
        outside: upper bound of the min-distances of all rows that are not among `rows`: no row
            with a smaller one is selected, as one outside may be farther.
        stop: no row is selected unless its min-distance is larger than this.

    Returns:
        Indices of the centres among `rows`, and the min-distance of each before its selection.
    """
    packed = PackedRows(rows)
    thresholds = np.empty(len(packed.offsets), dtype=np.int32)
    thresholds[len(rows) :] = NEVER_CHECK
    centres = np.empty(n_max, dtype=np.int64)
    distances_before = np.empty(n_max, dtype=np.float64)
    task = binding.CentreTask(
        rows=rows.struct(),
        n=len(rows),
        panels=address(packed.panels),
        thresholds=address(thresholds),
        min_distances=address(min_distances),
    )
    count = binding.library().int8_select_centres(
        ctypes.byref(task),
        n_max,
        outside,
        stop,
        address(centres),
        address(distances_before),
    )
    return centres[:count].astype(np.intp), distances_before[:count]


def squared_distances_to(rows: Features, point: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared distance of every row to one point.  (n, d), (d,) -> (n,)."""
    squared = np.empty(len(rows), dtype=np.float64)

    def part(begin: int, end: int) -> None:
        some = rows[begin:end]
        binding.library().int8_squared_distances(
            binding.level(), address(some), *some.shape, address(point), address(squared[begin:])
        )
        drop_pages(some)

    parallel_ranges(part, len(rows), binding.PART_ROWS)
    return squared
