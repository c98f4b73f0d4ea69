"""The database below the records: SQLite in a file, or PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoConnection

from patchbank.errors import DataError
from patchbank.runtime.printable import one_line
from patchbank.server.records.errors import NotRecorded

WAIT_S = 2
"""Longest wait for a lock, or for a connection, before a record is refused."""
STATEMENT_S = 60
"""Longest time that PostgreSQL spends on a statement; reading a page takes far less."""
WRITING = "patchbank_writing"
"""Execution option of connections that write."""
SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""Execution options by which all statements of a transaction of PostgreSQL see the same state."""
ORDER_LOCK = 0x7061746368
"""Advisory lock of PostgreSQL that whoever adds inspections holds until its commit."""
MOST_CONNECTIONS, KEPT_CONNECTIONS = 40, 5
POOL: dict[str, Any] = {
    "pool_size": KEPT_CONNECTIONS,
    "max_overflow": MOST_CONNECTIONS - KEPT_CONNECTIONS,
    "pool_timeout": WAIT_S,
    "pool_use_lifo": True,
}
"""Arguments of `create_engine` for both databases."""


class Database:
    """Connections to one database."""

    def __init__(self, url: str) -> None:
        """A database that is not opened yet.

        Raises:
            DataError: the URL is none of SQLite or PostgreSQL.
        """
        self.url = checked_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)
        self._one_writer = threading.Lock()

    @property
    def name(self) -> str:
        """Name for messages, without a password."""
        return str(self.url.database) if self.is_sqlite else _shown(self.url)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database.

        Raises:
            NotRecorded: the database does not answer.
        """
        with self._in_words("answer"), self.engine.connect() as connection:
            reader = connection if self.is_sqlite else connection.execution_options(**SNAPSHOT)
            with reader.begin():
                yield reader

    @contextmanager
    def writing(self, *, in_order: bool = False) -> Iterator[Connection]:
        """A transaction that is on the disk when this ends without an error, or leaves nothing.

        Args:
            in_order: whether this waits for others that write in order, so that rows become
                visible in the order of their ids.

        Raises:
            NotRecorded: the database takes no write.
        """
        if not self.is_sqlite:
            with self._in_words("record"), self.engine.begin() as connection:
                if in_order:
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({ORDER_LOCK})"))
                yield connection
            return
        if not self._one_writer.acquire(timeout=WAIT_S):
            raise NotRecorded(
                f"{self.name}: expected to record within {WAIT_S} s, got a database that is busy; "
                "send it again"
            )
        try:
            with self._in_words("record"), self.engine.connect() as connection:
                writer = connection.execution_options(**{WRITING: True})
                with writer.begin():
                    yield writer
        finally:
            self._one_writer.release()

    @contextmanager
    def _in_words(self, verb: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise NotRecorded(self._message(verb, error.orig)) from None
        except (NoConnection, OSError) as error:
            raise NotRecorded(self._message(verb, error)) from None

    def _message(self, verb: str, error: object) -> str:
        """Line about a database that fails; a driver says it in several lines."""
        reason = one_line(str(error)) or type(error).__name__
        return f"{self.name}: expected a database that can {verb}, got: {reason[:300]}"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def checked_url(url: str) -> URL:
    """The URL of a database, with the driver that is installed with the service.

    Raises:
        DataError: it is no URL, or of another kind of database.
    """
    rule = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DataError(f"database: expected {rule}, got text that is no URL") from None
    shown = _shown(parsed)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise DataError(f"database: expected {rule}, got {shown}; records need a file")
        return parsed.set(drivername="sqlite+pysqlite")
    raise DataError(f"database: expected {rule}, got {shown}")


def _shown(url: URL) -> str:
    """A URL without its password, which may be in the query as well.

    >>> _shown(make_url("postgresql://eva:secret@db/parts?password=secret"))
    'postgresql://eva:***@db/parts'
    """
    return url.set(query={}).render_as_string()


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": WAIT_S, "check_same_thread": False},
        **POOL,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, and not by the driver
        with _closed_on_error(connection):
            _write_ahead(connection)
            for pragma in ("synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_writing = connection.get_execution_options().get(WRITING, False)
        # A lock that is asked for later, after a read, fails at once when another one has written.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Set the journal of a file, which SQLite refuses at once while another one sets it as well.

    Two that change the journal would wait for each other, so that SQLite does not wait here as it
    does for other locks.
    """
    until = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _postgres_engine(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            connect_args={
                "connect_timeout": WAIT_S,
                "keepalives_idle": 5,
                "keepalives_interval": 1,
                "keepalives_count": 3,
                "tcp_user_timeout": 1000 * WAIT_S,
                "application_name": "patchbank",
            },
            pool_pre_ping=True,
            **POOL,
        )
    except (ImportError, NoSuchModuleError):
        raise DataError(
            "database: expected the driver of PostgreSQL, got none; "
            "pip install 'patchbank[postgres]'"
        ) from None

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        with _closed_on_error(connection), connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{WAIT_S}s'")
            cursor.execute(f"SET statement_timeout = '{STATEMENT_S}s'")
            cursor.execute("SET TIME ZONE 'UTC'")
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
            connection.commit()

    return engine


@contextmanager
def _closed_on_error(connection: Any) -> Iterator[None]:
    """Close a new connection that cannot be set up; SQLAlchemy does not know it yet."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def sqlite_is_new_enough() -> bool:
    """Whether SQLite has what the records use: RETURNING, since 3.35 of 2021."""
    return sqlite3.sqlite_version_info >= (3, 35)
