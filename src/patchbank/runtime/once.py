"""Values that are built at their first use, once, whichever thread asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class BuiltOnce(Generic[Value]):
    """A value that is built at its first use.

    Threads that ask while it is being built wait for it; afterwards nobody takes the lock, and
    nobody else ever does.  If building fails, the error is raised and the next call tries again.

    >>> squares = BuiltOnce(lambda: [n * n for n in range(4)])
    >>> squares() is squares()
    True
    """

    def __init__(self, build: Callable[[], Value], value: Value | None = None) -> None:
        """Keep how it is built; a `value` that is there already is never built."""
        self._build = build
        self._value = value
        self._building = threading.Lock()

    def __call__(self) -> Value:
        """The value."""
        if self._value is None:
            with self._building:
                if self._value is None:
                    self._value = self._build()
        return self._value
