"""Progress of long work: what a listener is told, and the listener that shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Tells a person how far long work has come."""

    def task(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Open a task; what it yields is called with the steps done since the last call."""
        ...

    def note(self, text: str) -> None:
        """Tell in one line what the person should know, though all is well."""
        ...


class NullProgress:
    """Shows nothing."""

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Accept the steps of a task, and show none."""
        yield lambda steps: None

    def note(self, text: str) -> None:
        """Say nothing."""
