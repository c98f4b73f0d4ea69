"""Parts of the service that pages stand on: keys of sessions, callers by name, wake-ups."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone

import pytest

from patchbank.errors import DataError
from patchbank.server.records.entries import Token
from patchbank.server.service.commits import Commits
from patchbank.server.service.sessions import KEY_BYTES, Sessions
from patchbank.server.service.tokens import TokenBook

NOW = datetime.now(timezone.utc)


def test_the_key_of_a_folder_is_made_once_and_kept_from_others(tmp_path):
    first = Sessions.of_folder(tmp_path)
    session = first.begin("eva")
    again = Sessions.of_folder(tmp_path)
    assert again.read(first.cookie(session)) == session
    assert again.is_csrf(session, first.csrf(session))
    key = tmp_path / "session.key"
    assert len(key.read_bytes()) == KEY_BYTES
    assert key.stat().st_mode & 0o077 == 0
    other = tmp_path / "other"
    other.mkdir()
    assert Sessions.of_folder(other).read(first.cookie(session)) is None


@pytest.mark.parametrize("content", [b"", b"short", b"x" * (KEY_BYTES + 1)])
def test_a_key_that_somebody_has_cut_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "session.key").write_bytes(content)
    with pytest.raises(DataError, match=f"session.key: expected {KEY_BYTES} bytes, got .*delete"):
        Sessions.of_folder(tmp_path)


def test_a_folder_that_takes_no_key_is_refused_in_one_line(tmp_path):
    (tmp_path / "session.key").mkdir()
    with pytest.raises(DataError, match=r"session\.key: expected a key of sessions, got"):
        Sessions.of_folder(tmp_path)


def test_a_session_that_was_ended_is_over_and_no_other_one():
    sessions = Sessions(b"k" * KEY_BYTES)
    one, other = sessions.begin("eva"), sessions.begin("eva")
    assert one.id != other.id
    assert sessions.csrf(one) != sessions.csrf(other)
    sessions.end(one)
    assert sessions.read(sessions.cookie(one)) is None
    assert sessions.read(sessions.cookie(other)) == other


class Store:
    """Tokens in memory, which count how often they are asked for."""

    def __init__(self, *tokens):
        self.all, self.asked = list(tokens), 0

    def tokens(self):
        self.asked += 1
        return self.all

    def token_of(self, secret):
        return None

    def has_tokens(self):
        return bool(self.all)


def token(name, **changes):
    facts = {"role": "operator", "created": NOW, "expires": None, "revoked": None}
    return Token(name=name, **{**facts, **changes})


def test_a_caller_is_found_by_the_name_of_a_valid_token_only():
    store = Store(
        token("eva", expires=NOW + timedelta(hours=1)),
        token("old", expires=NOW - timedelta(seconds=1)),
        token("gone", revoked=NOW),
        token("root", role="admin"),
    )
    book = TokenBook(store)
    found = {name: book.caller_named(name) for name in ("eva", "old", "gone", "root", "none")}
    roles = {name: caller and caller.role for name, caller in found.items()}
    assert roles == {"eva": "operator", "old": None, "gone": None, "root": "admin", "none": None}
    assert found["eva"].name == "eva"


def test_a_caller_is_remembered_for_a_moment_until_tokens_change():
    store = Store(token("eva"))
    book = TokenBook(store)
    assert all(book.caller_named("eva") is not None for _ in range(5))
    assert store.asked == 1
    store.all = [token("eva", revoked=NOW)]
    book.forget()
    assert book.caller_named("eva") is None
    assert book.caller_of("eva") is None  # a name is no secret


def test_all_that_wait_are_woken_from_another_thread_and_nobody_else():
    commits = Commits()

    async def waits():
        with commits.subscribed() as one, commits.subscribed() as other:
            threading.Thread(target=commits.notify).start()
            await asyncio.wait_for(asyncio.gather(one.wait(), other.wait()), 10)
        with commits.subscribed() as later:
            one.clear()
            commits.notify()
            await asyncio.wait_for(later.wait(), 10)
            assert not one.is_set()

    asyncio.run(waits())
    commits.notify()  # nobody waits any more, and no loop is there
