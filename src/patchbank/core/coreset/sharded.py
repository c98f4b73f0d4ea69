"""Rows of a selection in shards, each of which may be on another machine.

A shard does what takes a pass over its features, and proposes its rows of largest min-distance; the
best of all proposals are the candidates that one machine would have.  Their features come here once
and are remembered, and each block of centres goes to every shard.  Nothing else is exchanged, so
that a selection moves about as many rows as it needs, not as many as there are.

Shards begin at multiples of `feature_rows.TILE_ROWS` rows: then sums and products are made of the
same tiles, and all distances are those of one machine to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patchbank.core.coreset import feature_rows, gemm_rows, int8_rows
from patchbank.core.coreset.gemm_rows import GemmRows
from patchbank.core.coreset.greedy_state import Centre
from patchbank.core.coreset.int8_rows import SAMPLE_ROWS, Int8Rows
from patchbank.core.int8 import Quantization, QuantizedRows
from patchbank.errors import ParameterError
from patchbank.types import Array, Features, Indices


class Shards(Protocol):
    """`GemmRows` or `Int8Rows`, wherever they are."""

    @property
    def lengths(self) -> Sequence[int]:
        """Number of rows of each shard, in order."""
        ...

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of all shards at once, each with its own arguments.

        An argument that is the same object for all shards need be sent to each machine once only.
        A shard without arguments, an empty tuple, is called too; results are in order.
        """
        ...

    def apply(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function with the rows of each shard, which it may change until they `begin`."""
        ...


class LocalShards:
    """Shards in this process, one after the other: what others are measured against."""

    def __init__(self, rows: Sequence[GemmRows] | Sequence[Int8Rows]) -> None:
        self._rows = rows
        self.lengths = [len(shard) for shard in rows]

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of all shards."""
        return [
            getattr(shard, method)(*own) for shard, own in zip(self._rows, arguments, strict=True)
        ]

    def apply(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function with the rows of all shards."""
        return [function(shard, *arguments) for shard in self._rows]


class _ShardedRows:
    """Base of both kinds; see `GreedyRows`."""

    def __init__(
        self, shards: Shards, *, has_groups: bool = False, has_initial: bool = False
    ) -> None:
        """Take some shards for one.

        Args:
            shards: the rows.
            has_groups: whether they have groups, and keep distances to other groups.
            has_initial: whether they have distances before the first centre.

        Raises:
            ParameterError: a shard begins in the middle of a tile.
        """
        self._shards = shards
        self.has_groups, self.has_initial = has_groups, has_initial
        self._ends = np.cumsum(shards.lengths)
        self._begins = self._ends - np.asarray(shards.lengths)
        if np.any(self._begins % feature_rows.TILE_ROWS):
            raise ParameterError(
                "shards: expected each to begin at a multiple of "
                f"{feature_rows.TILE_ROWS} rows, got lengths "
                f"{list(shards.lengths)}"
            )
        self.d = int(self._of_all("width")[0])
        """Numbers of a row."""
        self._forget()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def min_distances(self) -> NDArray[Any]:
        """(n,) distance of each row to its nearest centre."""
        return np.concatenate(self._of_all("host_min_distances"))

    def keep_distances_to_other_groups(self, size: int) -> None:
        """Let each shard keep those of its rows."""
        self._of_all("keep_distances_to_other_groups", size)

    def distances_to_other_groups(self, size: int) -> NDArray[np.float32] | None:
        """(n,) distances that the shards have kept, brought together."""
        if not self.has_groups:
            return None
        parts = self._of_all("distances_to_other_groups", size)
        return None if parts[0] is None else np.concatenate(parts)

    def tile_sums(self) -> NDArray[np.float64]:
        """(t, d) sums of the rows of each tile."""
        return np.concatenate(self._of_all("tile_sums"))

    def nearest_to(self, point: NDArray[np.float32], sign: float) -> tuple[Indices, NDArray[Any]]:
        """Rows that may be nearest to a point; see `FeatureRows.nearest_to`."""
        found = self._of_all("nearest_to", point, sign)
        rows = [part + begin for (part, _), begin in zip(found, self._begins, strict=True)]
        return np.concatenate(rows), np.concatenate([distances for _, distances in found])

    def values(self, rows: Indices) -> Features:
        """The features of some rows.  -> (m, d)."""
        positions = self._positions_of(rows)
        return self._known[positions]

    def groups_of(self, rows: Indices) -> Indices | None:
        """The group of each of some rows; None without groups."""
        if not self.has_groups:
            return None
        positions = self._positions_of(rows)
        return self._known_groups[positions]

    def centre(self, row: int) -> Centre:
        """One row as the first centre."""
        number = np.array([row])
        groups = self.groups_of(number)
        return Centre(self.values(number)[0], None if groups is None else int(groups[0]))

    def say_all_are_of_other_groups(self) -> None:
        """Say that all centres so far are of no group of the rows."""
        self._of_all("say_all_are_of_other_groups")

    def largest_initial(self) -> tuple[int, float]:
        """The row of the largest distance before the first centre, the lowest on ties."""
        found = self._of_all("largest_initial")
        rows = [int(row + begin) for (row, _), begin in zip(found, self._begins, strict=True)]
        distances = [distance for _, distance in found]
        best = int(np.argmax(distances))
        return rows[best], distances[best]

    def lower_to_initial(self) -> None:
        """Lower the min-distances to the distances before the first centre."""
        self._of_all("lower_to_initial")

    def mark(self, rows: Indices) -> None:
        """Say that some rows are centres."""
        self._shards.call("mark", [(own,) for own, _ in self._split(rows)])

    def largest_min_distance(self) -> float:
        """The largest min-distance; 0 where all rows are centres."""
        return float(max(self._of_all("largest_min_distance")))

    def apply(self, function: Callable[..., Any], *arguments: Any) -> list[tuple[int, Any]]:
        """Call a function with the rows of each shard.  -> first row of each, and its result.

        It may leave min-distances of its own: the next thing to do is `begin`.
        """
        found = self._shards.apply(function, *arguments)
        return list(zip(self._begins.tolist(), found, strict=True))

    def _of_all(self, method: str, *arguments: Any) -> list[Any]:
        return self._shards.call(method, [arguments] * len(self._shards.lengths))

    def _split(self, rows: Indices) -> list[tuple[Indices, Indices]]:
        """Divide rows by shard: its own numbers of them, and their positions among them."""
        of_shard = np.searchsorted(self._ends, rows, side="right")
        positions = [np.flatnonzero(of_shard == number) for number in range(len(self._ends))]
        return [
            (rows[own] - begin, own) for own, begin in zip(positions, self._begins, strict=True)
        ]

    def _forget(self) -> None:
        self._places: dict[int, int] = {}
        self._known = np.empty((0, self.d), dtype=np.float32)
        self._known_norms = np.empty(0, dtype=np.float32)
        self._known_groups = np.empty(0, dtype=np.intp)

    def _positions_of(self, rows: Indices) -> Indices:
        """Positions of some rows among those that are known, after fetching the others."""
        new = np.array([row for row in rows.tolist() if row not in self._places], dtype=np.intp)
        if len(new):
            self._fetch(np.unique(new))
        return np.array([self._places[row] for row in rows.tolist()], dtype=np.intp)

    def _fetch(self, rows: Indices) -> None:
        parts = self._shards.call("described", [(own,) for own, _ in self._split(rows)])
        values, norms, groups = zip(*parts, strict=True)  # shards and rows ascend
        first = len(self._known)
        self._known = np.concatenate([self._known, *values])
        if norms[0] is not None:
            self._known_norms = np.concatenate([self._known_norms, *norms])
        if self.has_groups:
            self._known_groups = np.concatenate([self._known_groups, *groups])
        self._places |= {row: first + i for i, row in enumerate(rows.tolist())}


class ShardedGemmRows(_ShardedRows):
    """Shards on matrix products."""

    def begin(self, origin: Array, first: Centre | None) -> None:
        """See `GemmRows.begin`."""
        self._forget()  # what was fetched before has no norms
        self._of_all("begin", origin, first)

    def norms_of(self, rows: Indices) -> NDArray[np.float32]:
        """Squared distances of some rows to the origin.  -> (m,)."""
        positions = self._positions_of(rows)
        return self._known_norms[positions]

    def candidates(self) -> gemm_rows.Candidates:
        """The rows of largest min-distance."""
        parts = self._of_all("candidates")
        shifted = [part.shifted(begin) for part, begin in zip(parts, self._begins, strict=True)]
        return gemm_rows.Candidates.merged(shifted)

    def lower(self, values: Features, norms: Array, of_centres: Indices | None) -> None:
        """Lower every min-distance to the nearest of some centres."""
        self._of_all("lower", values, norms, of_centres)


class ShardedInt8Rows(_ShardedRows):
    """Shards on the native kernel."""

    def sample(self) -> Features:
        """Rows from which the quantization is chosen."""
        return self.values(np.arange(0, len(self), max(1, len(self) // SAMPLE_ROWS)))

    def begin(self, quantization: Quantization, first: Centre | None) -> None:
        """See `Int8Rows.begin`."""
        self._quantization = quantization
        self._of_all("begin", quantization, first)

    def quantized(self, rows: Indices) -> QuantizedRows:
        """Some rows in memory, with their codes."""
        return self._quantization.quantize(self.values(rows))

    def candidates(self, wanted: int) -> int8_rows.Candidates:
        """Find about so many rows of largest min-distance in all shards together."""
        each = -(-wanted // len(self._shards.lengths))
        parts = self._of_all("candidates", each)
        shifted = [part.shifted(begin) for part, begin in zip(parts, self._begins, strict=True)]
        return int8_rows.Candidates.merged(shifted)

    def lower_to_rows(self, rows: Indices) -> None:
        """Lower every min-distance to the nearest of some rows; each shard is sent the others'."""
        values, groups, arguments = self.values(rows), self.groups_of(rows), []
        for own, positions in self._split(rows):
            others = np.setdiff1d(np.arange(len(rows)), positions)
            of_both = None if groups is None else groups[np.append(positions, others)]
            arguments.append((own, values[others], of_both))
        self._shards.call("lower_to_both", arguments)

    def lower(self, centres: QuantizedRows, of_centres: Indices | None) -> None:
        """Lower every min-distance to the nearest of some centres."""
        self._of_all("lower_to_values", centres.values, of_centres)
