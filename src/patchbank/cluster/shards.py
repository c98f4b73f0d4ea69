"""Shards of a selection as actors of Ray, replaced when they die."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayActorError

from patchbank.cluster.blocks import Shard, on_node
from patchbank.core import int8
from patchbank.core.coreset.gemm_rows import GemmRows
from patchbank.core.coreset.int8_rows import Int8Rows
from patchbank.errors import ClusterError
from patchbank.runtime.devices import HOST

READS = (
    "candidates",
    "described",
    "distances_to_other_groups",
    "host_min_distances",
    "largest_initial",
    "largest_min_distance",
    "nearest_to",
    "tile_sums",
    "width",
)
"""Methods that tell of a shard and leave it as it is.  The others change it: nobody waits for them,
and they are repeated in one that replaces it."""
MOST_DEATHS = 5
"""Times in a row that a shard may die in one call."""
RESERVED_BYTES = 1 << 20
"""Memory that an actor asks Ray for: one that asks for nothing is started on any node, also where
another one is named."""
SMALL_BYTES = 100_000
"""Arguments of fewer bytes are sent with the call; larger ones once to each machine."""


class ShardActor:
    """Holds the rows of a shard."""

    def can_use_int8(self) -> bool:
        """Whether the native kernel runs here."""
        return int8.is_usable_for(np.empty((1, 1), np.float32), HOST)

    def hold(self, use_int8: bool, features: Any, groups: Any, initial: Any) -> int:
        """Hold features, and the `_runs` of their groups; -> their number."""
        rows = features.gathered() if isinstance(features, Shard) else features
        of_rows = None if groups is None else np.repeat(*groups)
        if use_int8:
            self._rows: GemmRows | Int8Rows = Int8Rows(rows, of_rows, initial)
        else:
            self._rows = GemmRows(rows, HOST, of_rows, initial)
        return len(self._rows)

    def release(self) -> None:
        """Give the memory of the rows back."""
        vars(self).pop("_rows", None)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the rows."""
        return getattr(self._rows, method)(*arguments)

    def apply(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function with the rows."""
        return function(self._rows, *arguments)


class RayShards:
    """An actor for each shard; see `core.coreset.sharded.Shards`."""

    def __init__(
        self,
        features: Sequence[Any],
        groups: Sequence[Any] | None,
        initial: Sequence[Any] | None,
        on_replaced: Callable[[int], None],
        actors: list[Any] | None = None,
    ) -> None:
        """Let actors hold the shards, spread over the machines.

        Args:
            features: (n, d) arrays of each shard, or references to such, or a `blocks.Shard`,
                whose actor is on its machine.
            groups: (n,) arrays of each.
            initial: (n,) arrays of each.
            on_replaced: called with the number of a shard whose actor died.
            actors: of a selection before in the same shards, which go on; an empty list receives
                new ones, for another selection.  None for actors that end with this one.

        Raises:
            ClusterError: actors die again and again.
        """
        nothing = [None] * len(features)
        runs = nothing if groups is None else [_runs(of_shard) for of_shard in groups]
        self._content = list(zip(map(_referred, features), runs, initial or nothing, strict=True))
        self._on_replaced = on_replaced
        self._changes: list[tuple[str, list[tuple[Any, ...]]]] = []
        self._pending: list[list[Any]] = [[] for _ in features]
        self._are_kept = actors is not None
        self._actors = [] if actors is None else actors
        if not self._actors:
            self._actors += [_new_actor(shard) for shard in features]
        self._use_int8: bool | None = None  # until all have said it, none holds anything
        can = self._gathered(lambda number: self._actors[number].can_use_int8.remote())
        self._use_int8 = all(can)
        self.lengths: Sequence[int] = self._gathered(self._held)

    @property
    def use_int8(self) -> bool:
        """Whether the native kernel runs on all machines, and so is used."""
        return bool(self._use_int8)

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of all shards at once.

        Raises:
            ClusterError: a shard dies again and again.
        """
        references: dict[int, Any] = {}
        sent = [tuple(_shared(one, references) for one in own) for own in arguments]

        def called(number: int) -> Any:
            return self._actors[number].call.remote(method, *sent[number])

        if method in READS:
            return self._gathered(called)
        for number, pending in enumerate(self._pending):
            pending.append(called(number))
        self._changes.append((method, sent))
        return [None] * len(sent)

    def apply(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function with the rows of all shards; see `core.coreset.sharded.Shards`.

        Raises:
            ClusterError: a shard dies again and again.
        """
        return self._gathered(
            lambda number: self._actors[number].apply.remote(function, *arguments)
        )

    def close(self) -> None:
        """Give the memory of all actors back, and end those that are not kept."""
        if not self._are_kept:
            end(self._actors)
        for actor in self._actors:
            actor.release.remote()

    def _gathered(self, start: Callable[[int], Any]) -> list[Any]:
        """The results of a call of each shard; whatever has died is replaced, and called again."""
        started = [start(number) for number in range(len(self._content))]
        found = []
        for number, reference in enumerate(started):
            for left in reversed(range(MOST_DEATHS)):
                try:
                    *_, result = ray.get([*self._pending[number], reference])
                    found.append(result)
                    break
                except RayActorError as error:
                    if not left:
                        raise ClusterError(
                            f"cluster: expected shard {number} to stay in memory, but its process "
                            f"died {MOST_DEATHS} times in a row ({str(error).splitlines()[0]}); "
                            "use more shards, or machines with more memory"
                        ) from None
                    self._replace(number)
                    reference = start(number)
            self._pending[number].clear()
        return found

    def _replace(self, number: int) -> None:
        """Start another actor for a shard, and repeat what has changed it."""
        self._on_replaced(number)
        self._actors[number] = actor = _new_actor(self._content[number][0])
        # An actor works in the order in which it is called.
        self._pending[number] = [] if self._use_int8 is None else [self._held(number)]
        for method, sent in self._changes:
            self._pending[number].append(actor.call.remote(method, *sent[number]))

    def _held(self, number: int) -> Any:
        return self._actors[number].hold.remote(self._use_int8, *self._content[number])


def end(actors: list[Any]) -> None:
    """End actors."""
    while actors:
        ray.kill(actors.pop())


def _new_actor(features: Any) -> Any:
    where = on_node(features.node) if isinstance(features, Shard) else "SPREAD"
    new = ray.remote(ShardActor).options(
        num_cpus=0, memory=RESERVED_BYTES, scheduling_strategy=where
    )
    return new.remote()


def _runs(groups: NDArray[np.integer[Any]]) -> tuple[Any, Any]:
    """Values and lengths of runs of equal groups, of which a photograph has one."""
    begins = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))[: len(groups)]
    return groups[begins], np.diff(np.append(begins, len(groups)))


def _referred(array: Any) -> Any:
    return ray.put(array) if isinstance(array, np.ndarray) else array


def _shared(argument: Any, references: dict[int, Any]) -> Any:
    """An argument as it is sent: what is large and the same for all shards is sent once."""
    if not isinstance(argument, np.ndarray) or argument.nbytes < SMALL_BYTES:
        return argument
    if id(argument) not in references:
        references[id(argument)] = ray.put(argument)
    return references[id(argument)]
