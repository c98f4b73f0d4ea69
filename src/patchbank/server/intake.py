"""The service, watched folders and cameras hand in one photograph at a time, for one product."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from patchbank.errors import PatchbankError
from patchbank.server.records.entries import Answer, Fields
from patchbank.server.records.errors import KeyReused, NotRecorded

__all__ = [
    "Answer",
    "Busy",
    "Intake",
    "KeyReused",
    "NotRecorded",
    "Submission",
    "UnknownProduct",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A photograph that is to be inspected and recorded."""

    product: str
    content: bytes
    """Bytes of the image file, as they were received."""
    name: str
    """Name for people, and in the record; never opened."""
    source: str
    """``http``, ``watch`` or ``camera``."""
    by: str
    """Name of the token that it was sent with; ``local`` without one."""
    fields: Fields = field(default_factory=Fields)
    idempotency_key: str | None = None


class Intake(Protocol):
    """Takes photographs; each is on record before its future is done."""

    def submit(self, submission: Submission) -> Future[Answer]:
        """Queue a photograph.

        Raises:
            Busy: the queue is full, or the service stops.
            UnknownProduct: there is no such product.
        """
        ...


class Busy(PatchbankError):
    """The queue is full; what to do is to send the same again later."""

    def __init__(self, message: str, retry_s: int = 1) -> None:
        super().__init__(message)
        self.retry_s = retry_s
        """Seconds after which to send it again."""


class UnknownProduct(PatchbankError):
    """There is no detector for a product."""
