"""Tokens: the secret is shown once and kept as a digest; names are used once."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from patchbank.errors import ParameterError
from patchbank.server.records.base import now
from patchbank.server.records.entries import ROLES


def test_a_secret_opens_until_it_is_revoked(records):
    assert not records.has_tokens()
    secrets = {role: records.add_token(f"anna-{role}", role, by="bert") for role in ROLES}
    assert len(set(secrets.values())) == 3
    for role, secret in secrets.items():
        assert secret.startswith("pb_")
        assert len(secret) == 3 + 43  # 32 bytes in base64
        token = records.token_of(secret)
        assert (token.name, token.role, token.expires) == (f"anna-{role}", role, None)
    assert records.revoke_token("anna-admin", by="carl") is True
    assert records.revoke_token("anna-admin", by="carl") is False
    assert records.revoke_token("nobody") is False
    assert records.token_of(secrets["admin"]) is None
    assert records.token_of(secrets["operator"]) is not None
    assert [one.name for one in records.tokens() if one.revoked] == ["anna-admin"]
    noted = [(one.by, one.action, one.details["name"]) for one in records.audit()]
    assert noted == [
        ("carl", "token revoked", "anna-admin"),
        ("bert", "token added", "anna-admin"),
        ("bert", "token added", "anna-engineer"),
        ("bert", "token added", "anna-operator"),
    ]


def test_the_database_holds_no_secret(records):
    secret = records.add_token("anna", "admin")
    with records._database.reading() as connection:
        tables = ("tokens", "audit")
        rows = [connection.execute(text(f"SELECT * FROM {name}")).all() for name in tables]
    assert secret not in repr(rows)
    assert secret[3:] not in repr(rows)
    assert secret not in repr(records.tokens())


@pytest.mark.parametrize("secret", ["", "pb_", "pb_x", "\udcff", "x" * 100_000, "pb_\0"])
def test_other_secrets_open_nothing(records, secret):
    real = records.add_token("anna", "admin")
    assert records.token_of(secret) is None
    assert records.token_of(real + "A") is records.token_of(real[:-1]) is None
    assert records.token_of(real.swapcase()) is None


def test_a_token_expires(records, monkeypatch):
    end = now() + timedelta(days=1)
    secret = records.add_token("anna", "operator", end)
    assert records.token_of(secret).expires == end
    tokens = "patchbank.server.records.tokens.now"
    monkeypatch.setattr(tokens, lambda: end - timedelta(microseconds=1))
    assert records.token_of(secret) is not None
    monkeypatch.setattr(tokens, lambda: end)
    assert records.token_of(secret) is None
    assert [one.name for one in records.tokens()] == ["anna"]


def test_a_service_whose_tokens_are_all_revoked_stays_closed(records):
    records.add_token("anna", "admin")
    records.revoke_token("anna")
    assert records.has_tokens()


def test_a_name_is_used_once_for_good(records):
    records.add_token("anna", "operator")
    records.revoke_token("anna")
    with pytest.raises(ParameterError, match="name: expected one that no token has or had"):
        records.add_token("anna", "admin")
    assert [one.role for one in records.tokens()] == ["operator"]
    assert [one.action for one in records.audit()] == ["token revoked", "token added"]


@pytest.mark.parametrize("name", ["", "local", "-x", "a b", "ä", "a" * 101, "a\n", "../a"])
def test_names_that_would_mislead_are_refused(records, name):
    with pytest.raises(ParameterError, match="^name: expected up to 100 letters"):
        records.add_token(name, "admin")
    assert records.tokens() == []


def test_roles_and_times_that_are_none_are_refused(records):
    with pytest.raises(ParameterError, match="role: expected one of operator, engineer, admin"):
        records.add_token("anna", "root")
    with pytest.raises(ParameterError, match="expires: expected a time with its zone"):
        records.add_token("anna", "admin", datetime(2026, 1, 1))
    assert not records.has_tokens()
