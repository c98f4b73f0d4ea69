"""The channel ``webhook``: each result is posted to an address, signed with a shared secret."""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import urlsplit

import httpx

from patchbank.errors import ParameterError
from patchbank.server.outbox.channels import (
    ChannelContext,
    Refused,
    Undelivered,
    secret_of,
    secret_variable,
)
from patchbank.server.records.entries import Message

TIMEOUT_S = 10.0
REFUSALS = frozenset({400, 413, 415, 422})
"""Status codes that concern a message; all others are said of the receiver, which may mend."""
SHORTEST_SECRET = 16
MOST_BYTES_READ = 65_536
"""Length of an answer that is read, so that the connection can be used again."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Signature of a message: HMAC-SHA256 of the time, a point and the body.

    >>> signature("it's a secret", "1764170000", b"{}")[:12]
    'v1=9d50ffe7d'
    """
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class WebhookChannel:
    """Posts JSON; any status of 200 to 299 says that the receiver has it."""

    def __init__(self, name: str, target: str, context: ChannelContext) -> None:
        try:
            urlsplit(target)  # it refuses brackets that httpx accepts
            url = httpx.URL(target)
        except (httpx.InvalidURL, ValueError):
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise ParameterError(f"channel {name}: expected an address https://..., got another")
        secret = secret_of(name, "secret")
        if secret is None or len(secret) < SHORTEST_SECRET:
            got = "none" if secret is None else f"{len(secret)} characters"
            raise ParameterError(
                f"channel {name}: expected a secret of {SHORTEST_SECRET} characters or more in the "
                f"environment variable {secret_variable(name, 'secret')}, got {got}; "
                "the receiver needs it to know who sends"
            )
        self._url, self._secret = url, secret
        self._shown = url.host if url.port is None else f"{url.host}:{url.port}"
        self._client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)

    def send(self, message: Message) -> None:
        """Post a message."""
        body, timestamp = message.payload.encode(), str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "patchbank",
            "Idempotency-Key": message.key,
            "Patchbank-Timestamp": timestamp,
            "Patchbank-Signature": signature(self._secret, timestamp, body),
        }
        try:
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                status = answer.status_code
                if int(answer.headers.get("Content-Length", MOST_BYTES_READ)) < MOST_BYTES_READ:
                    answer.read()
        except (httpx.HTTPError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise Undelivered(f"{self._shown}: expected an answer, got: {reason}") from None
        if 200 <= status < 300:
            return
        kind = Refused if status in REFUSALS else Undelivered
        raise kind(f"{self._shown}: expected a status of 200 to 299, got {status}")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
