"""A number of places that are given in the order in which they are asked for."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class Turns:
    """A semaphore that nobody overtakes: a place that is given back goes to whoever waits longest.

    With `threading.Semaphore` a thread that has just come may take the place before the one that
    was woken for it, and some photographs of a crowd wait much longer than others.
    """

    def __init__(self, n_places: int) -> None:
        """Nobody has a place yet.

        >>> turns = Turns(1)
        >>> with turns:
        ...     print("alone")
        alone
        """
        self._lock = threading.Lock()
        self._n_free = n_places
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
