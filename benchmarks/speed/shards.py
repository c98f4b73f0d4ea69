"""Is a selection over shards that of one process, what does it take, and what crosses the network?

    python benchmarks/speed/shards.py ../shared/data/screw       # 200,000 x 152, 4,000 picks
        [--rows 200000] [--picks 4000] [--shards 1 2 4 8] [--repeats 3] [--processes]

The first patches of the good photographs, at 224 pixels with the small backbone.  The selection
runs in one process, and over that many shards in this one, where everything that would be sent is
counted.  With --processes also over two processes of a Ray cluster of this machine, which needs
the package ray.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract import Run, arguments, measured
from patchbank import PatchCore
from patchbank.cluster.selection import select_in_shards
from patchbank.core import int8
from patchbank.core.coreset import Coreset, greedy_coreset, greedy_coreset_of_shards
from patchbank.core.coreset.gemm_rows import GemmRows
from patchbank.core.coreset.int8_rows import Int8Rows
from patchbank.core.coreset.sharded import LocalShards, ShardedGemmRows, ShardedInt8Rows
from patchbank.datasets import good_images
from patchbank.runtime.devices import HOST
from patchbank.types import Features, Indices
from synthetic import photographed

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


def n_bytes(sent: Any) -> int:
    """Bytes of the arrays and numbers of an argument or a result."""
    if isinstance(sent, np.ndarray):
        return int(sent.nbytes)
    if isinstance(sent, tuple | list):
        return sum(map(n_bytes, sent))
    if is_dataclass(sent):
        return sum(n_bytes(getattr(sent, field.name)) for field in fields(sent))
    return 8 if isinstance(sent, int | float) else 0


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


def over(features: Features, groups: Indices, picks: int, n_shards: int) -> tuple[Coreset, Counted]:
    """The selection over shards of this process."""
    ends = cut(len(features), n_shards)
    parts = zip(np.split(features, ends), np.split(groups, ends), strict=True)
    if int8.is_usable_for(features, HOST):
        shards = Counted([Int8Rows(*part) for part in parts])
        rows: Any = ShardedInt8Rows(shards, has_groups=True)
    else:
        shards = Counted([GemmRows(part, HOST, of_rows) for part, of_rows in parts])
        rows = ShardedGemmRows(shards, has_groups=True)
    coreset = greedy_coreset_of_shards(rows, picks)
    sent = Counter(shards.sent_bytes), Counter(shards.received_bytes)
    left_out = rows.distances_to_other_groups(picks)  # stays where it is in a fit
    shards.sent_bytes, shards.received_bytes = sent
    return Coreset(coreset.centres, coreset.radii, None, left_out), shards


def main() -> None:
    """Measure and write shards.json."""
    parser = arguments(__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--picks", type=int, default=4_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", action="store_true")
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
        times, (other, counted) = measured(
            lambda n_shards=n_shards: over(features, groups, picks, n_shards),
            repeats=given.repeats,
        )
        total = sum(counted.sent_bytes.values()) + sum(counted.received_bytes.values())
        results["shards"][n_shards] = {
            **times.to_json(),
            "same": same(one, other),
            "blocks": counted.calls["candidates"],
            "sent_bytes": dict(counted.sent_bytes),
            "received_bytes": dict(counted.received_bytes),
            "share_of_the_features": total / features.nbytes,
        }
    if given.processes:
        results["two_processes"] = of_processes(features, groups, picks, given.repeats, one)
    run.write(results)


def of_processes(
    features: Features, groups: Indices, picks: int, repeats: int, one: Coreset
) -> dict[str, Any]:
    """The same over two processes of Ray; the first call, which starts them, does not count."""
    from patchbank.cluster.connection import connected

    ends = cut(len(features), 2)
    with connected():
        times, other = measured(
            lambda: select_in_shards(
                np.split(features, ends), picks, groups=np.split(groups, ends)
            ),
            repeats=repeats,
        )
    return {**times.to_json(), "same": same(one, other)}


if __name__ == "__main__":
    main()
