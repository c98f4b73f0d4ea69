"""An intake without a detector: photographs are decoded and recorded, and that is all."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future

from patchbank.errors import ImageError
from patchbank.images.source import read_image
from patchbank.server.intake import Answer, Busy, NotRecorded
from tests.server.samples import MOMENT, inspection, result


class RecordingIntake:
    """Says that a photograph with a dark mean is anomalous; its records are real.

    A test may make it busy, or hold its answers back.
    """

    def __init__(self, records):
        self.records = records
        self.submitted = []
        self.is_busy = False
        self.fails = 0
        self.hold = threading.Event()
        self.hold.set()

    def submit(self, submission):
        if self.is_busy:
            raise Busy("queue: expected room for a photograph, got none; send it again later")
        self.submitted.append(submission)
        future = Future()
        future.set_running_or_notify_cancel()
        threading.Thread(target=self.answer, args=(submission, future), daemon=True).start()
        return future

    def answer(self, submission, future):
        self.hold.wait(30)
        if self.fails:
            self.fails -= 1
            future.set_exception(NotRecorded("records: expected a disk with room, got none"))
            return
        try:
            image = read_image(submission.content, submission.name)
            verdict = "anomalous" if image.mean() < 60 else "good"
        except ImageError:
            verdict = "unread"
        new = inspection(
            1,
            verdict=verdict,
            product=submission.product,
            time=MOMENT,
            fields=submission.fields,
            result=result(submission.name, verdict),
            photograph_sha256=hashlib.sha256(submission.content).hexdigest(),
            source=submission.source,
            by=submission.by,
            idempotency_key=submission.idempotency_key,
        )
        try:
            (outcome,) = self.records.add([new])
        except NotRecorded as error:
            outcome = error
        if isinstance(outcome, Answer):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
