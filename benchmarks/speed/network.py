"""How many bytes cross a network in a selection, and how long does it take where that is slow?

    sudo python benchmarks/speed/network.py ../shared/data/screw
        [--rows 200000] [--picks 4000] [--nodes 1 2 4] [--mbit 1000 100]

Each machine is a network namespace of this one with a Ray node of one core in it, and one more has
the process that asks.  They are connected by a bridge, over links of so many megabits a second.
Bytes are those of the links, as the system counts them, with all that Ray and TCP add; what Ray
sends when nothing happens is measured, too, and subtracted.  The first patches of the good
photographs, with the small backbone; selections with groups, greedy and by composable coresets.
Needs Linux, root, `ip` and `tc`, and the package ray.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from contract import Run, arguments
from patchbank.core.coreset import greedy_coreset
from patchbank.datasets import good_images
from shards import RECIPE, cut, formula, formula_of_composable, shards_on
from synthetic import photographed

INNER = "--inside"
NET, PORT = "10.77.0", 6399
RAY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
IDLE_S = 10.0
LEAST_STORE = 80 << 20
START_S = 120.0
STAGGER_S = 10.0
"""Nodes of one machine that start at the same time disturb each other."""
BURST_S = 0.008
"""Traffic that a link lets through at once, above a tick of the kernel."""


def sh(*command: str) -> None:
    """Run a command, and show why it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def network(n: int, mbit: int) -> Iterator[None]:
    """Namespaces pb0 to pb(n - 1) on a bridge, over links of a bandwidth."""
    names = [f"pb{number}" for number in range(n)]
    try:
        sh("ip", "link", "add", "pbbr", "type", "bridge")
        sh("ip", "link", "set", "pbbr", "up")
        for number, name in enumerate(names):
            inside = ("ip", "-n", name)
            sh("ip", "netns", "add", name)
            sh(
                "ip",
                "link",
                "add",
                f"{name}v",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                name,
            )
            sh("ip", "link", "set", f"{name}v", "master", "pbbr", "up")
            sh(*inside, "addr", "add", f"{NET}.{number + 1}/24", "dev", "eth0")
            sh(*inside, "link", "set", "eth0", "up")
            sh(*inside, "link", "set", "lo", "up")
            sh(*inside, "route", "add", "default", "dev", "eth0")  # Ray asks for the way out
            limit = (
                "root",
                "tbf",
                "rate",
                f"{mbit}mbit",
                "burst",
                f"{round(1000 * mbit * BURST_S)}kbit",
                "latency",
                "50ms",
            )
            sh("tc", "qdisc", "add", "dev", f"{name}v", *limit)
            sh("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "eth0", *limit)
        yield
    finally:
        for name in names:
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)
        subprocess.run(("ip", "link", "del", "pbbr"), check=False, capture_output=True)


@contextmanager
def node(number: int, store_bytes: int, folder: Path) -> Iterator[None]:
    """A Ray node in a namespace: the head without a core, others with one."""
    head = ("--head", f"--port={PORT}", f"--temp-dir={folder}", "--include-dashboard=false")
    where = (f"--address={NET}.1:{PORT}",) if number else head
    options = (
        f"--node-ip-address={NET}.{number + 1}",
        f"--num-cpus={int(number > 0)}",
        f"--object-store-memory={max(store_bytes, LEAST_STORE)}",
        "--block",
    )
    ray = str(Path(sys.executable).with_name("ray"))
    process = subprocess.Popen(
        ("ip", "netns", "exec", f"pb{number}", ray, "start", *where, *options),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()


def await_head() -> None:
    """Wait until the head answers."""
    ask = f"import socket; socket.create_connection(('{NET}.1', {PORT}), 1)"
    command = ("ip", "netns", "exec", "pb0", sys.executable, "-c", ask)
    end = time.monotonic() + START_S
    while subprocess.run(command, check=False, capture_output=True).returncode:
        if time.monotonic() > end:
            sys.exit(f"expected the head of the cluster to answer within {START_S:g} s")
        time.sleep(0.5)


def link_bytes() -> int:
    """Bytes that all namespaces have sent so far."""
    total = 0
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        name, numbers = line.split(":")
        if name.strip().startswith("pb") and name.strip().endswith("v"):
            total += int(numbers.split()[0])
    return total


def main() -> None:
    """Measure and write network.json."""
    os.environ.update(RAY)
    if sys.argv[1:2] == [INNER]:
        inside(json.loads(sys.argv[2]))
        return
    parser = arguments(__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--picks", type=int, default=4_000)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--mbit", type=int, nargs="+", default=[1000, 100])
    run = Run(__file__, __doc__, given := parser.parse_args())
    recipe = RECIPE.with_changes(image_size=given.image_size)
    features, groups = photographed(good_images(given.dataset), recipe)
    features, groups = features[: given.rows], groups[: given.rows]
    began = time.perf_counter()
    one = greedy_coreset(features, given.picks, groups=groups)
    results: dict[str, Any] = {
        "rows": len(features),
        "dims": features.shape[1],
        "picks": given.picks,
        "one_process_s": time.perf_counter() - began,
        "networks": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "features.npy", features)
        np.save(Path(folder) / "groups.npy", groups)
        np.savez(
            Path(folder) / "one.npz",
            centres=one.centres,
            radii=one.radii,
            to_others=one.min_distance_to_other_groups,
        )
        for n_nodes in given.nodes:
            for mbit in given.mbit:
                found = over(n_nodes, mbit, given, Path(folder), features.shape)
                results["networks"].append({"nodes": n_nodes, "mbit": mbit, **found})
    run.write(results)


def over(
    n_nodes: int, mbit: int, given: Namespace, folder: Path, shape: tuple[int, int]
) -> dict[str, Any]:
    """The selections over one network."""
    job = {"folder": str(folder), "picks": given.picks, "nodes": n_nodes}
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        ray_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pb")))
        stack.enter_context(network(n_nodes + 1, mbit))
        for number in range(n_nodes + 1):
            stack.enter_context(node(number, 8 * shape[0] * shape[1] // n_nodes, ray_folder))
            if number == 0:
                await_head()
            time.sleep(STAGGER_S)
        command = ("ip", "netns", "exec", "pb0", sys.executable, __file__, INNER, json.dumps(job))
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        before = link_bytes()
        time.sleep(IDLE_S)
        idle_bytes_per_s = (link_bytes() - before) / IDLE_S
        formulas = {"greedy": formula, "composable": formula_of_composable}
        for kind, said in formulas.items():
            before = link_bytes()
            process.stdin.write("go\n")
            process.stdin.flush()
            result = json.loads(process.stdout.readline())
            all_bytes = link_bytes() - before
            crossed = all_bytes - idle_bytes_per_s * result["seconds"]
            left_out = 4 * shape[0]  # distances, which are brought where they are asked for
            by_formula = crossed / (said(*shape, given.picks, n_nodes) + left_out)
            found[kind] = {**result, "bytes": round(crossed), "by_formula": by_formula}
        found["idle_bytes_per_s"] = round(idle_bytes_per_s)
    return found


def inside(job: dict[str, Any]) -> None:
    """The process that asks, in its namespace: selects whenever it is told to."""
    import ray

    from patchbank.cluster import compose_in_shards, select_in_shards

    folder = Path(job["folder"])
    features = np.load(folder / "features.npy", mmap_mode="r")
    groups, kept = np.load(folder / "groups.npy"), np.load(folder / "one.npz")
    ray.init(address=f"{NET}.1:{PORT}", log_to_driver=False, logging_level="ERROR")
    end = time.monotonic() + START_S
    while len(nodes := able_nodes()) < job["nodes"]:
        if time.monotonic() > end:
            sys.exit(f"expected {job['nodes']} nodes, got {len(nodes)}")
        time.sleep(0.5)
    shards = shards_on(nodes, folder / "features.npy", features.shape)
    parts = np.split(groups, cut(len(groups), len(nodes)))
    actors: list[Any] = []
    select_in_shards(shards, 64, groups=parts, actors=actors)  # which starts the processes
    print("ready", flush=True)
    for kind in (select_in_shards, compose_in_shards):
        sys.stdin.readline()
        began = time.perf_counter()
        coreset: Any = kind(shards, job["picks"], groups=parts, actors=actors)
        seconds = time.perf_counter() - began
        coreset = getattr(coreset, "coreset", coreset)
        found = {"seconds": seconds, "covering_radius": float(coreset.radii[-1])}
        if kind is select_in_shards:
            found["same"] = all(
                np.array_equal(kept[name], other)
                for name, other in (
                    ("centres", coreset.centres),
                    ("radii", coreset.radii),
                    ("to_others", coreset.min_distance_to_other_groups),
                )
            )
        print(json.dumps(found), flush=True)


def able_nodes() -> Sequence[str]:
    """Nodes with a core."""
    import ray

    return [one["NodeID"] for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]


if __name__ == "__main__":
    main()
