"""The greedy selection for CPUs that multiply whole numbers fast; see `int8.py`.

As in `greedy.py`, candidates are picked among themselves, and then all rows are brought up to date
in one pass.  Gaps are in double precision here, so there is nothing that rounding could decide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from patchbank.core.int8 import search as int8
from patchbank.core.int8.search import Groups, PackedRows, Quantization, QuantizedRows
from patchbank.runtime.threads import usable_cores
from patchbank.types import Features, Indices

FEWEST, MOST = 1024, 32_768  # candidates of a block
ROWS_A_CANDIDATE = 32  # for each core: their picks are made by one, and the passes by all
SHORT = 128  # picks of a block: fewer are not worth their pass
SAMPLE = 8192  # gaps from which the size of a candidate's is told
TAKEN = -1.0  # gap of a picked row: below every distance, so it is never picked again


class Int8Greedy:
    """The state of one selection: gaps of all rows, and the picks so far."""

    def __init__(
        self,
        features: Features,
        first: int,
        initial: NDArray[np.float32] | None,
        groups: Indices | None,
    ) -> None:
        self.coded = QuantizedRows.of(features, Quantization.of(features))
        self.gaps = int8.distances_to(features, features[first] + 0)  # to the nearest pick
        self.groups = None if groups is None else groups.astype(np.int32)
        self.to_others = self.gaps[:0]
        if self.groups is not None:
            self.to_others = np.where(self.groups == self.groups[first], np.inf, self.gaps)
        if initial is not None:
            np.minimum(self.gaps, np.square(initial, dtype=np.float64), out=self.gaps)
        self.rows = [first]
        self.radii = [float(self.gaps.max())]
        self.gaps[first] = TAKEN
        wanted = len(features) // (ROWS_A_CANDIDATE * usable_cores())
        self.n_candidates = min(max(wanted, FEWEST), MOST)

    def pick_until(self, size: int, stop_gap: float, on_progress: Callable[[int], None]) -> None:
        """Pick until there are `size` rows, or no gap is larger than `stop_gap`.

        `rows`, `radii` and `to_others` then hold what was found; distances are squared.
        """
        while len(self.rows) < size and self.radii[-1] > stop_gap:
            picks = self._pick_block(size - len(self.rows), stop_gap)
            self._fold(picks)
            self.radii.append(max(float(self.gaps.max()), 0.0))
            if len(picks) < SHORT and len(self.rows) < size:
                self.n_candidates = min(2 * self.n_candidates, MOST)
            on_progress(len(picks))

    def _pick_block(self, most: int, stop_gap: float) -> Indices:
        """Make every pick that the candidates alone decide, and note the radius after each."""
        rows, outside = self._candidates()
        places, before = int8.pick(
            self.coded.some(rows),
            self.gaps[rows],
            most,
            outside=outside,
            stop=stop_gap,
        )
        self.rows += rows[places].tolist()
        self.radii += before[1:].tolist()  # the largest gap after each pick but the last
        return rows[places]

    def _candidates(self) -> tuple[Indices, float]:
        """Choose about `n_candidates` rows of largest gap, ascending, and a bound of the others.

        Rows outside have smaller gaps, or the same as the bound and higher numbers.
        """
        n, share = len(self.gaps), self.n_candidates / len(self.gaps)
        if share >= 1:
            return np.arange(n), TAKEN
        sample = self.gaps[:: max(1, n // SAMPLE)]
        kth = int(len(sample) * (1 - share))
        bound = float(np.partition(sample, kth)[kth])
        rows = np.flatnonzero(self.gaps >= bound)
        if bound < 0:  # few are left
            return np.flatnonzero(self.gaps >= 0), TAKEN
        if len(rows) > 2 * self.n_candidates:  # the sample was not like the rest
            bound = float(np.partition(self.gaps[rows], -self.n_candidates)[-self.n_candidates])
            rows = rows[self.gaps[rows] >= bound]
        if len(rows) > 2 * self.n_candidates:  # many equal ones
            bound = float(self.gaps.max())
            rows = np.flatnonzero(self.gaps == bound)[: self.n_candidates]
        return rows, bound

    def _fold(self, picks: Indices) -> None:
        """Lower every gap to the nearest of `picks`."""
        self.gaps[picks] = TAKEN
        groups = None
        if self.groups is not None:
            groups = Groups(self.groups, self.groups[picks], self.to_others)
        int8.lower(self.coded, PackedRows(self.coded.some(picks)), self.gaps, groups=groups)
