"""A semaphore that threads pass in the order in which they come."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class Turns:
    """A semaphore without overtaking: whoever leaves lets in the thread that waits longest.

    With `threading.Semaphore` a thread that has just come may pass before the one that was woken,
    and some photographs of a crowd wait much longer than others.
    """

    def __init__(self, n_at_once: int) -> None:
        """Let a number of threads in at once.

        >>> turns = Turns(1)
        >>> with turns:
        ...     print("alone")
        alone
        """
        self._lock = threading.Lock()
        self._n_free = n_at_once
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._n_free:
                self._n_free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._n_free += 1
