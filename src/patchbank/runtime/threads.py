"""Work side by side on as many threads as there are cores for this process.

Threads that have nothing to do sleep; they never spin, so other programs, and other libraries of
this one, get the cores that are not needed here.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEMS_A_CORE = 2  # at work or waiting: enough that no core waits for the consumer
PIXELS_A_CORE = 16_000_000
LEAST_PIXELS = 100_000_000  # with the copies that decoders make, about 1.5 GB


def usable_cores() -> int:
    """How many cores this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    n_pixels: Callable[[Item], int],
) -> Iterator[tuple[Item, Future[Result]]]:
    """Apply a function to items in as many threads as there are cores, and yield them in order.

    Few items are taken ahead of the one that is yielded: two a core, and fewer where they are so
    large that memory would suffer; the iterator of items is read in the caller's thread.  When the
    iteration is given up, what is at work is finished and the rest is not begun.

    Args:
        function: safe to call from several threads.
        items: any number.
        n_pixels: of an item, which its memory grows with; 0 where that does not matter.

    Yields:
        Each item with its finished future, so that one item's error is the caller's to handle.

    >>> squares = map_in_order(lambda x: x * x, range(5), lambda x: 0)
    >>> [future.result() for _, future in squares]
    [0, 1, 4, 9, 16]
    """
    cores = usable_cores()
    most_pixels = max(LEAST_PIXELS, PIXELS_A_CORE * cores)
    waiting: deque[tuple[Item, int, Future[Result]]] = deque()
    pixels = 0  # of all that wait

    def first() -> tuple[Item, Future[Result]]:
        nonlocal pixels
        item, size, future = waiting.popleft()
        pixels -= size
        future.exception()  # wait for it, whatever comes
        return item, future

    pool = ThreadPoolExecutor(cores, thread_name_prefix="patchbank-images")
    try:
        for item in items:
            size = n_pixels(item)
            while waiting and (len(waiting) == ITEMS_A_CORE * cores or pixels + size > most_pixels):
                yield first()
            waiting.append((item, size, pool.submit(function, item)))
            pixels += size
            if waiting[0][2].done():  # items that come slowly need not wait for more to come
                yield first()
        while waiting:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)


def parallel_ranges(work: Callable[[int, int], None], n: int, size: int) -> None:
    """Call ``work(begin, end)`` for parts of 0 to n, `size` long, side by side on all cores.

    The caller works too, and waits for no thread that has not begun: so a part may itself call
    this.  After an error no more parts are begun, and it is raised when those at work are through.

    >>> parts = []
    >>> parallel_ranges(lambda begin, end: parts.append((begin, end)), 5, 2)
    >>> sorted(parts)
    [(0, 2), (2, 4), (4, 5)]
    """
    begins = iter(range(0, n, size))  # a range gives each number once, to whichever thread asks

    failed = threading.Event()

    def some() -> None:
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
        some()
        return
    waiting = [_pool(os.getpid()).submit(some) for _ in range(helpers)]
    try:
        some()
    finally:
        begun = [future for future in waiting if not future.cancel()]
        wait(begun)
    for future in begun:
        future.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The pool of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(max(usable_cores() - 1, 1), thread_name_prefix="patchbank-parts")
