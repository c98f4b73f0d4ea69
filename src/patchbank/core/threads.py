"""One pool of threads for the whole process, no larger than the cores that it may use.

Threads that have nothing to do sleep; they never spin, so other programs, and other libraries of
this one, get the cores that are not needed here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # what was left to it by taskset or a container
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parts(work: Callable[[int, int], None], n: int, size: int) -> None:
    """Call ``work(begin, end)`` for parts of 0 to n, `size` long, side by side on all cores.

    The caller works too, and waits for no thread that has not begun: so a part may itself call
    this.  The first error of a part is raised when those that have begun are through.

    >>> parts = []
    >>> in_parts(lambda begin, end: parts.append((begin, end)), 5, 2)
    >>> sorted(parts)
    [(0, 2), (2, 4), (4, 5)]
    """
    begins = iter(range(0, n, size))  # a range gives each number once, to whichever thread asks

    def some() -> None:
        for begin in begins:
            work(begin, min(begin + size, n))

    helpers = min(cores(), -(-n // size)) - 1
    if helpers < 1:
        some()
        return
    waiting = [_pool(os.getpid()).submit(some) for _ in range(helpers)]
    try:
        some()
    finally:
        for future in waiting:
            if not future.cancel():
                future.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The pool of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(max(cores() - 1, 1), thread_name_prefix="patchbank")
