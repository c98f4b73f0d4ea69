"""Blocks of features in the object store of Ray, and the shards of a selection that they make.

A block has the features of a few photographs.  It stays on the machine where it was made, and Ray
writes it to a disk there where memory is short.  A shard is a run of blocks of one machine, but for
its ends, which are moved to where a tile begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from patchbank.methods.growing_array import ROWS_PER_COPY
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.memory import room_for_features
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Features, Indices

MOST_RETRIES = 5
"""Times that a block is computed again when the process that computes it dies."""


@dataclass(frozen=True, slots=True)
class Block:
    """The features of a few photographs."""

    reference: Any
    """Reference of an (n, d) array in the object store."""
    n_rows: int
    node: str
    """Identity of the machine where it was made."""


@dataclass(frozen=True, slots=True)
class PartOfBlock:
    """Some rows of a block, which follow each other."""

    reference: Any
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of a selection that one machine processes."""

    node: str
    """Identity of that machine."""
    parts: tuple[PartOfBlock, ...]
    first: int
    """First of its columns."""
    width: int

    @property
    def n_rows(self) -> int:
        """Number of its rows."""
        return sum(part.end - part.begin for part in self.parts)

    def gathered(self) -> Features:
        """Copy its rows, one block after the other: into memory if there is room, else a file."""
        rows = room_for_features((self.n_rows, self.width), LOGGER.info)
        at, columns = 0, slice(self.first, self.first + self.width)
        for part in self.parts:
            end = at + part.end - part.begin
            rows[at:end] = ray.get(part.reference)[part.begin : part.end, columns]
            drop_pages(rows[at:end])
            at = end
        return rows


def on_node(node: str) -> NodeAffinitySchedulingStrategy:
    """On this machine, or on another one if it is lost."""
    return NodeAffinitySchedulingStrategy(node, soft=True)


def _cut(block: Features, begin: int, end: int) -> Features:
    return block[begin:end].copy()


CUT: Any = ray.remote(num_cpus=0, max_retries=MOST_RETRIES)(_cut)


def _taken(block: Features, rows: Indices, first: int, width: int) -> Features:
    return block[rows, first : first + width]


TAKEN: Any = ray.remote(num_cpus=0, max_retries=MOST_RETRIES)(_taken)


def shards_of(blocks: Sequence[Block], width: int) -> list[Shard]:
    """One shard for each machine, of the blocks that it made, in order.

    The ends of a shard are at the nearest multiple of `ROWS_PER_COPY` rows: the sums of a fit are
    of so many rows, and tiles of a selection divide them.  What lies beyond is cut off, and alone
    goes to another machine.
    """
    ends = np.cumsum([block.n_rows for block in blocks])
    n, bounds, nodes = int(ends[-1]), [0], [blocks[0].node]
    for block, begin in zip(blocks[1:], ends[:-1].tolist(), strict=True):
        if block.node == nodes[-1]:
            continue
        bound = min(round(begin / ROWS_PER_COPY) * ROWS_PER_COPY, n)
        if bound == bounds[-1]:  # the machine before has too few rows for a shard
            nodes[-1] = block.node
        else:
            nodes.append(block.node)
            bounds.append(bound)
    if bounds[-1] == n and len(bounds) > 1:
        bounds, nodes = bounds[:-1], nodes[:-1]
    stops = [*bounds[1:], n]
    return [
        Shard(node, _parts(blocks, ends - [b.n_rows for b in blocks], node, *bound), 0, width)
        for node, bound in zip(nodes, zip(bounds, stops, strict=True), strict=True)
    ]


def _parts(
    blocks: Sequence[Block], begins: Indices, node: str, begin: int, end: int
) -> tuple[PartOfBlock, ...]:
    """Rows from `begin` to `end`; those of other machines are cut off there."""
    parts = []
    for block, at in zip(blocks, begins.tolist(), strict=True):
        low, high = max(begin - at, 0), min(end - at, block.n_rows)
        if low >= high:
            continue
        if block.node == node:
            parts.append(PartOfBlock(block.reference, low, high))
        else:
            cut = CUT.remote(block.reference, low, high)
            parts.append(PartOfBlock(cut, 0, high - low))
    return tuple(parts)


def rows_of(blocks: Sequence[Block], rows: Indices, first: int, width: int) -> Features:
    """Some rows through all blocks, (m, d), which are copied where each block is."""
    ends = np.cumsum([block.n_rows for block in blocks])
    of_block = np.searchsorted(ends, rows, side="right")
    found = np.empty((len(rows), width), dtype=np.float32)
    positions, taken = [], []
    for number in np.unique(of_block).tolist():
        own = np.flatnonzero(of_block == number)
        block = blocks[number]
        inside = rows[own] - (ends[number] - block.n_rows)
        positions.append(own)
        taken.append(TAKEN.remote(block.reference, inside, first, width))
    for own, values in zip(positions, ray.get(taken), strict=True):
        found[own] = values
    return found


def with_columns(shards: Sequence[Shard], first: int, width: int) -> list[Shard]:
    """Shards of some columns."""
    return [replace(shard, first=first, width=width) for shard in shards]
