"""Calls of the service: attempts are repeated while that can help and harms nobody."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from patchbank.client.errors import ClientError, NotInspected, Unread
from patchbank.errors import ParameterError
from patchbank.runtime.printable import printable

AGAIN_LATER = frozenset({429, 502, 503, 504, 507})
"""Status codes after which the same may be asked again."""
LONGEST_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Times of calls."""

    timeout_s: float = 30.0
    """Longest time without a byte from the service."""
    total_s: float = 120.0
    """Time after which no further attempt is made."""


class Calls:
    """Asks one service.

    Args:
        url: of the service, as ``http://127.0.0.1:8760``.
        token: sent with each request.
        ca: file with the certificates of authorities; None takes those of the package certifi.
        limits: times.

    Raises:
        ParameterError: the address or the token is none, or the file is not there.
    """

    def __init__(self, url: str, token: str | None, ca: str | None, limits: Limits) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ParameterError(f"url: expected http://HOST:PORT or https://..., got {url!r}")
        self.url, self.limits = url.rstrip("/"), limits
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ParameterError("token: expected printable ASCII, got other characters")
        headers = {"User-Agent": "patchbank-client"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            verify = True if ca is None else ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise ParameterError(f"ca: expected certificates, got {ca} ({error})") from None
        self._client = httpx.Client(headers=headers, timeout=limits.timeout_s, verify=verify)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        is_repeatable: bool = True,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """Ask, and ask again while the service is busy, not reachable, or cannot record.

        Args:
            method: of HTTP.
            path: below the address of the service.
            is_repeatable: whether a second time does no harm where the first was done without an
                answer; otherwise only what was surely not done is asked again.
            key: idempotency key.
            headers: further ones.
            content: further arguments of `httpx.Client.request`.

        Raises:
            ClientError: the service refuses, or does not answer in time.
        """
        end = time.monotonic() + self.limits.total_s
        sent = {**(headers or {}), **({} if key is None else {"Idempotency-Key": key})}
        attempt = 0
        while True:
            attempt += 1
            wait_s = min(LONGEST_WAIT_S, 0.1 * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1)
            try:
                answer = self._client.request(method, self.url + path, headers=sent, **content)
            except UnicodeEncodeError as error:
                raise ParameterError(
                    "expected a key and texts that can be sent, got "
                    f"{printable(error.object[error.start : error.end])!r} in one of them; a key "
                    "is printable ASCII"
                ) from None
            except (httpx.TimeoutException, httpx.TransportError) as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):  # time does not mend that
                    raise ClientError(
                        f"{self.url}: expected a certificate that is trusted, got another one; "
                        "give the file of its authority (ca, --ca)"
                    ) from None
                was_not_done = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
                trouble = NotInspected(
                    f"{self.url}: expected an answer, got: {error or type(error).__name__}",
                    idempotency_key=key,
                )
                if not (is_repeatable or was_not_done):
                    raise trouble from None
            else:
                if answer.status_code not in AGAIN_LATER:
                    return _checked(self.url, answer)
                message, code, _ = said(answer)
                trouble = NotInspected(
                    f"{self.url}: {message}", answer.status_code, code, idempotency_key=key
                )
                wait_s = max(wait_s, _retry_after(answer))
            if time.monotonic() + wait_s >= end:
                raise trouble
            time.sleep(wait_s)


def said(answer: httpx.Response) -> tuple[str, str | None, dict[str, Any]]:
    """Message, word and further facts of an answer that is an error."""
    try:
        error = answer.json()["error"]
        return str(error["message"]), error.get("code"), error
    except (ValueError, KeyError, TypeError):  # of a proxy in between
        return f"expected an answer of the service, got status {answer.status_code}", None, {}


def _checked(url: str, answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    message, code, error = said(answer)
    if code in ("unread", "no_product") and "inspection" in error:
        raise Unread(f"{url}: {message}", answer.status_code, error["inspection"])
    raise ClientError(f"{url}: {message}", answer.status_code, code)


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that the service asks to wait; none where it gives a date or nothing."""
    try:
        return max(0.0, float(answer.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
