"""Bring a database to the tables of this version, by the migrations that it has not had."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from patchbank.errors import DataError
from patchbank.server.records.database import Database

NEWEST = "0003"
"""Revision that `tables` describes: the last one in ``migrations/versions``."""
FOLDER = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x7061746369
"""Advisory lock of PostgreSQL, so that of several services one migrates."""


def migrate(database: Database, *, create: bool = True) -> None:
    """Run the migrations that are missing, in one transaction; nothing, in the usual case.

    Args:
        database: to be brought to `NEWEST`.
        create: whether tables are made where there are none.

    Raises:
        DataError: the tables are those of a newer version, or there are none.
        NotRecorded: the database cannot be opened or written.
    """
    if not create and database.is_sqlite and not Path(str(database.url.database)).is_file():
        raise _nothing(database)
    with database.reading() as connection:
        revision = revision_of(connection)
    if revision == NEWEST:
        return
    if revision is None and not create:
        raise _nothing(database)
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # large tables take long
        revision = revision_of(connection)  # another service may have been quicker
        if revision is not None and revision > NEWEST:
            raise DataError(
                f"{database.name}: expected records of revision {NEWEST} or older, got {revision}; "
                "install the newer version of patchbank that has written them"
            )
        if revision != NEWEST:
            _run(connection)


def _nothing(database: Database) -> DataError:
    return DataError(f"{database.name}: expected records of the service, got none")


def revision_of(connection: Connection) -> str | None:
    """The revision of a database; None of one without records."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _run(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # 0.2 s that only a new version needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
