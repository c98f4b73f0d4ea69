"""The queue of photographs, and the threads that inspect them.

As many photographs are computed at once as there are cores, here or on a cluster (`computing`);
further threads meanwhile bring files to the disk, which takes no core but time.  A photograph that
is alone in the detector uses all cores, several use one each (`backbones.engine.SharedNetwork`), so
that latency is lowest when little comes, and throughput highest when much does.  Photographs are
not put together for the network: `benchmarks/speed/service.py` shows that batches gain nothing on a
processor, and that a thread which waits for the slowest of a batch loses.  What is put together is
the transactions (`committing`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from patchbank.errors import PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.server.intake import Answer, Busy, KeyReused, Submission
from patchbank.server.records.entries import NewInspection, StoredInspection
from patchbank.server.service.catalog import Catalog
from patchbank.server.service.committing import Committer, Finished, InspectionStore
from patchbank.server.service.computing import Computing, Here, Task
from patchbank.server.service.congestion import Congestion
from patchbank.server.service.keeping import PictureStore, digest_of
from patchbank.server.service.product_finding import ProductFinding
from patchbank.server.service.settings import (
    LARGEST_QUEUE_BYTES,
    QUEUE_PER_CORE,
    ServiceSettings,
)

THREADS_PER_CORE = 2
LEAST_COMMIT_S = 1.0
"""Time that the last commit has, however late it is."""
Observer = Callable[[str, float], None]
"""Is called for each inspection with the product, and the seconds that it took."""


class RecordStore(InspectionStore, Protocol):
    """The part of the records that inference needs."""

    def by_key(self, product: str, key: str) -> StoredInspection | None:
        """The inspection under a key, if there is one."""
        ...


@dataclass(slots=True)
class Job:
    """A photograph that waits."""

    submission: Submission
    digest: str
    answered: Future[Answer]


class Inference:
    """Takes photographs (`intake.Intake`), inspects them, and has them recorded."""

    def __init__(
        self,
        catalog: Catalog,
        records: RecordStore,
        pictures: PictureStore,
        settings: ServiceSettings,
        *,
        computing: Computing | None = None,
        channels: Sequence[str] = (),
        observe: Observer | None = None,
        after_commit: Callable[[Sequence[Answer]], None] = lambda answers: None,
    ) -> None:
        """Start the threads.

        Args:
            catalog: has the detectors.
            records: take the inspections.
            pictures: keep photographs.
            settings: limits.
            computing: computes the inspections; None for this process.
            channels: names of the channels that every inspection is sent to.
            observe: called for every inspection.
            after_commit: called with what was recorded.
        """
        self._catalog, self._records, self._pictures = catalog, records, pictures
        self.finding = ProductFinding(catalog)
        self.computing: Computing = computing or Here(self.finding)
        self._settings, self._observe = settings, observe
        self._committer = Committer(records, channels, after_commit)
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._n_bytes = self._n_running = self._n_accepted = 0
        cores = self.computing.cores
        self.max_queue = settings.max_queue or QUEUE_PER_CORE * cores
        self._congestion = Congestion(cores)
        self._is_closed = False
        self._under_key: dict[tuple[str, str], tuple[str, Future[Answer]]] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"patchbank-inspects-{n}", daemon=True)
            for n in range(THREADS_PER_CORE * cores)
        ]
        for thread in self._threads:
            thread.start()

    def products(self) -> Sequence[str]:
        """Names of the products."""
        return [product.name for product in self._catalog.products]

    @property
    def n_waiting(self) -> int:
        """Photographs in the queue."""
        return len(self._waiting)

    @property
    def n_running(self) -> int:
        """Photographs that are being inspected."""
        return self._n_running

    @property
    def n_accepted(self) -> int:
        """Photographs that are accepted and not answered."""
        return self._n_accepted

    @property
    def is_full(self) -> bool:
        """Whether another photograph would be refused."""
        return self._is_closed or self._n_accepted >= self._most_accepted

    @property
    def _most_accepted(self) -> int:
        return self._congestion.most_accepted(self.max_queue)

    def busy(self) -> Busy:
        """The error for a photograph that is refused, with the time to come again."""
        limit = self._most_accepted
        wait_s = self._congestion.refused(self._n_accepted)
        s = "" if wait_s == 1 else "s"
        return Busy(
            f"queue: expected fewer than {limit} photographs at once, got {self._n_accepted}; "
            f"send it again in {wait_s} second{s}",
            wait_s,
        )

    @property
    def trouble(self) -> str | None:
        """Reason why the last inspections were not recorded; None if they were."""
        return self._committer.trouble

    def submit(self, submission: Submission) -> Future[Answer]:
        """Queue a photograph; see `intake.Intake`.

        One whose key is under way already waits for that one's record.

        Raises:
            Busy: the queue is full, or the service stops.
            UnknownProduct: there is no such product.
        """
        found = self.offered(submission, digest_of(submission.content))
        if found is None:
            raise _stopping() if self._is_closed else self.busy()
        return found

    def offered(self, submission: Submission, digest: str) -> Future[Answer] | None:
        """Queue a photograph of a known digest, if there is room; None if not, uncounted.

        Raises:
            UnknownProduct: there is no such product.
        """
        self.finding.check(submission.product)
        key = _key(submission)
        with self._changed:
            under_way = self._under_key.get(key) if key else None
            if under_way is not None:
                return _after(submission, digest, *under_way)
            if not self._has_room(len(submission.content)):
                return None
            job = Job(submission, digest, _answer_to_come())
            if key:
                self._under_key[key] = digest, job.answered
                job.answered.add_done_callback(lambda _: self._forget(key))
            self._n_accepted += 1  # until it is answered: what waits for its commit counts, too
            job.answered.add_done_callback(self._answered)
            self._waiting.append(job)
            self._n_bytes += len(submission.content)
            self._changed.notify()
        return job.answered

    def close(self, timeout_s: float) -> int:
        """Inspect and record what was accepted, and end.

        Args:
            timeout_s: time for that.

        Returns:
            Number of photographs that are not recorded.
        """
        end = time.monotonic() + timeout_s
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))
        with self._changed:
            left = [*self._waiting]
            self._waiting.clear()
        for job in left:
            job.answered.set_exception(_stopping())
        self._committer.close(max(end - time.monotonic(), LEAST_COMMIT_S))
        with self._changed:
            return len(left) + self._n_accepted

    def _has_room(self, n_bytes: int) -> bool:
        is_large = bool(self._waiting) and self._n_bytes + n_bytes > LARGEST_QUEUE_BYTES
        return not self.is_full and not is_large

    def _answered(self, _: Future[Answer]) -> None:
        with self._changed:
            self._n_accepted -= 1

    def _forget(self, key: tuple[str, str]) -> None:
        with self._changed:
            self._under_key.pop(key, None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                self._n_bytes -= len(job.submission.content)
                self._n_running += 1
            try:
                self._process(job)
            except Exception as error:
                if not isinstance(error, PatchbankError):
                    LOGGER.exception("an inspection failed")
                job.answered.set_exception(error)
            finally:
                with self._changed:
                    self._n_running -= 1

    def _process(self, job: Job) -> None:
        """Inspect a photograph, and hand it to the committer, unless it is on record already."""
        given = job.submission
        if self._is_replayed(job, given.product):
            return
        computed = self.computing.compute(
            Task(
                product=given.product,
                name=given.name,
                content=given.content,
                digest=job.digest,
                max_pixels=self._settings.max_pixels,
                keep_good=self._settings.keep_good,
            )
        )
        self._congestion.inspected(computed.seconds)
        if self._observe is not None:
            self._observe(given.product, computed.seconds)
        if computed.product != given.product and self._is_replayed(job, computed.product):
            return
        kept = computed.files.keep(self._pictures)
        new = NewInspection(
            time=datetime.now(timezone.utc),
            product=computed.product,
            fields=given.fields,
            result=computed.result,
            photograph_sha256=job.digest,
            source=given.source,
            by=given.by,
            idempotency_key=given.idempotency_key,
            photograph=kept.photograph,
            overlay=kept.overlay,
            map=kept.map,
            is_border=computed.is_border,
        )
        self._committer.put(Finished(new, job.answered))

    def _is_replayed(self, job: Job, product: str) -> bool:
        """Answer a photograph whose key is on record for a product.  -> whether it is."""
        key = job.submission.idempotency_key
        stored = None if key is None else self._records.by_key(product, key)
        if stored is not None:
            job.answered.set_result(_replayed(job.submission, job.digest, stored))
        return stored is not None


def _replayed(given: Submission, digest: str, stored: StoredInspection) -> Answer:
    """The answer to a photograph whose key is on record.

    Raises:
        KeyReused: the key is that of another photograph.
    """
    if stored.photograph_sha256 != digest:
        raise KeyReused(
            f"Idempotency-Key: expected one photograph under it, got another one than that of "
            f"inspection {stored.id}; make a new key for each photograph"
        )
    return Answer(stored, False)


def _after(
    given: Submission, digest: str, first_digest: str, first: Future[Answer]
) -> Future[Answer]:
    """The answer to a photograph whose key is under way, once that is on record."""
    second = _answer_to_come()
    if digest != first_digest:
        second.set_exception(
            KeyReused(
                "Idempotency-Key: expected one photograph under it, got another one while the "
                "first is inspected; make a new key for each photograph"
            )
        )
        return second

    def done(future: Future[Answer]) -> None:
        error = future.exception()
        if error is not None:
            second.set_exception(error)
        else:
            second.set_result(Answer(future.result().inspection, False))

    first.add_done_callback(done)
    return second


def _answer_to_come() -> Future[Answer]:
    """A future that nobody can cancel: a sender that is gone does not undo an inspection."""
    answered: Future[Answer] = Future()
    answered.set_running_or_notify_cancel()
    return answered


def _key(given: Submission) -> tuple[str, str] | None:
    return None if given.idempotency_key is None else (given.product, given.idempotency_key)


def _stopping() -> Busy:
    return Busy("service: expected one that runs, got one that stops; send it again to the next")
