"""Errors of the client; none of them is a verdict."""

from __future__ import annotations

from patchbank.errors import PatchbankError


class ClientError(PatchbankError):
    """The service does not do what it was asked for."""

    def __init__(self, message: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        """Status of HTTP; None where there was no answer."""
        self.code = code
        """Word of the error for programs, as ``unknown_product``."""


class NotInspected(ClientError):
    """There is no answer within the time, after all attempts.

    The photograph may have been inspected all the same.  Asking again under the same key gives that
    verdict, and inspects it otherwise.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        code: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message, status, code)
        self.idempotency_key = idempotency_key
        """Key of the inspection; None for other questions."""


class Unread(ClientError):
    """A photograph could not be read: it is on record, and has no verdict."""

    def __init__(self, message: str, status: int, inspection_id: int | None) -> None:
        super().__init__(message, status, "unread")
        self.inspection_id = inspection_id
        """Number of the record."""
