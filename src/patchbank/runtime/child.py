"""A process that works for the one which has started it: it ends with it, and steps back for it.

Nothing heavy is imported here: this runs before the libraries that count the cores.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

PARENT_GONE = 70
"""Exit status of a process whose parent is gone."""
NICENESS = 10
OUT_OF_MEMORY_SCORE = 700
"""Linux ends the process with the highest score first when memory is short; others have 0."""


def first_line() -> bytes:
    """Read one line of standard input; the rest of the stream belongs to `end_with_parent`."""
    line = b""
    while not line.endswith(b"\n"):
        some = os.read(0, 65536)
        if not some:
            raise SystemExit("expected a job on standard input, got its end")
        line += some
    return line


def end_with_parent() -> None:
    """End this process at once when the parent closes its standard input, or ends."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(PARENT_GONE)

    threading.Thread(target=wait, daemon=True).start()


def step_back() -> None:
    """Let all other processes have cores first, and memory longer."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE))
