"""What does `serve --cluster local` pass on beside `serve`, and what does that cost its process?

    python benchmarks/speed/service_replicas.py PHOTOGRAPHS --detector FILE [--seconds 180]

PHOTOGRAPHS is a folder.  Eight clients send to both services by turns.  It needs the package ray.
Exit status 1 if a request failed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from contract import Run, arguments
from service import CLIENTS, ROUND_S, Service, clients, spread

WAYS = {"here": (), "replicas": ("--cluster", "local")}
LINK = "link_process"
WARM_UP_S = 30.0
"""Seconds of load in which replicas come."""


def cpu_s(service: Service) -> dict[str, float]:
    """Seconds of processors that the service has used so far, and its link to the cluster."""
    process = psutil.Process(service.process.pid)
    found = {"service": sum(process.cpu_times()[:2])}
    for child in process.children():
        if any(word.endswith(LINK) for word in child.cmdline()):
            found["link"] = sum(child.cpu_times()[:2])
    return found


def by_turns(services: dict[str, Service], files: Sequence[Path], seconds: float) -> dict[str, Any]:
    """Let clients send to one service after the other, again and again."""
    rates: dict[str, list[float]] = {name: [] for name in services}
    cpu_ms: dict[str, list[float]] = {}
    statuses: dict[str, int] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, service in services.items():
            before = cpu_s(service)
            said = clients(service, files, ROUND_S, CLIENTS)
            n = len(said["times_s"])
            rates[name].append(n / said["span_s"])
            for process, used in cpu_s(service).items():
                spent = 1000 * (used - before[process]) / n
                cpu_ms.setdefault(f"{name}: {process}", []).append(spent)
            for status, count in said["statuses"].items():
                statuses[status] = statuses.get(status, 0) + count
    shares = [a / b for a, b in zip(rates["replicas"], rates["here"], strict=True)]
    return {
        "statuses": statuses,
        "per_s": {name: spread(values) for name, values in rates.items()},
        "replicas_by_here": spread(shares),
        "cpu_ms_per_photograph": {name: spread(values) for name, values in cpu_ms.items()},
    }


def main() -> None:
    """Measure and write service_replicas.json."""
    parser = arguments(__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--files", type=int, default=40, help="photographs that are sent in turn")
    run = Run(__file__, __doc__, given := parser.parse_args())
    found = sorted(given.photographs.rglob("*.png")) + sorted(given.photographs.rglob("*.jpg"))
    files = random.Random(0).sample(found, min(given.files, len(found)))
    with tempfile.TemporaryDirectory() as folder:
        services = {
            name: Service(Path(folder) / name, given.detector, None, *options)
            for name, options in WAYS.items()
        }
        for service in services.values():
            clients(service, files, WARM_UP_S, CLIENTS)
        content: dict[str, Any] = {
            "bytes_of_photographs": sum(file.stat().st_size for file in files) / len(files),
            "start_s": {name: round(one.start_s, 1) for name, one in services.items()},
            **by_turns(services, files, given.seconds),
        }
        for service in services.values():
            service.stop()
    run.write(content)
    sys.exit(int(set(content["statuses"]) != {"200"}))


if __name__ == "__main__":
    main()
