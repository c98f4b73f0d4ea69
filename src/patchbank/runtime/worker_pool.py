"""Pool of worker processes, each on its own cores; none outlives its parent."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from typing_extensions import Self

from patchbank.runtime.printable import one_line
from patchbank.runtime.process import TOO_MUCH_MEMORY, shares_of_cores


def command(module: str) -> tuple[str, ...]:
    """The command of a worker process that runs a module."""
    return (sys.executable, "-m", module)


@dataclass(frozen=True, slots=True)
class Failure:
    """A run without a row."""

    reason: str
    """The reason in one line."""
    details: str = ""
    """Output of the worker, if it did not name the reason itself."""


class Pool:
    """Runs jobs in worker processes; leaving the context ends those still running.

    A worker reads its job, with its ``cores``, as one line of JSON from standard input, and answers
    with ``{"row": ...}`` or ``{"error": ...}``; where the job has ``memory_bytes``, that is what
    it may use.

    Args:
        workers: simultaneous processes.
        module: that a worker runs.
    """

    def __init__(self, workers: int, module: str) -> None:
        self._command = command(module)
        self._cores = shares_of_cores(workers)
        self._free: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        for cores in self._cores:
            self._free.put(cores)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._changing = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changing:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.kill()
            process.wait()

    def outcomes(
        self, jobs: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
        """Run all jobs, and yield (number of the job, its row or failure) as they finish."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[int, dict[str, Any] | Failure]] = queue.SimpleQueue()
        for number in range(len(jobs)):
            waiting.put(number)

        def work() -> None:
            while not (self._stopped or waiting.empty()):
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                done.put((number, self.outcome(jobs[number])))

        for _ in self._cores:
            threading.Thread(target=work, daemon=True).start()
        for _ in jobs:
            yield done.get()

    def outcome(self, job: Mapping[str, Any]) -> dict[str, Any] | Failure:
        """Run one job as soon as a worker is free; callers may be in several threads."""
        cores = self._free.get()
        try:
            return self._outcome({**job, "cores": cores})
        finally:
            self._free.put(cores)

    def _outcome(self, job: Mapping[str, Any]) -> dict[str, Any] | Failure:
        try:
            with tempfile.TemporaryFile() as errors:
                answer, status = self._run(job, errors)
                errors.seek(0)
                return _read(answer, status, job, errors.read().decode(errors="replace"))
        except Exception as error:  # a thread that ends without an outcome would be waited for
            return Failure(f"expected to run a worker, got {type(error).__name__}: {error}")

    def _run(self, job: Mapping[str, Any], errors: IO[bytes]) -> tuple[bytes, int]:
        """-> the answer of a worker, and its exit status."""
        process = self._started(errors)
        if process is None or process.stdin is None or process.stdout is None:
            return b"", 0
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()  # stdin stays open: the worker ends when it is closed
            answer = process.stdout.read()
            return answer, process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with suppress(OSError):  # the worker ended without reading it
                process.stdin.close()
            with self._changing:
                self._running.discard(process)

    def _started(self, errors: IO[bytes]) -> subprocess.Popen[bytes] | None:
        """Start a worker; None if the pool has been stopped."""
        with self._changing:
            if self._stopped:
                return None
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # no import from the current folder
                start_new_session=True,  # Ctrl-C reaches only the parent, which ends the workers
            )
            self._running.add(process)
            return process


def _read(
    answer: bytes, status: int, job: Mapping[str, Any], printed: str
) -> dict[str, Any] | Failure:
    if status == TOO_MUCH_MEMORY:
        return Failure(f"expected at most {job['memory_bytes'] / 1e9:g} GB of memory, needs more")
    if status < 0:
        return Failure(f"its process was ended by signal {-status}; was memory short?", printed)
    try:
        content = json.loads(answer)
    except ValueError:
        last = next((line for line in reversed(printed.splitlines()) if line.strip()), "nothing")
        return Failure(f"its process ended with status {status}: {last.strip()}", printed)
    if "error" in content:
        return Failure(one_line(str(content["error"])))
    row: dict[str, Any] = content["row"]
    return row
