"""How fast does the service start and answer, next to `predict`, and what is lost by kill -9?

    python benchmarks/speed/service.py PHOTOGRAPHS --detector FILE [--seconds 300] [--crowd-s 60]
        [--kills 50] [--databases sqlite,postgresql] [--parts start,batches,clients,crowd,kills]

PHOTOGRAPHS is a folder.  Clients run in a process of their own on the same machine.  Exit status 1
if an inspection was lost, recorded twice under a key, or a request failed that should not.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tests.server.real_servers import running_postgres
from tests.server.services import Running

from contract import Run, arguments
from patchbank.detector.loading import load

HERE = Path(__file__).parent
PARTS = ("start", "batches", "clients", "crowd", "kills")
CLIENTS, CROWD = 8, 200
ROUND_S = 10.0
"""Seconds of `predict`, then of the service, by turns."""
LONGEST_START_S = 300.0
DELIVERED_S = 120.0
"""Seconds in which the outbox has to be empty after the last start."""


class Service(Running):
    """`patchbank serve` as a process of its own."""

    def __init__(self, data: Path, detector: Path, database: str | None, *options: str) -> None:
        begin = time.perf_counter()
        kept_in = () if database is None else ("--database", database)
        super().__init__(data, detector, *options, *kept_in, start_s=LONGEST_START_S)
        assert self.http.get("/ready").status_code == 200
        self.start_s = time.perf_counter() - begin
        self._monitored = psutil.Process(self.process.pid)

    @property
    def memory_mb(self) -> float:
        """Resident memory."""
        return float(self._monitored.memory_info().rss / 1e6)


def clients(service: Service, files: Sequence[Path], seconds: float, n: int, **terms: Any) -> Any:
    """Let clients send photographs.  -> what they report."""
    job = {
        "port": service.port,
        "files": [str(file) for file in files],
        "clients": n,
        "seconds": seconds,
        "keys": False,
        "keeps_on": False,
        "label": "",
        **terms,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "service_clients.py")],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def starts(detector: Path, n: int = 7) -> dict[str, Any]:
    """Start again and again with the same data."""
    times, memories = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n + 1):
            service = Service(Path(folder), detector, None)
            time.sleep(1)
            times.append(service.start_s)
            memories.append(service.memory_mb)
            service.stop()
    return {
        "first_start_s": times[0],
        "start_to_ready_s": spread(times[1:]),
        "idle_memory_mb": spread(memories[1:]),
    }


def batches(detector: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Photographs each second: one by one, in threads of one photograph, and in batches."""
    opened = load(detector)
    contents = [file.read_bytes() for file in files[:32]]
    found: dict[str, list[float]] = {"one by one": [], "threads": []}
    found |= {f"batches of {n}": [] for n in (2, 4, 8)}

    def timed(name: str, work: Any) -> None:
        begin = time.perf_counter()
        work()
        found[name].append(len(contents) / (time.perf_counter() - begin))

    list(opened.predict(contents[:4]))
    cores = len(os.sched_getaffinity(0))
    for _ in range(5):
        timed("one by one", lambda: [opened.predict(content) for content in contents])
        with ThreadPoolExecutor(cores) as pool:
            timed("threads", lambda: list(pool.map(opened.predict, contents)))
        for n in (2, 4, 8):
            parts = [contents[at : at + n] for at in range(0, len(contents), n)]
            timed(
                f"batches of {n}",
                lambda: [list(opened.predict(part)) for part in parts],  # noqa: B023
            )
    return {name: spread(values) for name, values in found.items()}


def throughput(
    detector: Path, files: Sequence[Path], seconds: float, database: str | None
) -> dict[str, Any]:
    """Eight clients, by turns with `Detector.predict` over the same files."""
    opened = load(detector)
    contents = [file.read_bytes() for file in files]
    one, all_cores, service_rates, memories = [], [], [], []
    times: list[float] = []
    statuses: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), detector, database)
        clients(service, files, 2, CLIENTS)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            one.append(_rate(lambda: [opened.predict(c) for c in contents], len(contents)))
            all_cores.append(_rate(lambda: list(opened.predict(contents)), len(contents)))
            said = clients(service, files, ROUND_S, CLIENTS)
            service_rates.append(len(said["times_s"]) / said["span_s"])
            times += said["times_s"]
            for status, n in said["statuses"].items():
                statuses[status] = statuses.get(status, 0) + n
            memories.append(service.memory_mb)
        recorded = service.http.get("/v1/statistics", params={"by": "product"}).json()["groups"][0]
        service.stop()
    return {
        "statuses": statuses,
        "recorded": sum(recorded[name] for name in ("good", "anomalous", "unread")),
        "predict_one_by_one_per_s": spread(one),
        "predict_list_per_s": spread(all_cores),
        "service_per_s": spread(service_rates),
        "share_of_predict": spread([s / p for s, p in zip(service_rates, one, strict=True)]),
        "share_of_predict_list": spread(
            [s / p for s, p in zip(service_rates, all_cores, strict=True)]
        ),
        "p50_s": float(np.quantile(times, 0.5)),
        "p99_s": float(np.quantile(times, 0.99)),
        "memory_mb": [round(memory, 1) for memory in memories],
    }


def _rate(work: Any, n: int) -> float:
    begin = time.perf_counter()
    work()
    return n / (time.perf_counter() - begin)


def crowd(detector: Path, files: Sequence[Path], seconds: float) -> dict[str, Any]:
    """Two hundred clients at once, between two times of a single one."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), detector, None)
        clients(service, files, 2, 1)
        before = clients(service, files, ROUND_S, 1)
        said = clients(service, files, seconds, CROWD)
        peak_mb = service.memory_mb
        after = clients(service, files, ROUND_S, 1)
        status = service.stop()
    p50 = statistics.median(before["times_s"])
    p99 = float(np.quantile(said["times_s"], 0.99))
    return {
        "statuses": said["statuses"],
        "hanging": said["hanging"],
        "one_client_p50_s": p50,
        "accepted_p50_s": statistics.median(said["times_s"]),
        "accepted_p99_s": p99,
        "p99_by_p50_of_one": p99 / p50,
        "one_client_after_p50_s": statistics.median(after["times_s"]),
        "memory_mb": peak_mb,
        "exit_status": status,
    }


def kills(
    detector: Path, files: Sequence[Path], n_kills: int, database: str | None
) -> dict[str, Any]:
    """Kill it at random moments under load; then look for all that was acknowledged."""
    moments = random.Random(0)
    acknowledged: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder, receiver() as (address, received):
        data = Path(folder)
        options = ("--keep-good", "1", "--channel", f"webhook:{address}")
        for number in range(n_kills):
            service = Service(data, detector, database, *options)
            reports: list[Any] = []
            label = f"kill{number}"
            sender = threading.Thread(
                target=lambda service=service, label=label, reports=reports: reports.append(
                    clients(service, files, 30, CLIENTS, keys=True, label=label)
                )
            )
            sender.start()
            time.sleep(moments.uniform(1, 7))
            service.kill()  # as a power failure, but for the system's own buffers
            sender.join()
            acknowledged |= {key: one for one, key in reports[0]["acknowledged"]}
        service = Service(data, detector, database, *options)
        found = _checked(service, acknowledged)
        end = time.monotonic() + DELIVERED_S
        while len(set(received)) < found["recorded"] and time.monotonic() < end:
            time.sleep(0.2)
        service.stop()
    first = list(dict.fromkeys(received))
    return {
        "kills": n_kills,
        "acknowledged": len(acknowledged),
        **found,
        "not_delivered": found["recorded"] - len(first),
        "delivered_twice": len(received) - len(first),
        "out_of_order": sum(b < a for a, b in pairwise(first)),
    }


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, list[int]]]:
    """Receive webhooks.  -> the address, and the inspections in the order in which they came."""
    received: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Note the inspection."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(json.loads(body)["id"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["PATCHBANK_WEBHOOK_SECRET"] = "secret of the benchmark"
    try:
        yield f"http://127.0.0.1:{server.server_port}/", received
    finally:
        server.shutdown()


def _checked(service: Service, acknowledged: dict[str, int]) -> dict[str, int]:
    """Compare what was acknowledged with what is on record."""
    recorded: dict[str, int] = {}
    doubled = without_photograph = 0
    for one in service.on_record():
        doubled += one["idempotency_key"] in recorded
        recorded[one["idempotency_key"]] = one["id"]
    lost = sum(recorded.get(key) != number for key, number in acknowledged.items())
    for number in acknowledged.values():
        path = f"/v1/inspections/{number}/photograph"
        without_photograph += service.http.get(path).status_code != 200
    return {
        "recorded": len(recorded),
        "lost": lost,
        "doubled": doubled,
        "without_photograph": without_photograph,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


@contextlib.contextmanager
def databases(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A function that makes the URL of a new database, by the name of its kind."""
    makers: dict[str, Any] = {}
    if "sqlite" in names:
        makers["sqlite"] = lambda: None
    if "postgresql" not in names:
        yield makers
        return
    with running_postgres() as server:
        yield makers | {"postgresql": server.new_database}


def main() -> None:
    """Measure and write service.json."""
    parser = arguments(__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--crowd-s", type=float, default=60)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--files", type=int, default=40, help="photographs that are sent in turn")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if set(parts) != set(PARTS) and given.out is None:
        parser.error("--parts: expected --out with it, as service.json has all parts")
    run = Run(__file__, __doc__, given)
    found = sorted(given.photographs.rglob("*.png")) + sorted(given.photographs.rglob("*.jpg"))
    files = random.Random(0).sample(found, min(given.files, len(found)))
    content: dict[str, Any] = {"detector_mb": given.detector.stat().st_size / 1e6}
    if "start" in parts:
        content["start"] = starts(given.detector)
    if "batches" in parts:
        content["batches"] = batches(given.detector, files)
    with databases(given.databases.split(",")) as made:
        for name, new in made.items():
            if "clients" in parts:
                content[f"clients_{name}"] = throughput(given.detector, files, given.seconds, new())
            if "kills" in parts:
                content[f"kills_{name}"] = kills(given.detector, files, given.kills, new())
    if "crowd" in parts:
        content["crowd"] = crowd(given.detector, files, given.crowd_s)
    run.write(content)
    sys.exit(_failures(content))


def _failures(content: dict[str, Any]) -> int:
    """Whether something went wrong that must not."""
    bad = 0
    for name, part in content.items():
        if name.startswith("clients_"):
            bad += set(part["statuses"]) != {"200"}
        elif name.startswith("kills_"):
            bad += part["lost"] + part["doubled"] + part["without_photograph"]
            bad += part["not_delivered"] + part["out_of_order"]
        elif name == "crowd":
            bad += part["hanging"] + (not set(part["statuses"]) <= {"200", "429"})
    return int(bad > 0)


if __name__ == "__main__":
    main()
