"""Features of a fit on a cluster: in blocks where they were made, selected in shards there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from patchbank.cluster.blocks import (
    MOST_RETRIES,
    Block,
    Shard,
    on_node,
    rows_of,
    shards_of,
    with_columns,
)
from patchbank.cluster.checkpoint import keep_selection, kept_selection
from patchbank.cluster.selection import compose_in_shards, select_in_shards
from patchbank.core.coreset import Coreset, ExistingCentres
from patchbank.core.coreset.elsewhere import FeaturesElsewhere
from patchbank.methods.growing_array import ROWS_PER_COPY
from patchbank.methods.memory_bank.columns import sums_of
from patchbank.runtime.logs import LOGGER
from patchbank.types import Features, Indices


@dataclass(frozen=True, slots=True)
class KeptSelections:
    """Selections in files of a checkpoint."""

    folder: Path
    blocks: Sequence[str]
    """Digest of each block of features."""

    def once(self, facts: Sequence[Any], select: Callable[[], Coreset]) -> Coreset:
        """A selection, which is made if it is not there.

        Args:
            facts: by which it differs from others of these features; arrays stand for their values.
            select: makes it.
        """
        digest = hashlib.sha256(repr(self.blocks).encode())
        for fact in facts:
            digest.update(fact.tobytes() if isinstance(fact, np.ndarray) else repr(fact).encode())
            digest.update(b"\n")
        file = self.folder / f"{digest.hexdigest()[:32]}.selection"
        found = kept_selection(file)
        if found is None:
            keep_selection(file, found := select())
        else:
            LOGGER.info("a selection of %d rows is from the checkpoint", len(found.centres))
        return found


class FeaturesOnCluster(FeaturesElsewhere):
    """(n, d) in blocks, or some columns of them."""

    def __init__(
        self,
        blocks: Sequence[Block],
        shards: Sequence[Shard],
        columns: tuple[int, int],
        actors: list[Any],
        kept: KeptSelections | None = None,
    ) -> None:
        """Take columns, the first and their number, of blocks that make these shards.

        The actors of the shards go on from one selection to the next.  What is kept is not selected
        again.
        """
        self._first, width = columns
        super().__init__((sum(block.n_rows for block in blocks), width))
        self._blocks, self._shards, self._actors = blocks, shards, actors
        self._kept = kept

    @classmethod
    def of(
        cls,
        blocks: Sequence[Block],
        width: int,
        actors: list[Any],
        kept: KeptSelections | None = None,
    ) -> FeaturesOnCluster:
        """Features of whole blocks, each with a row; `actors` receives those that hold shards."""
        shards = shards_of(blocks, width)
        for number, shard in enumerate(shards):
            LOGGER.info("shard %d: %d rows on node %s", number, shard.n_rows, shard.node[:8])
        return cls(blocks, shards, (0, width), actors, kept)

    def fetched(self, rows: Indices) -> Features:
        """Some rows in memory, (m, d)."""
        return rows_of(self._blocks, rows, self._first, self.shape[1])

    def columns(self, begin: int, end: int) -> FeaturesOnCluster:
        """Some columns of all rows, (n, end - begin)."""
        first, width = self._first + begin, end - begin
        shards = with_columns(self._shards, first, width)
        return FeaturesOnCluster(self._blocks, shards, (first, width), self._actors, self._kept)

    def sums(self, origin: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], float]]:
        """Sums of each `ROWS_PER_COPY` rows, in order; see `FeaturesElsewhere`."""
        work = [
            SUMS.options(scheduling_strategy=on_node(shard.node)).remote(shard, origin)
            for shard in self._shards
        ]
        return [sums for of_shard in ray.get(work) for sums in of_shard]

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

        def select() -> Coreset:
            return select_in_shards(
                self._shards,
                n_keep,
                start=start,
                radius=radius,
                groups=self._by_shard(groups),
                sizes=sizes,
                on_progress=on_progress,
                on_replaced=self._say_replaced,
                actors=self._actors,
            )

        if isinstance(start, ExistingCentres):
            return select()
        return self._once(("greedy", n_keep, start, radius, groups, sorted(sizes)), select)

    def composed(
        self,
        n_keep: int,
        *,
        start: int | None,
        groups: Indices | None,
        on_progress: Callable[[int], None] | None,
    ) -> Coreset:
        """The rows that `composable_coreset_of_shards` chooses; the log has their radius."""

        def select() -> Coreset:
            LOGGER.info("each of %d shards selects %d rows for itself", len(self._shards), n_keep)
            found = compose_in_shards(
                self._shards,
                n_keep,
                start=start,
                groups=self._by_shard(groups),
                on_progress=on_progress,
                on_replaced=self._say_replaced,
                actors=self._actors,
            )
            assert found.coreset.radii is not None
            LOGGER.info(
                "composable coresets: covering radius %.4g; no %d rows have less than %.4g",
                found.coreset.radii[-1],
                n_keep,
                found.least_radius,
            )
            return found.coreset

        lengths = [shard.n_rows for shard in self._shards]
        return self._once(("composable", n_keep, start, groups, lengths), select)

    def _once(self, facts: Sequence[Any], select: Callable[[], Coreset]) -> Coreset:
        """The selection of these columns, or the one that is kept."""
        columns = self._first, self.shape[1]
        return select() if self._kept is None else self._kept.once([*columns, *facts], select)

    def _by_shard(self, groups: Indices | None) -> list[Indices] | None:
        """Groups of all rows, (n,), for each shard."""
        if groups is None:
            return None
        return np.split(groups, np.cumsum([shard.n_rows for shard in self._shards])[:-1])

    def _say_replaced(self, number: int) -> None:
        node = self._shards[number].node[:8]
        LOGGER.warning("shard %d: its process on node %s died, and is replaced", number, node)


def _sums(shard: Shard, origin: NDArray[np.float64]) -> list[tuple[Any, float]]:
    rows = shard.gathered()
    return [
        sums_of(rows[begin : begin + ROWS_PER_COPY], origin)
        for begin in range(0, len(rows), ROWS_PER_COPY)
    ]


SUMS: Any = ray.remote(num_cpus=0, max_retries=MOST_RETRIES)(_sums)
