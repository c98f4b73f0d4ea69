"""Whole processes, timed from start to end, with their peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "patchbank")
"""The command line of the environment that runs the benchmark."""


def run_process(command: Sequence[str]) -> float:
    """Run a command to its end, its output dropped.  -> peak memory in MB.

    The peak of a child is at least what this process held when it started it.

    Raises:
        SystemExit: the command failed; its messages are printed.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            sys.exit(f"{' '.join(command)}: expected exit 0, got {process.returncode}: {said}")
    return usage.ru_maxrss * 1024 / 1e6
