"""Features that are in shards elsewhere, used by a fit like an array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.coreset.greedy_state import ExistingCentres
from patchbank.core.coreset.result import Coreset
from patchbank.types import Features, Indices


class FeaturesElsewhere(ABC):
    """(n, d) float32, of which a fit fetches a few rows, and selects among all where they are."""

    ndim = 2

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        """Some rows by number, (m, d), in memory; of a slice what `RowsElsewhere` says."""
        if isinstance(rows, slice):
            return RowsElsewhere(self, np.arange(*rows.indices(len(self))))
        return self.fetched(np.asarray(rows, dtype=np.intp))

    @abstractmethod
    def fetched(self, rows: Indices) -> Features:
        """Some rows in memory, (m, d)."""

    @abstractmethod
    def columns(self, begin: int, end: int) -> FeaturesElsewhere:
        """Some columns of all rows, (n, end - begin)."""

    @abstractmethod
    def sums(self, origin: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], float]]:
        """`methods.memory_bank.columns.sums_of` each block of `ROWS_PER_COPY` rows, in order."""

    @abstractmethod
    def selected(
        self,
        n_keep: int,
        *,
        start: int | ExistingCentres | None,
        radius: float | None,
        groups: Indices | None,
        sizes: Collection[int],
        on_progress: Callable[[int], None] | None,
    ) -> Coreset:
        """The rows that `greedy_coreset` chooses."""

    @abstractmethod
    def composed(
        self,
        n_keep: int,
        *,
        start: int | None,
        groups: Indices | None,
        on_progress: Callable[[int], None] | None,
    ) -> Coreset:
        """The rows that `composable_coreset_of_shards` chooses."""


class RowsElsewhere:
    """Some rows, which are fetched when they are read."""

    def __init__(self, features: FeaturesElsewhere, rows: Indices) -> None:
        self._features, self._rows = features, rows
        self.shape = (len(rows), features.shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> Any:
        """A row, (d,), in memory; of a slice what this says of its rows."""
        if isinstance(rows, slice):
            return RowsElsewhere(self._features, self._rows[rows])
        return self._features[self._rows[rows : rows + 1]][0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Features:
        """All of them, in memory."""
        return self._features.fetched(self._rows)
