"""Work on several images side by side, with the results in order and the memory bounded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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


def side_by_side(
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

    >>> squares = side_by_side(lambda x: x * x, range(5), lambda x: 0)
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

    pool = ThreadPoolExecutor(cores, thread_name_prefix="patchbank")
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
