"""Fits on a cluster whose processes are killed at random moments: do they end as undisturbed ones?

    python benchmarks/quality/cluster_kills.py ../shared/data/mtd
        [--photographs 60] [--workers 10] [--drivers 5]

A cluster of Ray with two nodes of one core each, which are processes of this machine.  The detector
file of a fit on this machine alone is what all others are compared with, byte by byte: an
undisturbed fit on the cluster; fits in which a process that works for it is killed (SIGKILL) at a
random moment; fits whose driver is killed at a random moment and begun again with its checkpoint;
and one whose object store has half of the room that the features need.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from ray._private.internal_api import memory_summary
from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import PatchCore
from patchbank.datasets import good_images

SIZE = {"backbone": "efficientnet_lite0", "image_size": 224, "bank_rows": 1000}
SMALL_STORE = 80 << 20
"""Bytes of the smallest object store that Ray allows."""


@contextmanager
def cluster_of(n_nodes: int, store_bytes: int) -> Iterator[str]:
    """A cluster to which this process is connected; -> its address."""
    os.environ.update(RAY_worker_niceness="0")  # else whatever else runs here takes their cores
    node = {"num_cpus": 1, "object_store_memory": store_bytes}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(n_nodes - 1):
        cluster.add_node(**node)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


def fitted(paths: list[Path], file: Path, recipe: PatchCore, **where: Any) -> bytes:
    """The file of a fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recipe.fit(paths, **where).save(file)
    return file.read_bytes()


def timed(call: Callable[[], bytes]) -> tuple[bytes, float]:
    """What a call returns, and its seconds."""
    began = time.perf_counter()
    found = call()
    return found, time.perf_counter() - began


def workers() -> list[psutil.Process]:
    """Processes of this cluster that work, or hold a shard."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            name = process.cmdline()[0]
        except (psutil.Error, IndexError):
            continue
        if name.startswith(("ray::read_block", "ray::ShardActor", "ray::_sums", "ray::_taken")):
            found.append(process)
    return found


def kill_one(after_s: float, rng: np.random.Generator, is_over: threading.Event) -> dict[str, Any]:
    """Kill a process that works, at that time or as soon after it as there is one."""
    began = time.perf_counter()
    time.sleep(after_s)
    while not is_over.is_set():
        able = workers()
        if able:
            chosen = able[rng.integers(len(able))]
            name = chosen.cmdline()[0].removeprefix("ray::")
            os.kill(chosen.pid, signal.SIGKILL)
            return {"after_s": round(time.perf_counter() - began, 1), "killed": name}
        time.sleep(0.05)
    return {"after_s": None, "killed": None}


def kill_workers(
    fit: Callable[[], bytes], one: bytes, seconds: float, times: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Fits in each of which a process is killed."""
    rows = []
    for after_s in rng.uniform(0, 0.9 * seconds, times).tolist():
        told: dict[str, Any] = {}
        is_over = threading.Event()

        def kill(told: Any = told, after_s: float = after_s, is_over: Any = is_over) -> None:
            told.update(kill_one(after_s, rng, is_over))

        thread = threading.Thread(target=kill)
        thread.start()
        found, took_s = timed(fit)
        is_over.set()
        thread.join()
        rows.append({**told, "fit_s": round(took_s, 1), "same": found == one})
        print(rows[-1], flush=True)
    return rows


def kill_drivers(
    command: list[str], folder: Path, one: bytes, times: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Fits in processes of their own that are killed, and begun again."""
    rows, seconds = [], None
    for number in range(times + 1):
        out, kept = folder / f"{number}.patchbank", folder / f"checkpoint-{number}"
        called = [*command, "--out", str(out), "--checkpoint", str(kept)]
        began = time.perf_counter()
        driver = subprocess.Popen(called, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if seconds is None:  # the first one is left alone
            driver.wait()
            seconds = time.perf_counter() - began
            rows.append({"killed_after_s": None, "fit_s": round(seconds, 1)})
        else:
            after_s = float(rng.uniform(0.2, 0.95) * seconds)
            time.sleep(after_s)
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            blocks = len(list(kept.glob("*.block")))
            began = time.perf_counter()
            subprocess.run(called, check=True, capture_output=True)
            rows.append(
                {
                    "killed_after_s": round(after_s, 1),
                    "blocks_kept": blocks,
                    "again_s": round(time.perf_counter() - began, 1),
                }
            )
        rows[-1]["same"] = out.read_bytes() == one
        print(rows[-1], flush=True)
    return rows


def with_half_the_memory(paths: list[Path], folder: Path) -> dict[str, Any]:
    """A fit whose object store has room for half of the features."""
    recipe = PatchCore(**{**SIZE, "image_size": 448})
    one = fitted(paths, folder / "large.patchbank", recipe)
    with cluster_of(1, SMALL_STORE) as address:
        found, seconds = timed(
            lambda: fitted(paths, folder / "spilled.patchbank", recipe, cluster=address)
        )
        spilled = [line for line in memory_summary(stats_only=True).split("\n") if "Spill" in line]
    return {
        "photographs": len(paths),
        "store_bytes": SMALL_STORE,
        "fit_s": round(seconds, 1),
        "spilled": spilled,
        "same": found == one,
    }


def main() -> None:
    """Kill, compare and write cluster_kills.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--photographs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--drivers", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    told = environment()
    rng = np.random.default_rng(0)
    good = [Path(str(image)) for image in good_images(given.dataset)]
    paths, recipe = good[: given.photographs], PatchCore(**SIZE)
    options = [f for name, value in SIZE.items() for f in (f"--{name.replace('_', '-')}", value)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = fitted(paths, folder / "one.patchbank", recipe)
        with cluster_of(2, SMALL_STORE) as address:

            def fit() -> bytes:
                return fitted(paths, folder / "two.patchbank", recipe, cluster=address)

            found, seconds = timed(fit)
            results = {"undisturbed": {"fit_s": round(seconds, 1), "same": found == one}}
            print(results, flush=True)
            results["workers"] = kill_workers(fit, one, seconds, given.workers, rng)
            command = [
                *(sys.executable, "-W", "ignore", "-c"),
                *("from patchbank.cli.app import main; main()", "fit", *map(str, paths)),
                *(*map(str, options), "--cluster", address),
            ]
            results["drivers"] = kill_drivers(command, folder, one, given.drivers, rng)
        results["half_the_memory"] = with_half_the_memory(good[:240], folder)
    record = {
        "command": " ".join(["python", "benchmarks/quality/cluster_kills.py", *sys.argv[1:]]),
        "environment": told,
        "settings": {"photographs": len(paths), **SIZE},
        "results": results,
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
