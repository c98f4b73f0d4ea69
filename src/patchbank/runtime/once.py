"""Values that are built at their first use, once, whichever thread asks first."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

Value = TypeVar("Value")


class BuiltOnce(Generic[Value]):
    """A value that is built at its first use.

    Threads that ask while it is being built wait for it; afterwards nobody takes the lock, and
    nobody else ever does.  If building fails, the error is raised and the next call tries again.

    >>> squares = BuiltOnce(lambda: [n * n for n in range(4)])
    >>> squares() is squares()
    True
    """

    def __init__(
        self,
        build: Callable[[], Value],
        value: Value | None = None,
        *,
        anew_in_child: bool = False,
    ) -> None:
        """Keep how it is built.

        Args:
            build: builds the value.
            value: one that is there already; nothing is built then.
            anew_in_child: whether a forked process builds its own, because the value has threads,
                which are not there.
        """
        self._build = build
        self._value = value
        self._building = threading.Lock()
        if anew_in_child:
            _BUILT_ANEW.add(self)

    def __call__(self) -> Value:
        """The value."""
        if self._value is None:
            with self._building:
                if self._value is None:
                    self._value = self._build()
        return self._value

    def forget(self) -> None:
        """Forget the value without ending it: to end it would be to wait for its threads."""
        if self._value is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._value))
        self._value = None
        self._building = threading.Lock()


_BUILT_ANEW: WeakSet[BuiltOnce[Any]] = WeakSet()


def _forget_in_child() -> None:
    for built in list(_BUILT_ANEW):
        built.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
