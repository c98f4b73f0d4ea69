"""Work in a process of its own: niced, ended within a moment, and its memory given back.

    python -m patchbank.server.service.child_work

It gets one line of JSON, and answers lines of JSON: ``task`` and ``done`` are its progress.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from patchbank.errors import DataError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import json_text, one_line
from patchbank.server.service.jobs import Job

COMMAND = (sys.executable, "-m", "patchbank.server.service.child_work")
CHECK_S = 0.1
"""Time between two questions whether the job was cancelled."""
LAST_S = 5.0
"""Time that a process has to end after its last line."""
LONGEST_LINE = 300
"""Characters of the last words of a process that are passed on."""


def run_in_child(job: Job, work: str, terms: Mapping[str, Any]) -> Any:
    """Do the work of a job in a process, which is ended where the job is cancelled.

    Args:
        job: whose progress it makes.
        work: name of a function of `child_work.WORK`.
        terms: JSON value that it gets.

    Returns:
        The JSON value that it has returned.

    Raises:
        Cancelled: somebody has cancelled the job.
        DataError: it says why it could not, or has ended without an answer.
    """
    with tempfile.TemporaryFile() as errors, _started(errors) as process:
        assert process.stdin is not None
        with suppress(OSError):  # it has ended already, and says why
            process.stdin.write(json_text({"work": work, "terms": terms}).encode() + b"\n")
            process.stdin.flush()  # it stays open: the process ends when it is closed
        answer: Any = None
        for line in _lines(process, job):
            answer = _followed(json.loads(line), job) or answer
        status = process.wait()
        if answer is None:
            errors.seek(0)
            raise _crash(work, status, errors.read().decode(errors="replace"))
    if "error" in answer:
        raise DataError(one_line(str(answer["error"])))
    return answer["result"]


@contextmanager
def _started(errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its work, and is ended when this context is left."""
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "PYTHONSAFEPATH": "1"},  # no import from the current folder
        start_new_session=True,  # Ctrl-C reaches only the service, which ends it
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # it has ended without reading all
                    stream.close()


def _lines(process: subprocess.Popen[bytes], job: Job) -> Iterator[bytes]:
    """Lines that a process writes until its end.

    Raises:
        Cancelled: the job was cancelled meanwhile.
    """
    found: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        with suppress(ValueError):  # the stream was closed
            for line in process.stdout:
                found.put(line)
        found.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while True:
            job.check()
            with suppress(queue.Empty):
                line = found.get(timeout=CHECK_S)
                if line is None:
                    with suppress(subprocess.TimeoutExpired):  # its status says why it ended
                        process.wait(LAST_S)
                    return
                yield line
    finally:
        process.kill()
        reader.join()


def _followed(said: dict[str, Any], job: Job) -> dict[str, Any] | None:
    """Show the progress that a line says.  -> the line, if it is the answer."""
    if "task" in said:
        job.title, job.n_done, job.n_total = said["task"], 0, said["total"]
    elif "done" in said:
        job.n_done += said["done"]
    elif "note" in said:
        job.note(said["note"])
    else:
        return said
    return None


def _crash(work: str, status: int, printed: str) -> DataError:
    """The error for a process that has ended without an answer."""
    if printed:
        LOGGER.error("%s: its process has printed:\n%s", work, printed.rstrip())
    last = next((line for line in reversed(printed.splitlines()) if line.strip()), "nothing")
    ended = (
        f"ended by signal {-status}; is memory short?"
        if status < 0
        else f"ended with status {status}: {one_line(last)[:LONGEST_LINE]}"
    )
    return DataError(f"{work}: expected its process to answer, got that it was {ended}")
