"""Callers by their token, and a limit on wrong ones."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from patchbank.server.records.entries import ROLES, Role, Token

KNOWN_S = 5.0
"""Time for which a token is not looked up again; so long a revoked one may still be accepted."""
MOST_KNOWN = 1000
FAILURES_A_MINUTE = 10
MOST_ADDRESSES = 10_000
LONGEST_SECRET = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request."""

    name: str
    """Name of its token; ``local`` without one."""
    role: Role

    def may(self, role: Role) -> bool:
        """Whether it may do what needs a role.

        >>> Caller("eva", "engineer").may("operator"), Caller("eva", "engineer").may("admin")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Caller("local", "admin")
"""Everybody on this computer, as long as there is no token."""


class TokenStore(Protocol):
    """The part of the records that has the tokens."""

    def token_of(self, secret: str) -> Token | None:
        """The token of a secret, unless it is unknown, revoked or expired."""
        ...

    def tokens(self) -> list[Token]:
        """All tokens, those that are expired or revoked too."""
        ...

    def has_tokens(self) -> bool:
        """Whether there is one at all, or was."""
        ...


class TokenBook:
    """Tokens that were looked up a moment ago, so that a request does not wait for the records."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes | str, tuple[Token, float]] = OrderedDict()
        self._any: tuple[bool, float] | None = None

    def caller_of(self, secret: str) -> Caller | None:
        """The caller with a secret; None if it is no token that is valid.

        Raises:
            NotRecorded: the records cannot be read.
        """
        if len(secret) > LONGEST_SECRET:
            return None
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        return self._caller(digest, lambda: self._store.token_of(secret))

    def caller_named(self, name: str) -> Caller | None:
        """The caller with the token of a name; None if that is revoked, expired or unknown.

        Raises:
            NotRecorded: the records cannot be read.
        """
        return self._caller(name, lambda: self._named(name))

    def _named(self, name: str) -> Token | None:
        found = next((one for one in self._store.tokens() if one.name == name), None)
        if found is None or found.revoked is not None or _is_expired(found):
            return None
        return found

    def _caller(self, key: bytes | str, find: Callable[[], Token | None]) -> Caller | None:
        """The caller of a token that was found a moment ago, or is found now."""
        with self._lock:
            found = self._known.get(key)
        if found is not None and time.monotonic() < found[1] and not _is_expired(found[0]):
            return Caller(found[0].name, found[0].role)
        token = find()
        with self._lock:
            self._known.pop(key, None)
            if token is not None:
                self._known[key] = token, time.monotonic() + KNOWN_S
                while len(self._known) > MOST_KNOWN:
                    self._known.popitem(last=False)
        return None if token is None else Caller(token.name, token.role)

    def is_needed(self) -> bool:
        """Whether requests need a token, because there is one.

        Raises:
            NotRecorded: the records cannot be read.
        """
        known = self._any
        if known is None or (not known[0] and time.monotonic() > known[1]):
            known = self._any = self._store.has_tokens(), time.monotonic() + KNOWN_S / 5
        return known[0]

    def forget(self) -> None:
        """Look all tokens up again, because some were changed."""
        with self._lock:
            self._known.clear()
            self._any = None


def _is_expired(token: Token) -> bool:
    return token.expires is not None and token.expires <= datetime.now(timezone.utc)


class Failures:
    """Wrong tokens of the last minute, by the address that they came from.

    A valid token is accepted whatever else comes from its address: behind a proxy, many callers
    have one address, and a machine that is set up wrongly must not stop the others.
    """

    def __init__(self, a_minute: int = FAILURES_A_MINUTE) -> None:
        self._a_minute = a_minute
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str, now: float | None = None) -> int:
        """Count a failure.  -> seconds to wait after too many; 0 before that.

        >>> failures = Failures(2)
        >>> [failures.wait_s("10.0.0.7", now) for now in (0, 10, 20, 65)]
        [0, 0, 40, 0]
        """
        now = time.monotonic() if now is None else now
        times = self._times.setdefault(address, deque())
        self._times.move_to_end(address)
        while len(self._times) > MOST_ADDRESSES:
            self._times.popitem(last=False)
        while times and times[0] <= now - 60:
            times.popleft()
        if len(times) >= self._a_minute:
            return max(1, round(times[0] + 60 - now))
        times.append(now)
        return 0
