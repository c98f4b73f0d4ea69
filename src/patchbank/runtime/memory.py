"""Free memory of this process, and storage for features that do not fit into it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from patchbank.runtime.scratch import allocate_in_file, scratch_folder
from patchbank.types import Features

QUANTIZED_FACTOR = 1.25  # size of features plus their int8 copy, relative to the features
BYTES_PER_PATCH = 130  # bookkeeping of a fit: origin, min-distances, leave-one-out distance
RESERVE_BYTES = 600_000_000  # for the candidates of a selection and the rest of the program
CONTROL_GROUPS = Path("/sys/fs/cgroup")
_SHARES: list[int] = []
"""Memory that this process shall keep within, at most one number."""


def hold_to_memory(n_bytes: int) -> None:
    """Have `free_bytes` count this much memory as the limit of this process.

    Features beyond it go to a file; it ends nothing.
    """
    _SHARES[:] = [n_bytes]


def free_bytes() -> int:
    """Memory that this process can still allocate within machine, container and process limits."""
    import psutil

    limits = [psutil.virtual_memory().available, *_free_in_control_groups()]
    limits += [share - psutil.Process().memory_info().rss for share in _SHARES]
    if sys.platform != "win32":
        import resource

        used = psutil.Process().memory_info()
        for kind, in_use in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, used.rss)):
            limit, _ = resource.getrlimit(kind)
            if limit != resource.RLIM_INFINITY:
                limits.append(limit - in_use)
    return max(min(limits), 0)


def room_for_features(
    shape: tuple[int, int], note: Callable[[str], None], most_bytes: int | None = None
) -> Features:
    """Allocate features (n, d): in memory if they and their selection fit, else in a file.

    Args:
        shape: of the features.
        note: called with one line if a file is used.
        most_bytes: that features in memory may take; None for all that is free.

    Raises:
        DataError: the disk has too little space as well.
    """
    n_bytes, free = shape[0] * shape[1] * 4, free_bytes()
    is_few = most_bytes is None or n_bytes <= most_bytes
    fits = n_bytes * QUANTIZED_FACTOR + shape[0] * BYTES_PER_PATCH + RESERVE_BYTES <= free
    if is_few and fits:
        return np.empty(shape, dtype=np.float32)
    folder = scratch_folder()
    features: Features = allocate_in_file(shape, np.float32, folder)
    reason = f"as only {_gigabytes(free)} of memory are free"
    if fits and most_bytes is not None:
        reason = f"as more than {_gigabytes(most_bytes)} of them are not kept in memory"
    note(
        f"features of up to {_gigabytes(n_bytes)} go to a file in {folder}, {reason}: "
        "the bank is the same, but takes more time"
    )
    return features


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"


def _free_in_control_groups() -> Iterator[int]:
    """Memory that each enclosing control group (container) still allows."""
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
            free = _free_in(folder, *names)
            if free is not None:
                yield free


def _free_in(group: Path, limit_name: str, usage_name: str, cached_name: str) -> int | None:
    """Memory that one control group still allows; None if it sets no limit."""
    try:
        limit = int((group / limit_name).read_text())
        usage = int((group / usage_name).read_text())
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or a limit of "max"
        return None
    return limit - usage + int(counts.get(cached_name, 0))  # cached pages of files are reclaimed
