"""Surroundings of a worker process: its cores, and the limit of its memory.

Nothing heavy is imported here: this runs before the libraries that count the cores.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from patchbank.runtime.machine import processor

if sys.platform != "win32":
    import resource

TOO_MUCH_MEMORY = 71
"""Exit status of a worker that has ended itself for that."""
CHECK_INTERVAL_S = 0.05  # between two checks of the memory


def available_cores() -> list[int]:
    """Numbers of the cores that this process may use; empty if the system does not report them."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def shares_of_cores(workers: int) -> list[list[int]]:
    """Cores of each worker; with more workers than cores, several share one."""
    cores = available_cores()
    n = len(cores)
    if workers >= n:
        return [[cores[i % n]] if n else [] for i in range(workers)]
    return [cores[i * n // workers : (i + 1) * n // workers] for i in range(workers)]


def hold_to(cores: Sequence[int]) -> None:
    """Pin all present and future threads of this process to cores, if the system can."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        return
    tasks = Path("/proc/self/task")
    threads = [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]
    for thread in threads:
        with suppress(ProcessLookupError):  # the thread has ended meanwhile
            os.sched_setaffinity(thread, cores)


def peak_memory() -> int | None:
    """Peak memory of this process in bytes; None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would start at the memory of the parent
        lines = status.read_text().splitlines()
        return next((int(n.split()[1]) * 1024 for n in lines if n.startswith("VmHWM:")), None)
    if sys.platform == "win32":
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def end_beyond(limit_bytes: int) -> None:
    """End this process when its peak memory exceeds a limit."""

    def check() -> None:
        while (peak_memory() or 0) <= limit_bytes:
            time.sleep(CHECK_INTERVAL_S)
        os._exit(TOO_MUCH_MEMORY)

    threading.Thread(target=check, daemon=True).start()


def machine(cores: Sequence[int]) -> dict[str, Any]:
    """Description of the machine that the figures were measured on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "worker_cores": len(cores) or os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
