"""The command by which this process was started, for documents that say how they were made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from patchbank.runtime.printable import printable

_COMMAND: ContextVar[str] = ContextVar("command", default="")


@contextmanager
def invoked(arguments: Sequence[str]) -> Iterator[None]:
    """Remember the arguments of the command line within the context."""
    token = _COMMAND.set(printable(shlex.join(["patchbank", *arguments])) if arguments else "")
    try:
        yield
    finally:
        _COMMAND.reset(token)


def command() -> str:
    """The command as it can be typed again; empty in a program that uses the package.

    >>> command()
    ''
    """
    return _COMMAND.get()
