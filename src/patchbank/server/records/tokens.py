"""Tokens of the service: kept as SHA-256, which 256 random bits need no slower hash for."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime

from sqlalchemy import func, insert, select, update

from patchbank.errors import ParameterError
from patchbank.runtime.printable import printable
from patchbank.server.records.audit import append
from patchbank.server.records.base import Store, check_time, now, values_of
from patchbank.server.records.entries import ROLES, Role, Token, iso_utc
from patchbank.server.records.tables import TOKENS

PREFIX = "pb_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LOCAL = "local"
"""Name of whoever works on the same machine while there is no token."""


class Tokens(Store):
    """The part of the records that knows who may use the service."""

    def add_token(
        self, name: str, role: Role, expires: datetime | None = None, *, by: str = LOCAL
    ) -> str:
        """Make a token, and note it in the audit.

        Args:
            name: by which records and audit name its user; one name is used once, for good.
            role: what it permits.
            expires: until when.
            by: who makes it.

        Returns:
            The secret, which nobody can find out later.

        Raises:
            ParameterError: the name is in use or none, or there is no such role.
            NotRecorded: the database takes no write.
        """
        if not NAME.fullmatch(name) or name == LOCAL:
            raise ParameterError(
                f"name: expected up to 100 letters, digits, dots and dashes, not {LOCAL!r}, "
                f"got {printable(name)[:60]!r}"
            )
        if role not in ROLES:
            raise ParameterError(f"role: expected one of {', '.join(ROLES)}, got {role!r}")
        check_time("expires", expires)
        secret = PREFIX + secrets.token_urlsafe(32)
        row = {
            "name": name,
            "role": role,
            "digest": _digest(secret),
            "created": now(),
            "expires": expires,
        }
        details = {"name": name, "role": role, "expires": expires and iso_utc(expires)}
        with self._database.writing(in_order=True) as connection:
            if connection.execute(select(TOKENS.c.id).where(TOKENS.c.name == name)).first():
                raise ParameterError(
                    f"name: expected one that no token has or had, got {name!r}; choose another, "
                    "so that records name one user by it"
                )
            connection.execute(insert(TOKENS), row)
            append(connection, by=by, action="token added", product=None, details=details)
        return secret

    def token_of(self, secret: str) -> Token | None:
        """The token of a secret; None where it is unknown, expired or revoked.

        What is searched for is the digest, which nobody can choose: how long a search takes says
        nothing about the secrets that there are.
        """
        digest = _digest(secret)
        with self._database.reading() as connection:
            row = connection.execute(select(TOKENS).where(TOKENS.c.digest == digest)).first()
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        token = Token(**values_of(row, Token))
        has_expired = token.expires is not None and token.expires <= now()
        return None if has_expired or token.revoked is not None else token

    def tokens(self) -> list[Token]:
        """All tokens, those that are expired or revoked too."""
        with self._database.reading() as connection:
            found = connection.execute(select(TOKENS).order_by(TOKENS.c.id))
            return [Token(**values_of(row, Token)) for row in found]

    def revoke_token(self, name: str, *, by: str = LOCAL) -> bool:
        """Revoke a token for good, and note it in the audit.

        Returns:
            Whether there was one that was not revoked.

        Raises:
            NotRecorded: the database takes no write.
        """
        statement = (
            update(TOKENS)
            .where(TOKENS.c.name == name, TOKENS.c.revoked.is_(None))
            .values(revoked=now())
        )
        with self._database.writing() as connection:
            is_revoked = connection.execute(statement).rowcount > 0
            if is_revoked:
                details = {"name": name}
                append(connection, by=by, action="token revoked", product=None, details=details)
        return is_revoked

    def has_tokens(self) -> bool:
        """Whether there is a token, or was one: an expired or revoked one counts too.

        So a service whose last token was revoked is closed, and not open to everybody.
        """
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(TOKENS)).scalar_one() > 0


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
