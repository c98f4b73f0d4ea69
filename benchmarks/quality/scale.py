"""What does a selection over shards, or a large predict, cost by formula, counted and simulated?

    python benchmarks/quality/scale.py ../shared/data/screw        # constants from real patches
        [--rows 200000] [--picks 4000] [--shards 1 2 4 8]

Constants are measured on the patches of the good photographs: a selection over shards of this
process in which all that would be sent is counted, and calls are timed.  The formulas of
docs/scale.md are set beside what is counted for other numbers of shards, and beside an event-driven
simulation of up to 1,000 shards, in which messages wait for the link and the processor of the
driver.  No network is used.  Needs the package ray.
"""

from __future__ import annotations

import argparse
import heapq
import io
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "speed")]
from environment import write_results
from patchbank.core.coreset import greedy_coreset_of_shards
from patchbank.core.coreset.int8_rows import SAMPLE_ROWS, Int8Rows
from patchbank.core.coreset.sharded import ShardedInt8Rows
from shards import RECIPE, TILE_ROWS, Counted, cut

QUESTION = __doc__.splitlines()[0]
SIMULATED = (1, 10, 100, 1000)
CALLS_OF_A_BLOCK = 4  # candidates, described, mark, lower
AT_ONCE = 2  # blocks of photographs that a worker has


@dataclass(frozen=True)
class Constants:
    """What was measured."""

    looked_at: float
    """Rows whose features the driver fetches, for each row that is chosen."""
    picks_per_block: float
    proposed: float
    """Rows that all shards propose in a block."""
    update_s: float
    """Seconds of one core for a row, a pick and a number of it."""
    propose_s: float
    """Seconds of one core for a row in a block."""
    choose_s: float
    """Seconds of the driver in a block."""


@dataclass(frozen=True)
class Network:
    """What is assumed of the machines between which messages go."""

    latency_s: float = 0.000_5
    bytes_per_s: float = 1.25e9
    """Of the driver's link, in each direction: 10 Gbit/s."""
    call_s: float = 0.000_2
    """Seconds of the driver's processor for one call of one shard."""


@dataclass(frozen=True)
class Work:
    """A selection: `picks` of `rows`, each of `dims` numbers, in `shards`."""

    rows: int
    dims: int
    picks: int
    shards: int


def blocks_of(work: Work, constants: Constants) -> float:
    """Blocks of a selection: the rounds in which shards and driver wait for each other."""
    return work.picks / constants.picks_per_block


def bytes_of(
    rows: int, dims: int, picks: int, shards: int, fetched: float, proposed: float
) -> float:
    """Bytes that cross the network in a selection with groups.

    Args:
        rows: of all shards.
        dims: numbers of a row.
        picks: rows that are chosen.
        shards: on machines other than the driver's.
        fetched: rows that the driver fetches.
        proposed: rows that shards propose, in all blocks together.
    """
    begun = 8 * dims * -(-rows // TILE_ROWS)
    described = (4 * dims + 16) * fetched
    sent = picks * (4 * dims * (shards - 1) + 8 * shards + 16)
    return begun + described + sent + 16 * proposed


def selection_bytes(work: Work, constants: Constants) -> float:
    """The same, by constants."""
    fetched = constants.looked_at * work.picks + min(SAMPLE_ROWS, work.rows)
    proposed = constants.proposed * blocks_of(work, constants)
    return bytes_of(work.rows, work.dims, work.picks, work.shards, fetched, proposed)


def selection_seconds(work: Work, constants: Constants, network: Network) -> float:
    """Time of a selection whose shards have a core each."""
    blocks, own = blocks_of(work, constants), work.rows / work.shards
    on_shards = own * (constants.propose_s * blocks + constants.update_s * work.picks * work.dims)
    calls = CALLS_OF_A_BLOCK * (2 * network.latency_s + work.shards * network.call_s)
    wire = selection_bytes(work, constants) / network.bytes_per_s
    return on_shards + blocks * (calls + constants.choose_s) + wire


def shard_bytes(work: Work) -> float:
    """Memory of a shard: features, their codes, three numbers and a group of each row."""
    return work.rows / work.shards * (4 * work.dims + work.dims + 8 + 8 + 8 + 12)


def driver_bytes(work: Work, constants: Constants) -> float:
    """Memory of the driver: the rows that it has fetched."""
    return (constants.looked_at * work.picks + SAMPLE_ROWS) * (4 * work.dims + 16 + 100)


class Line:
    """Something that serves one message after the other: a link, or the driver's processor."""

    def __init__(self) -> None:
        self.free_at = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When a message that arrives now has been served."""
        self.free_at = max(self.free_at, now) + seconds
        return self.free_at


class Simulation:
    """Messages between a driver and shards, in the order of their times."""

    def __init__(self, network: Network, speeds: Sequence[float]) -> None:
        self.network, self.speeds = network, speeds
        self.processor, self.out, self.back = Line(), Line(), Line()
        self.now = 0.0

    def call(self, seconds: float, sent: float, received: float) -> None:
        """Call all shards, and wait for all answers.

        Args:
            seconds: of work of a shard of speed 1.
            sent: bytes to each shard.
            received: bytes from each.
        """
        order, events = count(), []
        link = self.network
        for speed in self.speeds:
            called = self.processor.serve(self.now, link.call_s)
            left = self.out.serve(called, sent / link.bytes_per_s)
            done = left + link.latency_s + seconds / speed
            heapq.heappush(events, (done + link.latency_s, next(order)))
        while events:
            arrived, _ = heapq.heappop(events)
            self.now = max(self.now, self.back.serve(arrived, received / link.bytes_per_s))

    def choose(self, seconds: float) -> None:
        """Let the driver work."""
        self.now = self.processor.serve(self.now, seconds)


def simulated_seconds(
    work: Work, constants: Constants, network: Network, spread: float = 0.0
) -> float:
    """Time of a selection, block after block.

    Args:
        work: the selection.
        constants: measured.
        network: assumed.
        spread: standard deviation of the logarithm of a shard's speed.
    """
    rng = np.random.default_rng(0)
    speeds = np.exp(rng.normal(0, spread, work.shards)) if spread else np.ones(work.shards)
    simulation = Simulation(network, speeds.tolist())
    own, shards = work.rows / work.shards, work.shards
    simulation.call(0, 0, 8 * work.dims * own / TILE_ROWS)
    first = min(SAMPLE_ROWS, work.rows) / shards
    simulation.call(0, 8 * first, (4 * work.dims + 8) * first)
    left = work.picks
    while left > 0:
        picks = min(constants.picks_per_block, left)
        share = picks / constants.picks_per_block
        fetched = constants.looked_at * picks / shards
        simulation.call(own * constants.propose_s * share, 8, 16 * constants.proposed / shards)
        simulation.call(0, 8 * fetched, (4 * work.dims + 8) * fetched)
        simulation.choose(constants.choose_s * share)
        simulation.call(0, 8 * picks / shards, 0)
        sent = picks * (4 * work.dims * (shards - 1) / shards + 8 + 8 / shards)
        simulation.call(own * constants.update_s * picks * work.dims, sent, 0)
        left -= picks
    return simulation.now


def predict_seconds(
    parts: int, part_s: float, write_s: float, workers: int, start_s: float = 0.0
) -> float:
    """Time of a large predict: workers share the parts, and the driver writes each."""
    return start_s + max(math.ceil(parts / workers) * part_s, parts * write_s + part_s)


def simulated_predict(
    parts: int, part_s: float, write_s: float, workers: int, network: Network
) -> float:
    """The same by events: a worker gets its next part when the driver has written its last one."""
    driver, order, last = Line(), count(), 0.0
    given = min(parts, AT_ONCE * workers)
    held = [len(range(worker, given, workers)) for worker in range(workers)]
    events = [(network.latency_s + part_s, next(order), w) for w, n in enumerate(held) if n]
    while events:
        done, _, worker = heapq.heappop(events)
        held[worker] -= 1
        if held[worker]:  # the next part is there already
            heapq.heappush(events, (done + part_s, next(order), worker))
        last = driver.serve(done + network.latency_s, write_s)
        if given < parts:
            given += 1
            held[worker] += 1
            if held[worker] == 1:
                begun = last + network.latency_s
                heapq.heappush(events, (begun + part_s, next(order), worker))
    return last


class Timed(Counted):
    """Shards whose calls are timed too."""

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__(rows)
        self.seconds: Counter[str] = Counter()
        self.fetched = self.proposed = 0

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call, count and time."""
        began = time.perf_counter()
        found = super().call(method, arguments)
        self.seconds[method] += time.perf_counter() - began
        if method == "described":
            self.fetched += sum(len(values) for values, *_ in found)
        if method == "candidates":
            self.proposed += sum(len(part.rows) for part in found)
        return found

    @property
    def total_bytes(self) -> int:
        """Bytes that would have been sent and received."""
        return sum(self.sent_bytes.values()) + sum(self.received_bytes.values())


def counted(features: Any, groups: Any, picks: int, n_shards: int) -> tuple[Timed, float]:
    """A selection over shards of this process; -> what was counted, seconds."""
    ends = cut(len(features), n_shards)
    parts = zip(np.split(features, ends), np.split(groups, ends), strict=True)
    shards = Timed([Int8Rows(*part) for part in parts])
    began = time.perf_counter()
    greedy_coreset_of_shards(ShardedInt8Rows(shards, has_groups=True), picks)
    return shards, time.perf_counter() - began


def constants_of(found: Timed, seconds: float, work: Work) -> Constants:
    """The constants that a counted selection shows."""
    blocks = found.calls["candidates"]
    on_shards = sum(found.seconds.values())
    updates = sum(s for name, s in found.seconds.items() if name.startswith("lower"))
    return Constants(
        looked_at=(found.fetched - min(SAMPLE_ROWS, work.rows)) / work.picks,
        picks_per_block=work.picks / blocks,
        proposed=found.proposed / blocks,
        update_s=updates / (work.rows * work.picks * work.dims),
        propose_s=found.seconds["candidates"] / (work.rows * blocks),
        choose_s=(seconds - on_shards) / blocks,
    )


def of_counted_bytes(
    features: Any, groups: Any, picks: int, shards: Sequence[int], constants: Constants
) -> list[dict[str, float]]:
    """Counted bytes beside the formula."""
    rows = []
    for n_shards in shards:
        work = Work(*features.shape, picks, n_shards)
        found, _ = counted(features, groups, picks, n_shards)
        formula = selection_bytes(work, constants)
        rows.append(
            {
                "shards": n_shards,
                "counted_bytes": found.total_bytes,
                "formula_bytes": round(formula),
                "ratio": formula / found.total_bytes,
            }
        )
    return rows


def of_simulations(constants: Constants, network: Network) -> list[dict[str, Any]]:
    """Formula and simulation for many shards."""
    rows = []
    for shards in SIMULATED:
        for n, picks in ((10_000_000, 10_000), (1_000_000_000, 100_000)):
            work = Work(n, 152, picks, shards)
            formula = selection_seconds(work, constants, network)
            exact = simulated_seconds(work, constants, network)
            uneven = simulated_seconds(work, constants, network, spread=0.1)
            rows.append(
                {
                    **asdict(work),
                    "formula_s": formula,
                    "simulated_s": exact,
                    "ratio": formula / exact,
                    "simulated_with_uneven_shards_s": uneven,
                    "network_bytes": selection_bytes(work, constants),
                    "shard_bytes": shard_bytes(work),
                    "driver_bytes": driver_bytes(work, constants),
                }
            )
    return rows


def of_predict(part_s: float, write_s: float, network: Network) -> list[dict[str, float]]:
    """Formula and simulation of ten million predictions."""
    rows = []
    for workers in (16, 200, 1600, 10_000):
        formula = predict_seconds(10_000, part_s, write_s, workers)
        exact = simulated_predict(10_000, part_s, write_s, workers, network)
        rows.append(
            {"workers": workers, "formula_s": formula, "simulated_s": exact,
             "ratio": formula / exact}
        )  # fmt: skip
    return rows


def measured_predict(dataset: Path) -> dict[str, float]:
    """Seconds of one core for a photograph, of the driver for a part, and bytes of a row."""
    from patchbank import PatchCore
    from patchbank.bulk.inputs import Block
    from patchbank.bulk.results import PartFolder, part_of
    from patchbank.datasets import good_images
    from patchbank.runtime.threads import use_cores

    use_cores(1)
    photographs = good_images(dataset)[:12]
    detector = PatchCore().fit(photographs)
    began = time.process_time()
    outcomes = list(detector.inspect(photographs))
    photograph_s = (time.process_time() - began) / len(photographs)
    seen = (outcomes * 100)[:1000]
    rows = [
        replace(one, image=f"{one.image}-{i}", score=one.score * (1 + i / 1e4))
        for i, one in enumerate(seen)
    ]
    content = part_of(rows, 0, detector.sha256)
    block = Block(0, 0, [None] * len(rows), "/")
    with tempfile.TemporaryDirectory() as name:
        folder = PartFolder(Path(name))
        began = time.process_time()
        for _ in range(20):
            folder.write(block, content)
        write_s = (time.process_time() - began) / 20
    return {
        "photograph_s": photograph_s,
        "driver_s_per_part": write_s,
        "bytes_per_row": len(io.BytesIO(content).getvalue()) / len(rows),
    }


def measured_call() -> float:
    """Seconds of the driver's processor for one call of an actor of Ray and its answer."""
    import ray

    from patchbank.cluster.connection import connected

    class Nothing:
        def answer(self) -> None:
            """Do nothing."""

    with connected():
        actors = [ray.remote(Nothing).options(num_cpus=0).remote() for _ in range(2)]
        ray.get([actor.answer.remote() for actor in actors])
        began = time.process_time()
        for _ in range(100):
            ray.get([actor.answer.remote() for actor in actors * 5])
        return (time.process_time() - began) / 1000


def page(written: dict[str, Any]) -> str:
    """The results as a page."""
    found, machine = written["results"], written["environment"]
    bytes_rows = "\n".join(
        f"| {r['shards']} | {r['counted_bytes'] / 1e6:,.2f} | {r['formula_bytes'] / 1e6:,.2f} | "
        f"{r['ratio']:.3f} |"
        for r in found["bytes"]
    )
    time_rows = "\n".join(
        f"| {r['rows']:,} | {r['picks']:,} | {r['shards']:,} | {r['formula_s']:,.0f} | "
        f"{r['simulated_s']:,.0f} | {r['simulated_with_uneven_shards_s']:,.0f} | "
        f"{r['network_bytes'] / 1e9:,.1f} | {r['shard_bytes'] / 1e9:,.2f} |"
        for r in found["selection"]
    )
    predict_rows = "\n".join(
        f"| {r['workers']:,} | {r['formula_s']:,.0f} | {r['simulated_s']:,.0f} |"
        for r in found["predict"]
    )
    constants = "\n".join(
        f"| `{name}` | {value:.4g} |"
        for name, value in {
            **found["constants"],
            "call_s": found["network"]["call_s"],
            **found["measured_predict"],
        }.items()
    )
    return (
        "# Costs by formula, counted and simulated\n\n"
        f"`{written['command']}`; the formulas are those of [docs/scale.md](../../docs/scale.md).\n"
        f"\n| constant | measured |\n|---|---|\n{constants}\n\n"
        f"Bytes of a selection of {written['settings']['picks']:,} of {found['rows']:,} rows of "
        f"{found['dims']} numbers, in MB:\n\n| shards | counted | formula | ratio |\n"
        f"|---|---|---|---|\n{bytes_rows}\n\n"
        "Selections of rows of 152 numbers, seconds (uneven: the speed of shards varies by a "
        "tenth), GB:\n\n| rows | picks | shards | formula | simulated | simulated, uneven "
        f"| network | memory of a shard |\n|---|---|---|---|---|---|---|---|\n{time_rows}\n\n"
        "Ten million predictions, in parts of a thousand, seconds:\n\n"
        f"| workers | formula | simulated |\n|---|---|---|\n{predict_rows}\n\n"
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}\n"
    )


def main() -> None:
    """Measure, and write scale.json and scale.md."""
    from patchbank.datasets import good_images
    from synthetic import photographed

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--picks", type=int, default=4_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--out", type=Path, default=HERE / "scale.json")
    given = parser.parse_args()
    features, groups = photographed(good_images(given.dataset), RECIPE)
    features, groups = features[: given.rows], groups[: given.rows]
    network = Network(call_s=measured_call())
    found, seconds = counted(features, groups, given.picks, 2)
    constants = constants_of(found, seconds, Work(*features.shape, given.picks, 2))
    predicting = measured_predict(given.dataset)
    part_s = 1000 * predicting["photograph_s"]
    results = {
        "rows": len(features),
        "dims": features.shape[1],
        "constants": asdict(constants),
        "network": asdict(network),
        "measured_predict": predicting,
        "bytes": of_counted_bytes(features, groups, given.picks, given.shards, constants),
        "selection": of_simulations(constants, network),
        "predict": of_predict(part_s, predicting["driver_s_per_part"], network),
    }
    settings = {"rows": given.rows, "picks": given.picks, "shards": given.shards}
    write_results(given.out, QUESTION, settings, results, page)
    print(given.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
