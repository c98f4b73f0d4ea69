"""Is a selection over shards that of one process, what does it take, and what crosses the network?

    python benchmarks/speed/shards.py ../shared/data/screw       # 200,000 x 152, 4,000 picks
        [--rows 200000] [--image-size 224] [--picks 4000] [--shards 1 2 4 8] [--repeats 3]
        [--nodes 1 2 4]

The first patches of the good photographs, with the small backbone.  The selection runs in one
process, and over that many shards in this one, where everything that would be sent is counted,
beside the formula of docs/guides/cluster.md.  With --nodes, which needs the package ray, also on a
cluster of two processes on one node with two cores, in turn with one process, and on clusters of so
many nodes of one core each, which are processes of this machine.  Beside each selection over shards
stands the one by composable coresets: its covering radius, and what it sends.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract import Run, arguments, measured, summary
from patchbank import PatchCore
from patchbank.core import int8
from patchbank.core.coreset import (
    Coreset,
    composable_coreset_of_shards,
    greedy_coreset,
    greedy_coreset_of_shards,
)
from patchbank.core.coreset.gemm_rows import GemmRows
from patchbank.core.coreset.int8 import SENT_CANDIDATES
from patchbank.core.coreset.int8_rows import SAMPLE_ROWS, Int8Rows
from patchbank.core.coreset.sharded import LocalShards, ShardedGemmRows, ShardedInt8Rows
from patchbank.datasets import good_images
from patchbank.runtime.devices import HOST
from patchbank.types import Features, Indices
from synthetic import photographed

LOOKED_AT = 3.2
"""Rows that are fetched for each row that is chosen: measured, see `formula`."""
PER_BLOCK = 135
"""Rows that are chosen in a block: measured."""
RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=224, scales=(1.0,), patch_stride=1)
TILE_ROWS = 1024


class Counted(LocalShards):
    """Shards in this process, and what calls of other machines would send."""

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__(rows)
        self.calls: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self.received_bytes: Counter[str] = Counter()

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call, and count what is sent to each shard and received from it."""
        found = super().call(method, arguments)
        self.calls[method] += 1
        self.sent_bytes[method] += sum(map(n_bytes, arguments))
        self.received_bytes[method] += sum(map(n_bytes, found))
        return found

    def apply(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function with the rows, and count likewise."""
        found = super().apply(function, *arguments)
        self.calls["apply"] += 1
        self.received_bytes["apply"] += sum(map(n_bytes, found))
        return found


def n_bytes(sent: Any) -> int:
    """Bytes of the arrays and numbers of an argument or a result."""
    if isinstance(sent, np.ndarray):
        return int(sent.nbytes)
    if isinstance(sent, tuple | list):
        return sum(map(n_bytes, sent))
    if is_dataclass(sent):
        return sum(n_bytes(getattr(sent, field.name)) for field in fields(sent))
    return 8 if isinstance(sent, int | float) else 0


def formula(n: int, d: int, picks: int, n_shards: int) -> int:
    """Bytes that cross the network in a selection with groups, by docs/guides/cluster.md."""
    sums = 8 * d * -(-n // TILE_ROWS)
    fetched = (4 * d + 16) * (int(LOOKED_AT * picks) + SAMPLE_ROWS)
    sent = (4 * d * (n_shards - 1) + 8 * n_shards + 16) * picks
    proposed = 16 * 1.2 * SENT_CANDIDATES * picks // PER_BLOCK
    return int(sums + fetched + sent + proposed)


def formula_of_composable(n: int, d: int, picks: int, n_shards: int) -> int:
    """Bytes that cross the network where each shard selects for itself."""
    sums = 8 * d * -(-n // TILE_ROWS)
    proposed = (4 * d + 8) * picks * n_shards
    fetched = (4 * d + 16) * (picks + SAMPLE_ROWS)
    sent = (4 * d * (n_shards - 1) + 8 * n_shards + 16) * picks
    return int(sums + proposed + fetched + sent)


def cut(n: int, n_shards: int) -> list[int]:
    """Where shards of whole tiles end."""
    tiles = -(-n // TILE_ROWS)
    ends = [round(tiles * (number + 1) / n_shards) * TILE_ROWS for number in range(n_shards)]
    return ends[:-1]


def same(one: Coreset, other: Coreset) -> dict[str, bool]:
    """Whether two selections are the same, to the last bit."""
    return {
        "picks": bool(np.array_equal(one.centres, other.centres)),
        "radii": bool(np.array_equal(one.radii, other.radii)),
        "left_out_distances": bool(
            np.array_equal(one.min_distance_to_other_groups, other.min_distance_to_other_groups)
        ),
    }


def in_shards(features: Features, groups: Indices, n_shards: int) -> tuple[Any, Counted]:
    """The rows in shards of this process."""
    ends = cut(len(features), n_shards)
    parts = zip(np.split(features, ends), np.split(groups, ends), strict=True)
    if int8.is_usable_for(features, HOST):
        shards = Counted([Int8Rows(*part) for part in parts])
        return ShardedInt8Rows(shards, has_groups=True), shards
    shards = Counted([GemmRows(part, HOST, of_rows) for part, of_rows in parts])
    return ShardedGemmRows(shards, has_groups=True), shards


def over(features: Features, groups: Indices, picks: int, n_shards: int) -> tuple[Coreset, Counted]:
    """The selection over shards of this process."""
    rows, shards = in_shards(features, groups, n_shards)
    coreset = greedy_coreset_of_shards(rows, picks)
    sent = Counter(shards.sent_bytes), Counter(shards.received_bytes)
    left_out = rows.distances_to_other_groups(picks)  # stays where it is in a fit
    shards.sent_bytes, shards.received_bytes = sent
    return Coreset(coreset.centres, coreset.radii, None, left_out), shards


def composed(
    features: Features, groups: Indices, picks: int, n_shards: int, one: Coreset
) -> dict[str, Any]:
    """The selection by composable coresets, beside that of one process."""
    rows, counted = in_shards(features, groups, n_shards)
    began = time.perf_counter()
    found = composable_coreset_of_shards(rows, picks)
    seconds = time.perf_counter() - began
    assert found.coreset.radii is not None
    assert one.radii is not None
    radius, of_one = float(found.coreset.radii[-1]), float(one.radii[-1])
    total = sum(counted.sent_bytes.values()) + sum(counted.received_bytes.values())
    return {
        "seconds": seconds,
        "calls": sum(counted.calls.values()),
        "bytes": total,
        "by_formula": total / formula_of_composable(*features.shape, picks, n_shards),
        "covering_radius": radius,
        "of_the_greedy_one": radius / of_one,
        "at_most_of_the_best": radius / found.least_radius,
        "picks_in_both": len(np.intersect1d(found.coreset.centres, one.centres)),
    }


def main() -> None:
    """Measure and write shards.json."""
    parser = arguments(__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--picks", type=int, default=4_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nodes", type=int, nargs="*", default=[])
    run = Run(__file__, __doc__, given := parser.parse_args())
    recipe = RECIPE.with_changes(image_size=given.image_size)
    features, groups = photographed(good_images(given.dataset), recipe)
    features, groups = features[: given.rows], groups[: given.rows]
    picks = given.picks
    times, one = measured(
        lambda: greedy_coreset(features, picks, groups=groups), repeats=given.repeats
    )
    results: dict[str, Any] = {
        "rows": len(features),
        "dims": features.shape[1],
        "kernel": int8.status(),
        "one_process": times.to_json(),
        "shards": {},
    }
    for n_shards in given.shards:
        began = time.perf_counter()
        other, counted = over(features, groups, picks, n_shards)
        results["shards"][n_shards] = {
            "seconds": time.perf_counter() - began,
            "same": same(one, other),
            **crossed(counted, features, picks),
            "composable": composed(features, groups, picks, n_shards, one),
        }
    if given.nodes:
        results["clusters"] = on_clusters(features, groups, picks, given, one)
    run.write(results)


def crossed(counted: Counted, features: Features, picks: int) -> dict[str, Any]:
    """What crossed the network, and what the formula says."""
    total = sum(counted.sent_bytes.values()) + sum(counted.received_bytes.values())
    said = formula(*features.shape, picks, len(counted.lengths))
    return {
        "blocks": counted.calls["candidates"],
        "calls": sum(counted.calls.values()),
        "rows_fetched": counted.sent_bytes["described"] // 8,
        "sent_bytes": dict(counted.sent_bytes),
        "received_bytes": dict(counted.received_bytes),
        "bytes": total,
        "formula_bytes": said,
        "by_formula": total / said,
        "share_of_the_features": total / features.nbytes,
    }


def on_clusters(
    features: Features, groups: Indices, picks: int, given: Any, one: Coreset
) -> dict[str, Any]:
    """The same on clusters of Ray."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.npy"
        np.save(file, features)
        for n_nodes, cores, n_shards in [(1, 2, 2), *((n, 1, n) for n in given.nodes)]:
            with cluster_of(n_nodes, cores, 2 * features.nbytes // n_nodes) as nodes:
                on_nodes = [nodes[number % n_nodes] for number in range(n_shards)]
                shards = shards_on(on_nodes, file, features.shape)
                name = f"{n_nodes} nodes of {cores} cores, {n_shards} shards"
                is_timed = (n_nodes, cores) == (1, 2)
                found[name] = of_shards(shards, features, groups, given, one, is_timed=is_timed)
    return found


@contextmanager
def cluster_of(n_nodes: int, cores: int, store_bytes: int) -> Iterator[list[str]]:
    """A cluster of processes of this machine; the identity of each node."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_worker_niceness="0")  # as the process that they are measured against
    node = {"num_cpus": cores, "object_store_memory": max(store_bytes, 80 << 20)}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(n_nodes - 1):
        cluster.add_node(**node)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield [node["NodeID"] for node in ray.nodes()]
    finally:
        ray.shutdown()
        cluster.shutdown()


def shards_on(nodes: Sequence[str], file: Path, shape: tuple[int, int]) -> list[Any]:
    """Shards whose features are read on their nodes."""
    import ray

    from patchbank.cluster.blocks import PartOfBlock, Shard, on_node

    def read(begin: int, end: int) -> Features:
        return np.array(np.load(file, mmap_mode="r")[begin:end])

    bounds, shards = [0, *cut(shape[0], len(nodes)), shape[0]], []
    for node, begin, end in zip(nodes, bounds[:-1], bounds[1:], strict=True):
        task = ray.remote(read).options(scheduling_strategy=on_node(node))
        parts = (PartOfBlock(task.remote(begin, end), 0, end - begin),)
        shards.append(Shard(node, parts, 0, shape[1]))
    return shards


def of_shards(
    shards: Sequence[Any],
    features: Features,
    groups: Indices,
    given: Any,
    one: Coreset,
    *,
    is_timed: bool,
) -> dict[str, Any]:
    """A selection on a cluster, and where it is timed, in turn with one process."""
    from patchbank.cluster.selection import select_in_shards

    picks, actors = given.picks, []
    parts = np.split(groups, cut(len(groups), len(shards)))

    def on_cluster() -> Coreset:
        return select_in_shards(shards, picks, groups=parts, actors=actors)

    found = {"same": same(one, on_cluster())}  # which starts the processes
    if not is_timed:
        return found
    alone_s, there_s = [], []
    for _ in range(given.repeats):
        times, _ = measured(
            lambda: greedy_coreset(features, picks, groups=groups), repeats=1, warm_up=0
        )
        alone_s += times.all_s
        times, _ = measured(on_cluster, repeats=1, warm_up=0)
        there_s += times.all_s
    ratio = float(np.median(there_s) / np.median(alone_s))
    return {
        **found,
        "one_process": summary(alone_s, "_s"),
        "on_cluster": summary(there_s, "_s"),
        "times_as_long": ratio,
    }


if __name__ == "__main__":
    main()
