"""Block greedy selection on the native int8 kernel; see `patchbank.core.int8`.

Min-distances are in float64, so there is nothing that rounding could decide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core import int8
from patchbank.core.coreset.greedy_state import Beginning, ExistingCentres, GreedyState
from patchbank.core.coreset.int8_rows import MAX_CANDIDATES, MIN_CANDIDATES, Int8Rows
from patchbank.core.coreset.sharded import ShardedInt8Rows
from patchbank.core.int8 import Quantization
from patchbank.runtime.threads import usable_cores
from patchbank.types import Features, Indices

ROWS_A_CANDIDATE = 32  # for each core: one core selects among candidates, all cores update the rows
SHORT_BLOCK = 128  # centres: fewer are not worth a pass, so the next block has more candidates
SENT_CANDIDATES, SHORT_SENT_BLOCK = 512, 8  # of shards, whose candidates are sent


class Int8Greedy(GreedyState):
    """A selection on the CPU."""

    def __init__(self, rows: Int8Rows | ShardedInt8Rows, begin: Beginning) -> None:
        self.rows: Int8Rows | ShardedInt8Rows = rows
        self.centres: list[int] = []
        self.radii: list[float] = []
        self._quantization = Quantization.fit(rows.sample())
        first = None if begin.first is None else rows.centre(begin.first)
        rows.begin(self._quantization, first)
        if begin.existing is not None:
            self._lower_to_existing(begin.existing)
        if rows.has_initial:
            rows.lower_to_initial()
        self.radius = rows.largest_min_distance()
        if begin.first is not None:
            self.centres.append(begin.first)
            self.radii.append(self.radius)
            rows.mark(np.array([begin.first]))
        if isinstance(rows, ShardedInt8Rows):
            self._n_candidates, self._short_block = SENT_CANDIDATES, SHORT_SENT_BLOCK
            return
        wanted = len(rows) // (ROWS_A_CANDIDATE * usable_cores())
        self._n_candidates = min(max(wanted, MIN_CANDIDATES), MAX_CANDIDATES)
        self._short_block = SHORT_BLOCK

    def _select_block(self, limit: int, stop: float) -> tuple[Indices, NDArray[np.float64]]:
        found = self.rows.candidates(self._n_candidates)
        chosen, distances_before = int8.select_centres(
            self.rows.quantized(found.rows),
            found.min_distances,
            limit,
            outside=found.bound,
            stop=stop,
        )
        if len(chosen) < min(self._short_block, limit):
            self._n_candidates = min(2 * self._n_candidates, MAX_CANDIDATES)
        elif isinstance(self.rows, ShardedInt8Rows):
            self._n_candidates = SENT_CANDIDATES
        return found.rows[chosen], distances_before

    def _update(self, rows: Indices) -> None:
        self.rows.mark(rows)
        self.rows.lower_to_rows(rows)

    def add_existing(self, points: Features) -> None:
        """Lower all min-distances to further existing centres, of no group of the rows."""
        self._lower_to_existing(ExistingCentres(points))
        self.radius = self.rows.largest_min_distance()

    def _lower_to_existing(self, existing: ExistingCentres) -> None:
        points = self._quantization.quantize(np.require(existing.points, np.float32, "C"))
        groups = existing.groups if self.rows.has_groups else None
        self.rows.lower(points, groups)
        if groups is None:
            self.rows.say_all_are_of_other_groups()
