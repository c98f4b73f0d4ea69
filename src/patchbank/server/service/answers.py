"""Answers: JSON as the command line writes it, and pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from patchbank.errors import PatchbankError
from patchbank.runtime.printable import json_text
from patchbank.server.service.errors import ApiError, body_of, error_of, words_of
from patchbank.server.service.validation import words_of as words_of_values

UNCHANGING = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Header of pictures, which never change under their address."""


Result = TypeVar("Result")
RETRY_LATE_S = 5


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    text = json_text(content).encode("utf-8")
    return Response(text, status, dict(headers or {}), media_type="application/json")


def error_answer(error: ApiError) -> Response:
    """The answer to an error."""
    return answer(body_of(error), error.status_code, error.headers)


def api_error(error: Exception) -> ApiError:
    """The error to answer for any exception, of the package, the framework or nobody knows what."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return ApiError(422, words_of_values(error.errors()))
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, words_of(error), headers=error.headers)
    if isinstance(error, PatchbankError):
        return error_of(error)
    return ApiError(
        500,
        f"service: expected to answer, got a fault of the program ({type(error).__name__}); "
        "its log has more",
    )


async def in_time(waited: Awaitable[Result], seconds: float, late: str) -> Result:
    """The result of what is waited for, if it comes in time.

    Args:
        waited: is cancelled where it takes longer.
        seconds: that it may take.
        late: message of the error.

    Raises:
        ApiError: 503 where it takes longer.
    """
    try:
        return await asyncio.wait_for(waited, seconds)
    except (TimeoutError, asyncio.TimeoutError):
        raise ApiError(503, late, code="timeout", retry_s=RETRY_LATE_S) from None
