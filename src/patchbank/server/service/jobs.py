"""Long work that a person has asked for: its progress is seen, and it can be cancelled."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from patchbank.errors import PatchbankError
from patchbank.server.records.entries import iso_utc
from patchbank.server.service.errors import ApiError

MOST_KEPT = 50
"""Jobs that are over and can still be asked for."""
MOST_WAITING = 8
"""Jobs of one kind that are not over; more are refused."""
State = Literal["waiting", "running", "done", "failed", "cancelled"]
logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """Somebody has cancelled a job."""


@dataclass(slots=True)
class Job:
    """One piece of work; it is a `patchbank.runtime.progress.Progress` for what it calls."""

    kind: str
    """Word for its work; jobs of a kind run one after the other."""
    product: str
    by: str
    """Who asked for it."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    state: State = "waiting"
    title: str = ""
    """Task that is under way."""
    n_done: int = 0
    """Steps of that task that are done."""
    n_total: int | None = None
    """Steps of that task; None where nobody knows."""
    notes: list[str] = field(default_factory=list)
    result: Any = None
    """JSON value that the work has returned."""
    error: str | None = None
    """Line that says why it failed."""
    _cancel: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """End here if it was cancelled.

        Raises:
            Cancelled: it was.
        """
        if self._cancel.is_set():
            raise Cancelled

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Context of one task; call what it yields with the steps done since the last call."""
        self.title, self.n_done, self.n_total = title, 0, total

        def step(steps: int) -> None:
            self.check()
            self.n_done += steps

        self.check()
        yield step

    def note(self, text: str) -> None:
        """Keep one line of information."""
        self.notes.append(text)

    def cancel(self) -> None:
        """Let it end at its next step."""
        self._cancel.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has cancelled it."""
        return self._cancel.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will change."""
        return self.state in ("done", "failed", "cancelled")

    def to_json(self) -> dict[str, Any]:
        """Facts that a page shows."""
        return {
            "id": self.id,
            "kind": self.kind,
            "product": self.product,
            "by": self.by,
            "started": iso_utc(self.started),
            "state": self.state,
            "title": self.title,
            "done": self.n_done,
            "total": self.n_total,
            "notes": list(self.notes),
            "result": self.result,
            "error": self.error,
        }


class Jobs:
    """All jobs of a service; one of each kind runs at a time."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._is_closed = False

    def start(self, job: Job, work: Callable[[Job], Any]) -> Job:
        """Begin a job in a thread of its own, or let it wait for others of its kind.

        Args:
            job: that is new.
            work: gets the job, for its progress, and returns a JSON value.

        Raises:
            ApiError: 429 where too many of its kind wait, 503 where the service stops.
        """
        with self._lock:
            if self._is_closed:
                raise ApiError(503, "job: expected a service that runs, got one that stops")
            waiting = [one for one in self._jobs.values() if one.kind == job.kind]
            if sum(not one.is_over for one in waiting) >= MOST_WAITING:
                raise ApiError(
                    429,
                    f"job: expected fewer than {MOST_WAITING} of the kind {job.kind} at once, got "
                    "one more; wait until one is over",
                    retry_s=10,
                )
            over = [one.id for one in self._jobs.values() if one.is_over]
            for old in over[: max(len(over) - MOST_KEPT + 1, 0)]:
                del self._jobs[old]
            self._jobs[job.id] = job
            turn = self._turns.setdefault(job.kind, threading.Lock())
            thread = threading.Thread(target=self._run, args=(job, turn, work), daemon=True)
            self._threads[job.id] = thread
        thread.start()
        return job

    def find(self, job_id: str) -> Job:
        """The job of an id.

        Raises:
            ApiError: 404 where there is none.
        """
        with self._lock:
            found = self._jobs.get(job_id)
        if found is None:
            raise ApiError(404, "job: expected the id of one that runs or ran lately, got another")
        return found

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._lock:
            return list(self._jobs.values())[::-1]

    def close(self, seconds: float) -> None:
        """Cancel all jobs and wait for their end, each for a few seconds at most."""
        with self._lock:
            self._is_closed = True
            threads = list(self._threads.values())
            for job in self._jobs.values():
                job.cancel()
        for thread in threads:
            thread.join(seconds)

    def _run(self, job: Job, turn: threading.Lock, work: Callable[[Job], Any]) -> None:
        try:
            with turn:
                job.check()
                job.state = "running"
                job.result = work(job)
                job.state = "done"
        except Cancelled:
            job.state = "cancelled"
        except (ApiError, PatchbankError) as error:
            job.error = str(error.detail) if isinstance(error, ApiError) else str(error)
            job.state = "failed"
        except Exception as error:
            logger.exception("job %s of %s", job.kind, job.product)
            job.error = f"a fault of the program ({type(error).__name__}); the log has more"
            job.state = "failed"
        finally:
            with self._lock:
                self._threads.pop(job.id, None)
