"""Input, book-keeping and block loop that both implementations of the greedy selection share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Array, Features, Indices

CHOSEN = -1.0  # min-distance of a centre: below every distance, so that it is not chosen again


@dataclass(frozen=True, slots=True)
class InitialDistances:
    """Distances before the first centre, which is the row of the largest one.

    They stay in the running minimum: the approximate selection of the official code.
    """

    distances: NDArray[np.float32]
    """(n,)"""


@dataclass(frozen=True, slots=True)
class ExistingCentres:
    """Centres that were chosen before, for instance the bank of a fitted detector."""

    points: Features
    """(m0, d), in the space of the features; they need not be rows of them."""
    groups: Indices | None = None
    """(m0,) group of each point; None where they belong to no group of the features."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Centres that are known before one is chosen by its distance."""

    first: int | None
    """Row of the first centre; None where there are existing ones."""
    existing: ExistingCentres | None = None


@dataclass(frozen=True, slots=True)
class Centre:
    """A row as a centre."""

    values: Array
    """(d,)"""
    group: int | None
    """Group of the row; None without groups."""


class GreedyRows(Protocol):
    """The rows of a selection with their min-distances: on one machine, or in shards."""

    @property
    def min_distances(self) -> Array:
        """(n,) distance of each row to its nearest centre; CHOSEN for the chosen rows."""
        ...

    def largest_min_distance(self) -> float:
        """The largest min-distance of all rows; 0 where all rows are centres."""
        ...

    def keep_distances_to_other_groups(self, size: int) -> None:
        """Keep, after so many centres, the distance of each row to those of another group."""
        ...


class GreedyState(ABC):
    """One selection in progress.  All distances are squared.

    An implementation sets the attributes for the first centre, or for the existing ones, and
    provides `_select_block` and `_update`.  What takes a pass over all rows is done by `rows`.
    """

    rows: GreedyRows

    centres: list[int]
    """Rows chosen so far, in order."""
    radii: list[float]
    """Covering radius after each of them: the largest min-distance of any row."""
    radius: float
    """The current covering radius; without chosen rows, that of the existing centres."""

    def select_until(self, size: int, stop: float, on_progress: Callable[[int], None]) -> None:
        """Choose centres until there are `size`, or the covering radius is at most `stop`."""
        while len(self.centres) < size and self.radius > stop:
            rows, distances_before = self._select_block(size - len(self.centres), stop)
            self._update(rows)
            self.centres += rows.tolist()
            # The row that is chosen next is the farthest one, so its min-distance is the covering
            # radius of the centres before it.
            self.radii += [max(float(distance), 0.0) for distance in distances_before[1:]]
            self.radius = self.rows.largest_min_distance()
            self.radii.append(self.radius)
            on_progress(len(rows))

    def take(self, rows: Indices) -> None:
        """Make rows centres that were chosen elsewhere.

        The covering radius is measured after all of them; until then that of before is a bound.
        """
        self._update(rows)
        self.centres += rows.tolist()
        before, self.radius = self.radius, self.rows.largest_min_distance()
        self.radii += [before] * (len(rows) - 1) + [self.radius]

    @abstractmethod
    def add_existing(self, points: Features) -> None:
        """Lower all min-distances to further existing centres, of no group of the rows.

        No row may have been chosen yet.

        Args:
            points: (m, d).
        """

    @abstractmethod
    def _select_block(
        self, limit: int, stop: float
    ) -> tuple[Indices, NDArray[np.float32] | NDArray[np.float64]]:
        """Choose at least one and at most `limit` centres without a pass over all rows.

        -> their rows, in order, and the min-distance of each before it was chosen.
        """

    @abstractmethod
    def _update(self, rows: Indices) -> None:
        """Bring all min-distances up to date with the centres `rows`: one pass."""
