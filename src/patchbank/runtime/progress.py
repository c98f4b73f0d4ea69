"""Progress of long work: the protocol of a listener, and the listener that ignores everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows the progress of long work."""

    def task(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Context of one task; call what it yields with the steps done since the last call."""
        ...

    def note(self, text: str) -> None:
        """Show one line of information that is not an error."""
        ...


class NullProgress:
    """Ignores everything."""

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Accept the steps of a task and ignore them."""
        yield lambda steps: None

    def note(self, text: str) -> None:
        """Ignore the line."""
