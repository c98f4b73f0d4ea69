"""Parallel work on as many threads as this process has cores.

Idle threads sleep and never spin, so other programs and libraries get the cores.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TypeVar

from patchbank.errors import PatchbankError

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEMS_PER_CORE = 2  # running or finished: enough that no core waits for the consumer
PIXELS_PER_CORE = 16_000_000
MIN_PIXELS = 100_000_000  # about 1.5 GB with the copies that decoders make


_share: list[int] = []
"""Cores that somebody who shares out a machine has given to this process."""


def usable_cores() -> int:
    """Number of cores that this process may use, which can be fewer than the machine has."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min([cores, *_share])


def use_cores(cores: int) -> None:
    """Use no more cores than these in this process, whichever of the machine they are."""
    _share[:] = [cores]


def map_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    n_pixels: Callable[[Item], int],
    most_threads: int | None = None,
) -> Iterator[tuple[Item, Future[Result]]]:
    """Apply a function to items in parallel, one thread per core, and yield results in order.

    At most two items per core are read ahead of the one that is yielded, and fewer if they are
    large, to limit memory; the iterator of items is read in the caller's thread.

    After an error of the iterator of items, running calls are finished before it is raised.  When
    the iteration is abandoned, no further call starts, and nobody waits: calls that are running
    may outlive it.

    Args:
        function: called from several threads.
        items: any number.
        n_pixels: (item) -> its pixels, to limit memory; 0 if an item needs little.
        most_threads: where more of them gain nothing; None for one per core.

    Yields:
        Each item with its finished future, so that the caller handles the error of one item.

    Raises:
        PatchbankError: a forked process goes on with the iteration of its parent.

    >>> squares = map_in_order(lambda x: x * x, range(5), lambda x: 0)
    >>> [future.result() for _, future in squares]
    [0, 1, 4, 9, 16]
    """
    cores = min(usable_cores(), most_threads or usable_cores())
    max_pixels = max(MIN_PIXELS, PIXELS_PER_CORE * cores)
    waiting: deque[tuple[Item, int, Future[Result]]] = deque()
    pixels = 0  # of all items in `waiting`
    process = os.getpid()

    def first() -> tuple[Item, Future[Result]]:
        nonlocal pixels
        if os.getpid() != process:
            raise PatchbankError(
                "iteration: expected the process that began it, got one that was forked since; "
                "begin another one there"
            )
        item, size, future = waiting.popleft()
        pixels -= size
        future.exception()  # block until done; the caller's result() raises the error
        return item, future

    pool = ThreadPoolExecutor(cores, thread_name_prefix="patchbank-images")
    is_abandoned = False
    try:
        for item in items:
            size = n_pixels(item)
            while waiting and (
                len(waiting) == ITEMS_PER_CORE * cores or pixels + size > max_pixels
            ):
                yield first()
            waiting.append((item, size, pool.submit(function, item)))
            pixels += size
            if waiting[0][2].done():  # do not hold back results if items arrive slowly
                yield first()
        while waiting:
            yield first()
    except GeneratorExit:
        # The garbage collector may close this generator in any thread and at any line, also while
        # that thread holds a lock that a running call needs: to wait here could be for ever.
        is_abandoned = True
        raise
    finally:
        if os.getpid() == process:
            pool.shutdown(wait=not is_abandoned, cancel_futures=True)


def parallel_ranges(work: Callable[[int, int], None], n: int, size: int) -> None:
    """Call ``work(begin, end)`` in parallel on consecutive ranges of 0 to n, `size` long.

    The caller's thread works too and never waits for a range that has not started, so calls can be
    nested.  After an error no further range starts; it is raised once the running ones are done.

    >>> parts = []
    >>> parallel_ranges(lambda begin, end: parts.append((begin, end)), 5, 2)
    >>> sorted(parts)
    [(0, 2), (2, 4), (4, 5)]
    """
    begins = iter(
        range(0, n, size)
    )  # the iterator of a range is thread-safe: each number is given once

    failed = threading.Event()

    def work_until_done() -> None:
        try:
            for begin in begins:
                if failed.is_set():
                    return
                work(begin, min(begin + size, n))
        except BaseException:
            failed.set()
            raise

    helpers = min(usable_cores(), -(-n // size)) - 1
    if helpers < 1:
        work_until_done()
        return
    waiting = [_pool(os.getpid()).submit(work_until_done) for _ in range(helpers)]
    try:
        work_until_done()
    finally:
        started = [future for future in waiting if not future.cancel()]
        wait(started)
    for future in started:
        future.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The thread pool of this process; threads do not survive a fork."""
    return ThreadPoolExecutor(max(usable_cores() - 1, 1), thread_name_prefix="patchbank-parts")
