"""Progress of long work: the protocol of a listener, and the listener that ignores everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from patchbank.errors import ParameterError


@runtime_checkable
class Progress(Protocol):
    """Listens to the progress of long work: what is given as ``progress=``.

    Any object with these two methods will do.  They are called in the thread that was asked for the
    work, and an error in one of them ends it.

    >>> from contextlib import contextmanager
    >>> class Printed:
    ...     @contextmanager
    ...     def task(self, title, total):
    ...         print(f"{title}: {total}")
    ...         yield lambda steps: None
    ...
    ...     def note(self, text):
    ...         print(text)
    >>> isinstance(Printed(), Progress)
    True
    """

    def task(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Context of one task of so many steps; None where the number is not known.

        What it yields is called with the steps done since the last call.
        """
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


def listener(progress: Progress | None) -> Progress:
    """The listener that was given, or one that ignores everything.

    Raises:
        ParameterError: it is no listener.
    """
    if progress is None:
        return NullProgress()
    if isinstance(progress, type) or not isinstance(progress, Progress):
        raise ParameterError(
            "progress: expected an object with the methods task and note (patchbank.Progress), or "
            f"None, got {type(progress).__name__}"
        )
    return progress
