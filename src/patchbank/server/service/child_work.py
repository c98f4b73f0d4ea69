"""The process of a job: a JSON line on standard input, JSON lines on standard output.

Standard input stays open: when it closes, the service is gone, and so is this process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from patchbank.errors import PatchbankError
from patchbank.runtime.child import end_with_parent, first_line, step_back

LEAST_S = 0.1
"""Time between two lines about the steps of a task."""


class ProgressLines:
    """The progress of the work as lines; it is a `patchbank.runtime.progress.Progress`."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Context of one task; call what it yields with the steps done since the last call."""
        self.say(task=title, total=total)
        waiting, last = 0, time.monotonic()

        def step(steps: int) -> None:
            nonlocal waiting, last
            waiting += steps
            if time.monotonic() - last >= LEAST_S:
                self.say(done=waiting)
                waiting, last = 0, time.monotonic()

        yield step
        self.say(done=waiting)

    def note(self, text: str) -> None:
        """Say one line of information."""
        self.say(note=text)

    def say(self, **content: Any) -> None:
        """Write one line."""
        self._out.write(json.dumps(content) + "\n")
        self._out.flush()


def _work_of(name: str) -> Callable[[Mapping[str, Any], ProgressLines], Any]:
    """The function of some work; heavy imports happen in it, after this process has stepped back.

    Raises:
        KeyError: there is none of that name.
    """
    from patchbank.server.service.setups import work

    known = {
        "check": work.check,
        "fit": work.fit,
        "compare": work.compare,
        "inspect": work.inspect,
    }
    return known[name]


def main() -> None:
    """Do the work, and answer its result, or its error in one line."""
    request = json.loads(first_line())
    end_with_parent()
    step_back()
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries may print; the lines must stay alone on their stream
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        lines = ProgressLines(out)
        try:
            lines.say(result=_work_of(request["work"])(request["terms"], lines))
        except PatchbankError as error:
            lines.say(error=str(error))
        except OSError as error:
            lines.say(error=f"{request['work']}: expected to read and write, got: {error}")
        except MemoryError as error:
            lines.say(error=f"expected enough memory, got: {error or 'none left'}")


if __name__ == "__main__":
    main()
