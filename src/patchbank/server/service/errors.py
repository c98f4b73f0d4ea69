"""The shape of all errors, and the status of each exception of the package."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException

from patchbank.errors import (
    BackboneError,
    ClusterError,
    DataError,
    DetectorFileError,
    GuardError,
    ImageError,
    ParameterError,
    PatchbankError,
    ShapeError,
)
from patchbank.runtime.printable import one_line
from patchbank.server.intake import Busy, KeyReused, NotRecorded, UnknownProduct
from patchbank.server.records.errors import NotClaimed

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    410: "gone",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "busy",
    500: "fault",
    503: "unavailable",
}
"""The word of each status, unless an error has its own."""

RETRY_NOT_RECORDED_S = 5

_OF_CLASSES: tuple[tuple[type[PatchbankError], int, str, int | None], ...] = (
    (Busy, 429, "busy", None),
    (NotRecorded, 503, "not_recorded", RETRY_NOT_RECORDED_S),
    (ClusterError, 503, "no_cluster", RETRY_NOT_RECORDED_S),
    (UnknownProduct, 404, "unknown_product", None),
    (KeyReused, 422, "key_reused", None),
    (GuardError, 409, "defects_lost", None),
    (NotClaimed, 409, "claimed", None),
    (ImageError, 422, "unread", None),
    (DetectorFileError, 422, "bad_detector", None),
    (BackboneError, 422, "bad_detector", None),
    (ParameterError, 422, "invalid", None),
    (ShapeError, 422, "invalid", None),
    (DataError, 422, "invalid", None),
    (PatchbankError, 500, "fault", None),
)


class ApiError(HTTPException):
    """An error that is answered; its message says what was expected, what came, what to do."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        retry_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the status and the message.

        Args:
            status: of HTTP.
            message: one line.
            code: word for programs; None for that of the status.
            retry_s: seconds after which the same may be asked again; None if it would not help.
            headers: further ones.
            facts: further keys of the error.
        """
        retry = {} if retry_s is None else {"Retry-After": str(retry_s)}
        super().__init__(status, one_line(message), {**retry, **(headers or {})})
        self.code = code or code_of(status)
        self.facts = dict(facts or {})


def code_of(status: int) -> str:
    """The word of a status."""
    return CODES.get(status, "error" if status < 500 else "fault")


def error_of(error: PatchbankError) -> ApiError:
    """The answer to an exception of the package."""
    found = next(one for one in _OF_CLASSES if isinstance(error, one[0]))
    _, status, code, retry_s = found
    if isinstance(error, Busy):
        retry_s = error.retry_s
    facts = {"lost": list(error.lost)} if isinstance(error, GuardError) else {}
    return ApiError(status, str(error), code=code, retry_s=retry_s, facts=facts)


def error_body(status: int, code: str, message: str, **facts: Any) -> dict[str, Any]:
    """The JSON of an error.

    >>> error_body(404, "not_found", "id: expected an inspection, got none")["error"]["code"]
    'not_found'
    """
    return {"error": {"status": status, "code": code, "message": message, **facts}}


def body_of(error: ApiError) -> dict[str, Any]:
    """The JSON of an error."""
    return error_body(error.status_code, error.code, str(error.detail), **error.facts)


def words_of(error: HTTPException) -> str:
    """The message of an exception of the framework, whose own are single words."""
    said = {
        404: "path: expected one that /openapi.json lists, got another one",
        405: "method: expected one that /openapi.json lists for this path, got another one",
    }
    plain = one_line(str(error.detail) or HTTPStatus(error.status_code).phrase)
    return said.get(error.status_code, f"request: expected one that can be read, got: {plain}")
