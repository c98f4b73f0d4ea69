"""Backup and restore: the database, pictures and detectors of a service in one folder."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from patchbank.errors import DataError
from patchbank.runtime.atomic_file import make_folders, replace_file, sync_folder
from patchbank.runtime.printable import json_text, one_line
from patchbank.server.records.base import now
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.database import Database, checked_url
from patchbank.server.records.entries import iso_utc
from patchbank.server.records.migrating import revision_of
from patchbank.server.records.store import Records

SCHEMA_VERSION = 1
FACTS = "backup.json"
DUMP = "records.dump"
FOLDERS = ("pictures", "detectors", "versions")
JUMP = 100_000_000
"""Numbers that are left out after a restore: inspections since the backup had some of them."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Facts of a backup."""

    time: str
    database: str
    """``sqlite`` or ``postgresql``."""
    version: str
    """Version of the program."""

    def to_json(self) -> dict[str, Any]:
        """The content of ``backup.json``."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def back_up(data: DataFolder, url: str, target: Path) -> Backup:
    """Copy all that a service has, while it runs; the copy is there when it is whole.

    The database comes first: each picture that it names is there already, unless it is removed as
    an old one meanwhile.

    Raises:
        DataError: the target is there, or something cannot be read or written.
    """
    from patchbank import __version__  # noqa: PLC0415  # as the commands do

    database = checked_url(url)
    kind = database.get_backend_name()
    with _reported(target, "a backup"), _folder_in_place_of(target) as folder:
        if kind == "sqlite":
            copy_sqlite(Path(str(database.database)), folder / data.database.name)
        else:
            _run_postgres("pg_dump", database, "--format=custom", f"--file={folder / DUMP}")
        _copy_files(data.folder, folder)
        facts = Backup(iso_utc(now()), kind, str(__version__))
        replace_file(folder / FACTS, (json_text(facts.to_json(), indent=2) + "\n").encode())
    return facts


def restore(source: Path, data: DataFolder, url: str) -> Backup:
    """Make the folder of a service from a backup, and fill its database.

    Raises:
        DataError: there are records already, the source is no backup, or it is damaged.
    """
    facts = read_facts(source)
    database = checked_url(url)
    kind = database.get_backend_name()
    if kind != facts.database:
        raise DataError(
            f"{source}: expected a backup of {kind}, got one of {facts.database}; "
            "give the URL of such a database with --database"
        )
    with _reported(data.folder, "restored records"), _folder_in_place_of(data.folder) as folder:
        _copy_files(source, folder)
        if kind == "sqlite":
            own = folder / data.database.name
            copy_sqlite(source / data.database.name, own)
            _check_restored(DataFolder(folder).url, facts)
        else:
            _check_empty(url)
            _run_postgres(
                "pg_restore",
                database,
                "--single-transaction",
                "--exit-on-error",
                "--no-owner",
                f"--dbname={database.database}",
                str(source / DUMP),
            )
            _check_restored(url, facts)
    return facts


def read_facts(source: Path) -> Backup:
    """The facts of a backup.

    Raises:
        DataError: it is none, or one of a newer version.
    """
    try:
        content = json.loads((source / FACTS).read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {content['schema_version']}")
        return Backup(*(str(content[name]) for name in Backup.__slots__))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{source}: expected a folder that `patchbank records backup` has made, got: {error}"
        ) from None


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that others may be writing, by the backup of SQLite.

    Raises:
        DataError: it is damaged, or none.
    """
    if not source.is_file():
        raise DataError(f"{source}: expected records of the service, got none")
    try:
        with (
            closing(sqlite3.connect(source, timeout=20)) as original,
            closing(sqlite3.connect(target)) as copy,
        ):
            original.backup(copy)
            result = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise DataError(f"{source}: expected records that can be copied, got: {error}") from None
    if result != "ok":
        raise DataError(f"{source}: expected whole records, got damage: {one_line(result)}")
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def _check_restored(url: str, facts: Backup) -> None:
    """Check the chain of the audit, note the restore in it, and leave numbers out."""
    records = Records.open(url, instance="restore", create=False)
    try:
        broken = records.verify_audit()
        if broken is not None:
            raise DataError(
                f"audit: expected a whole chain in the backup, got a break at {broken.number}"
            )
        records.leave_numbers_out(JUMP)
        records.append_audit("local", "records restored", None, {"backup": facts.time})
    finally:
        records.close()


def _check_empty(url: str) -> None:
    database = Database(url)
    try:
        with database.reading() as connection:
            if revision_of(connection) is not None:
                raise DataError(
                    f"{database.name}: expected an empty database, got one with records; "
                    "restore into another one"
                )
    finally:
        database.close()


@contextmanager
def _folder_in_place_of(target: Path) -> Iterator[Path]:
    """A new folder that gets its name when all is in it; what is in it is on the disk then."""
    with suppress(OSError):
        target.rmdir()  # an empty one is as good as none
    if os.path.lexists(target):
        raise DataError(f"{target}: expected a folder that is not there, or is empty, got files")
    make_folders(target.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        if os.name == "posix":
            os.sync()
        folder.rename(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy_files(source: Path, target: Path) -> None:
    """Copy all but the database."""
    for name in FOLDERS:
        _copy(source / name, target / name)
    if (source / "instance").exists():
        shutil.copy2(source / "instance", target)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder, if it is there, without files that are removed meanwhile."""
    for folder, _, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        make_folders(into)
        for name in names:
            with suppress(FileNotFoundError):
                shutil.copy2(Path(folder) / name, into / name)


def _run_postgres(program: str, url: URL, *arguments: str) -> None:
    """Run a program of PostgreSQL; the password is in its environment, where others cannot read it.

    Raises:
        DataError: the program is not there, or fails.
    """
    if shutil.which(program) is None:
        raise DataError(
            f"{program}: expected this program of PostgreSQL, got none; install postgresql-client, "
            "or back up the database with the tools of its server"
        )
    query = {key: str(value) for key, value in url.query.items()}
    given = {
        "PGHOST": url.host or query.get("host"),
        "PGPORT": None if url.port is None else str(url.port),
        "PGUSER": url.username,
        "PGPASSWORD": None if url.password is None else str(url.password),
        "PGDATABASE": url.database,
        "PGSSLMODE": query.get("sslmode"),
    }
    environment = {**os.environ, **{key: value for key, value in given.items() if value}}
    done = subprocess.run(
        [program, "--no-password", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = one_line(done.stderr)[-300:]
        raise DataError(f"{program}: expected it to succeed, got: {reason}")


@contextmanager
def _reported(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: expected to write {what}, got: {error.strerror or error}"
        ) from None
