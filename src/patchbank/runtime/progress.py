"""Progress that nobody sees: the default of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Accept the steps of a task, and show none."""
        yield lambda steps: None

    def note(self, text: str) -> None:
        """Say nothing."""
