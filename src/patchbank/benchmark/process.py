"""A worker process and its surroundings: cores, memory, and the parent whose end is its own.

Nothing heavy is imported here: this runs before the libraries that look at the cores.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import resource

PARENT_GONE = 70
TOO_MUCH_MEMORY = 71
"""Exit statuses of a worker that ended itself."""
LOOK_S = 0.05  # between two looks at the memory


def available_cores() -> list[int]:
    """Numbers of the cores that this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def shares_of_cores(workers: int) -> list[list[int]]:
    """The cores of each worker; of more workers than cores, several have the same one."""
    cores = available_cores()
    n = len(cores)
    if workers >= n:
        return [[cores[i % n]] if n else [] for i in range(workers)]
    return [cores[i * n // workers : (i + 1) * n // workers] for i in range(workers)]


def hold_to(cores: Sequence[int]) -> None:
    """Keep all threads of this process, and those to come, on some cores, where the system can."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        return
    tasks = Path("/proc/self/task")
    threads = [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]
    for thread in threads:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(thread, cores)


def peak_memory() -> int | None:
    """The most bytes of memory that this process has held; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would begin with what the parent held
        lines = status.read_text().splitlines()
        return next((int(n.split()[1]) * 1024 for n in lines if n.startswith("VmHWM:")), None)
    if sys.platform == "win32":
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def end_with_parent() -> None:
    """End this process at once when the parent closes its side of standard input, or is gone."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(PARENT_GONE)

    _in_background(wait)


def end_beyond(limit_bytes: int) -> None:
    """End this process when it has held more memory than that."""

    def look() -> None:
        while (peak_memory() or 0) <= limit_bytes:
            time.sleep(LOOK_S)
        os._exit(TOO_MUCH_MEMORY)

    _in_background(look)


def machine(cores: Sequence[int]) -> dict[str, Any]:
    """What the figures of this process were measured on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "worker_cores": len(cores) or os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """The name of the processor, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((n.split(":")[1].strip() for n in lines if n.startswith("model name")), "unknown")


def _in_background(function: Callable[[], None]) -> None:
    threading.Thread(target=function, daemon=True).start()
