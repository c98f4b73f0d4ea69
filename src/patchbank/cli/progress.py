"""Progress bars on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from patchbank.runtime.printable import printable


class ConsoleProgress:
    """Draws a bar a task on standard error, and removes it at the end of the task."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a task of `total` steps; a total of None is not known."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        bar = Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not sys.stderr.isatty(),
            redirect_stdout=sys.stdout.isatty(),  # a file or pipe gets its lines untouched
        )
        with bar:
            task = bar.add_task(title, total=total)
            yield lambda steps: bar.advance(task, steps)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(
            printable(f"note: {text}"), markup=False, highlight=False, soft_wrap=True
        )
