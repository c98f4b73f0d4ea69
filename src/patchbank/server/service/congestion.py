"""When to come again: by the time that inspections take, and how many were refused just now."""

from __future__ import annotations

import math
import threading
import time

RECENT_S = 5.0
"""Time in which a refusal loses two thirds of its weight."""
SHARE = 0.1
"""Weight of the last inspection in the mean of their times."""
LONGEST_S = 10
CROWDED = 0.75
"""Share of the queue that a crowd may fill: a shorter wait for those that are let in."""


class Congestion:
    """Estimates the time until there is room, so that a crowd comes back spread over it.

    Senders that come back too early cost the time that inspections need.  And a queue that is
    always full gives nothing but waiting: in a crowd, it is shorter.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._lock = threading.Lock()
        self._mean_s = 0.1
        self._refused, self._since = 0.0, time.monotonic()

    def inspected(self, seconds: float) -> None:
        """Note the time of an inspection."""
        with self._lock:
            self._mean_s += SHARE * (seconds - self._mean_s)

    def refused(self, n_waiting: int, now: float | None = None) -> int:
        """Count a refusal.  -> seconds after which to come again.

        >>> congestion = Congestion(2)
        >>> congestion.refused(8), max(congestion.refused(8) for _ in range(200))
        (1, 10)
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            self._refused, self._since = self._recent(now) + 1, now
            wait_s = (n_waiting + self._refused) * self._mean_s / self._n_threads
        return min(max(math.ceil(wait_s), 1), LONGEST_S)

    def most_accepted(self, max_queue: int, now: float | None = None) -> int:
        """Photographs that may be under way: fewer once more were refused than the queue holds.

        >>> congestion = Congestion(2)
        >>> few = congestion.most_accepted(8)
        >>> for _ in range(10):
        ...     _ = congestion.refused(8)
        >>> few, congestion.most_accepted(8)
        (8, 6)
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            is_crowded = self._recent(now) > max_queue
        return math.ceil(CROWDED * max_queue) if is_crowded else max_queue

    def _recent(self, now: float) -> float:
        """Refusals, each weighted by how long ago it was."""
        return self._refused * math.exp(-max(now - self._since, 0) / RECENT_S)
