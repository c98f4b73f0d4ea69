"""Decoding while the previous image is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4  # images decoded in advance; more would only hold memory
WORKERS = 2


def prefetched(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Future[Result]]]:
    """Apply a function to items in background threads, a few ahead, and yield them in order.

    Each comes with its finished future, so that one item's error is the caller's to handle.
    """
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    remaining = iter(items)
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="patchbank-decode") as pool:
        try:
            for item in islice(remaining, AHEAD):
                waiting.append((item, pool.submit(function, item)))
            while waiting:
                item, future = waiting.popleft()
                future.exception()  # wait for it, whatever comes
                for another in islice(remaining, 1):
                    waiting.append((another, pool.submit(function, another)))
                yield item, future
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
