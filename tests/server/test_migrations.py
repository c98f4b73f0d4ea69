"""Migrations come to the tables that the program uses, once, in one transaction."""

import os
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from patchbank.errors import DataError
from patchbank.server.records.database import Database
from patchbank.server.records.errors import NotRecorded
from patchbank.server.records.migrating import FOLDER, NEWEST, migrate, revision_of
from patchbank.server.records.store import Records
from patchbank.server.records.tables import METADATA
from tests.server.samples import inspection

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database(empty_url):
    opened = Database(empty_url)
    yield opened
    opened.close()


def test_migrations_come_to_the_tables_of_the_program(database):
    migrate(database)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        names = set(inspect(connection).get_table_names())
        assert names == {*METADATA.tables, "alembic_version"}
        assert revision_of(connection) == NEWEST


def test_indexes_have_only_the_rows_with_a_value(database):
    migrate(database)
    statement = "SELECT sql FROM sqlite_master WHERE name = 'ix_inspections_lot_id'"
    if not database.is_sqlite:
        statement = "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_inspections_lot_id'"
    with database.reading() as connection:
        assert "lot IS NOT NULL" in connection.execute(text(statement)).scalar_one()


def test_the_newest_revision_is_the_one_that_the_program_expects():
    script = ScriptDirectory(str(FOLDER))
    assert script.get_heads() == [NEWEST]


def test_a_second_start_migrates_nothing_and_needs_no_alembic(empty_url):
    Records.open(empty_url, instance="here").close()
    code = (
        "import sys; from patchbank.server.records.store import Records; "
        f"Records.open({empty_url!r}, instance='here').close(); "
        "assert 'alembic' not in sys.modules; assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_services_that_start_at_once_migrate_once(empty_url):
    opened, faults = [], []

    def start(name):
        try:
            opened.append(Records.open(empty_url, instance=name))
        except Exception as error:
            faults.append(error)

    threads = [Thread(target=start, args=(f"service-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for records in opened:
        assert len(records.add([inspection(1)])) == 1
        records.close()


def test_a_file_that_another_service_is_making_is_waited_for(tmp_path):
    file, faults = tmp_path / "records.sqlite", []

    def start():
        try:
            Records.open(f"sqlite:///{file}", instance="here").close()
        except DataError as error:
            faults.append(error)

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # SQLite itself does not wait for it to set the journal
        opening = Thread(target=start)
        opening.start()
        opening.join(0.3)
        other.execute("COMMIT")
        opening.join()
    assert faults == []
    with closing(sqlite3.connect(file)) as after:
        assert after.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert after.execute("SELECT version_num FROM alembic_version").fetchone() == (NEWEST,)


def test_records_of_a_newer_version_are_left_as_they_are(database):
    migrate(database)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    message = f"expected records of revision {NEWEST} or older, got 9999; install the newer version"
    with pytest.raises(DataError, match=message):
        Records.open(database.url.render_as_string(hide_password=False), instance="here")
    with database.reading() as connection:
        assert revision_of(connection) == "9999"


def test_a_migration_that_fails_leaves_nothing(database, monkeypatch):
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE tallies (n integer)"))  # in the way of ours
    with pytest.raises(NotRecorded, match="tallies"):
        migrate(database)
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["tallies"]
        assert revision_of(connection) is None


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path):
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"no database at all, but long enough to look like one" * 100)
    with pytest.raises(DataError, match="records.sqlite: expected a database .* not a database"):
        Records.open(f"sqlite:///{path}", instance="here")
    with pytest.raises(DataError, match="unable to open database file"):
        Records.open(f"sqlite:///{tmp_path}/absent/records.sqlite", instance="here")


def test_the_wheel_has_the_migrations(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    environment = {**os.environ, "HATCH_BUILD_NO_HOOKS": "true"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    folder = "patchbank/server/records/migrations"
    versions = [path.name for path in (FOLDER / "versions").glob("*.py")]
    assert versions
    assert {f"{folder}/env.py", *(f"{folder}/versions/{name}" for name in versions)} <= names
