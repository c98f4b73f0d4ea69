"""Sessions of browsers: a signed cookie names a token, and forms carry what only its pages know.

The key of the signatures is a file of the data folder, so that a session outlives a restart of the
service.  A cookie is no secret of the token: it ends by itself, and with the token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from patchbank.errors import DataError
from patchbank.runtime.atomic_file import create_file

COOKIE = "patchbank_session"
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"
LIFE_S = 12 * 3600.0
"""Time after which a session ends that nobody uses; it is renewed in its second half."""
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which somebody has given a token."""

    id: str
    name: str
    """Name of the token."""
    ends: float
    """Seconds since 1970."""


class Sessions:
    """Makes and reads cookies of sessions."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._ended: dict[str, float] = {}

    @classmethod
    def of_folder(cls, folder: Path) -> Sessions:
        """Sessions with the key of a data folder, which is made at the first time.

        Raises:
            DataError: the file of the key cannot be used.
        """
        path = folder / "session.key"
        try:
            if not path.exists():
                with suppress(FileExistsError):
                    create_file(path, secrets.token_bytes(KEY_BYTES))
                path.chmod(0o600)
            key = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: expected a key of sessions, got: {error}") from None
        if len(key) != KEY_BYTES:
            raise DataError(f"{path}: expected {KEY_BYTES} bytes, got {len(key)}; delete it")
        return cls(key)

    def begin(self, name: str) -> Session:
        """A session for the token of a name."""
        return Session(secrets.token_urlsafe(16), name, time.time() + LIFE_S)

    def renewed(self, session: Session) -> Session | None:
        """The same session with a later end, in its second half; None before."""
        if session.ends - time.time() > LIFE_S / 2:
            return None
        return Session(session.id, session.name, time.time() + LIFE_S)

    def cookie(self, session: Session) -> str:
        """The text of a session that only this service can write."""
        content = json.dumps([session.id, session.name, session.ends]).encode()
        text = base64.urlsafe_b64encode(content).decode().rstrip("=")
        return f"{text}.{self._signature('session', text)}"

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None if it has ended, or is not of this service.

        >>> sessions = Sessions(bytes(32))
        >>> cookie = sessions.cookie(sessions.begin("eva"))
        >>> sessions.read(cookie).name, sessions.read(f"{cookie}x")
        ('eva', None)
        """
        text, _, signature = cookie.partition(".")
        expected = self._signature("session", text)
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            return None
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        session = Session(*json.loads(content))
        with self._lock:
            has_ended = session.id in self._ended
        return None if has_ended or session.ends <= time.time() else session

    def end(self, session: Session) -> None:
        """End a session before its time."""
        with self._lock:
            now = time.time()
            self._ended = {one: ends for one, ends in self._ended.items() if ends > now}
            self._ended[session.id] = now + LIFE_S

    def csrf(self, session: Session) -> str:
        """The text that every form of a session carries, and that no other page can know."""
        return self._signature("csrf", session.id)

    def is_csrf(self, session: Session, given: str) -> bool:
        """Whether a text is that of the forms of a session."""
        return hmac.compare_digest(self.csrf(session).encode(), given.encode("utf-8", "replace"))

    def _signature(self, purpose: str, text: str) -> str:
        content = f"{purpose}:{text}".encode("utf-8", "replace")
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()
