"""How much memory this process may still take, and room for features where it is too little."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from patchbank.runtime.scratch import allocate_in_file, scratch_folder
from patchbank.types import Features

CODES = 1.25  # of the features, with the codes of a selection
BYTES_A_PATCH = 130  # that a fit notes beside: where it comes from, gaps, distances to others
RESERVE_BYTES = 600_000_000  # for the candidates of a selection, and the rest of the program
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Memory that may still be taken: of the machine, the container and the process."""
    import psutil

    limits = [psutil.virtual_memory().available, *_left_to_control_groups()]
    if sys.platform != "win32":
        import resource

        used = psutil.Process().memory_info()
        for kind, taken in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, used.rss)):
            limit, _ = resource.getrlimit(kind)
            if limit != resource.RLIM_INFINITY:
                limits.append(limit - taken)
    return max(min(limits), 0)


def room_for_features(shape: tuple[int, int], note: Callable[[str], None]) -> Features:
    """Room for features (n, d): in memory where they and their selection fit, else in a file.

    Args:
        shape: of the features.
        note: told in one line when it is a file.

    Raises:
        DataError: the disk has too little room as well.
    """
    n_bytes, free = shape[0] * shape[1] * 4, free_bytes()
    if n_bytes * CODES + shape[0] * BYTES_A_PATCH + RESERVE_BYTES <= free:
        return np.empty(shape, dtype=np.float32)
    folder = scratch_folder()
    room: Features = allocate_in_file(shape, np.float32, folder)
    note(
        f"features of up to {_gigabytes(n_bytes)} go to a file in {folder}, as only "
        f"{_gigabytes(free)} of memory are free: the same bank, in more time"
    )
    return room


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"


def _left_to_control_groups() -> Iterator[int]:
    """What the container's limits, and those around it, leave."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = CONTROL_GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = CONTROL_GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *(p for p in group.parents if p.is_relative_to(root))):
            left = _left_to(folder, *names)
            if left is not None:
                yield left


def _left_to(group: Path, limit_name: str, usage_name: str, cached_name: str) -> int | None:
    """Of one group; None where it sets no limit."""
    try:
        limit = int((group / limit_name).read_text())
        usage = int((group / usage_name).read_text())
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return limit - usage + int(counts.get(cached_name, 0))  # pages of files are given back
