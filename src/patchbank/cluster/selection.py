"""Greedy selection of rows in shards on several machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from patchbank.cluster.connection import LOCAL, connected
from patchbank.core.coreset import (
    ComposedCoreset,
    Coreset,
    ExistingCentres,
    ShardedRows,
    composable_coreset_of_shards,
    greedy_coreset_of_shards,
    with_distances_to_other_groups,
)
from patchbank.core.coreset.sharded import ShardedGemmRows, ShardedInt8Rows
from patchbank.errors import ShapeError
from patchbank.types import Indices


def select_in_shards(
    features: Sequence[Any],
    n_keep: int,
    *,
    start: int | ExistingCentres | None = None,
    radius: float | None = None,
    groups: Sequence[Indices] | None = None,
    sizes: Collection[int] = (),
    cluster: str = LOCAL,
    on_progress: Callable[[int], None] | None = None,
    on_replaced: Callable[[int], None] | None = None,
    actors: list[Any] | None = None,
) -> Coreset:
    """Choose rows as `core.coreset.greedy_coreset` does, where they are in shards.

    Each shard is held by a process of its own, on some machine of the cluster.  The rows that are
    chosen are those of one machine.  With the native kernel all distances are the same to the last
    bit; matrix products round by the number of threads, so that without it they agree to float32
    rounding.  A process that dies is replaced.

    Args:
        features: a shard each: (n, d) float32, or a reference of Ray to such an array, or a
            `blocks.Shard`.  All but the last have a multiple of 1024 rows.
        n_keep: the most rows to choose.
        start: row of the first centre, through all shards; None for the row nearest to the mean.
        radius: stop as soon as no row is farther than this from its nearest centre.
        groups: (n,) group of each row, by shard.
        sizes: numbers of centres after which the distances to other groups are kept too.
        cluster: address of the cluster; "local" for processes of this machine.
        on_progress: called with the number of centres chosen since the last call.
        on_replaced: called with the number of a shard whose process died and is replaced.
        actors: see `shards.RayShards`.

    Raises:
        ShapeError: shards do not fit each other, or a number is not finite.
        ParameterError: a number is out of range, a shard does not end with a tile, or the package
            ray is not installed.
        ClusterError: the cluster does not answer, or a process dies again and again.
    """
    with _rows_in_shards(features, groups, cluster, on_replaced, actors) as rows:
        coreset = greedy_coreset_of_shards(
            rows, n_keep, start=start, radius=radius, sizes=sizes, on_progress=on_progress
        )
        return with_distances_to_other_groups(coreset, rows, sizes)


def compose_in_shards(
    features: Sequence[Any],
    n_keep: int,
    *,
    start: int | None = None,
    groups: Sequence[Indices] | None = None,
    cluster: str = LOCAL,
    on_progress: Callable[[int], None] | None = None,
    on_replaced: Callable[[int], None] | None = None,
    actors: list[Any] | None = None,
) -> ComposedCoreset:
    """Choose rows as `core.coreset.composable_coreset_of_shards` does.

    Arguments and errors are those of `select_in_shards`.
    """
    with _rows_in_shards(features, groups, cluster, on_replaced, actors) as rows:
        found = composable_coreset_of_shards(rows, n_keep, start=start, on_progress=on_progress)
        return replace(found, coreset=with_distances_to_other_groups(found.coreset, rows, ()))


@contextmanager
def _rows_in_shards(
    features: Sequence[Any],
    groups: Sequence[Indices] | None,
    cluster: str,
    on_replaced: Callable[[int], None] | None,
    actors: list[Any] | None,
) -> Iterator[ShardedRows]:
    """Context in which processes of the cluster hold the rows."""
    if not features:
        raise ShapeError("features: expected at least one shard, got none")
    if groups is not None and len(groups) != len(features):
        raise ShapeError(
            f"groups: expected those of {len(features)} shards, got those of {len(groups)}"
        )
    with connected(cluster):
        from patchbank.cluster.shards import RayShards

        shards = RayShards(features, groups, None, on_replaced or (lambda number: None), actors)
        try:
            kind = ShardedInt8Rows if shards.use_int8 else ShardedGemmRows
            yield kind(shards, has_groups=groups is not None)
        finally:
            shards.close()
