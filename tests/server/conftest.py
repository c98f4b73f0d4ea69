"""Fixtures: a detector that is fitted once, a service that several tests share, new records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def fitted(tmp_path_factory) -> Path:
    """A detector file, which no test may change."""
    from tests.server.services import fit_detector

    return fit_detector(tmp_path_factory.mktemp("fitted"))


@pytest.fixture
def detector_file(fitted, tmp_path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copy(fitted, tmp_path / "parts.patchbank"))


@pytest.fixture(scope="module")
def service(fitted, tmp_path_factory):
    """A service with the product `parts`, all of whose photographs are kept."""
    from tests.server.services import Running

    folder = tmp_path_factory.mktemp("service")
    file = shutil.copy(fitted, folder / "parts.patchbank")
    with Running(folder / "data", file, "--keep-good", "1") as running:
        yield running


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory):
    """A file with the tables, which tests copy: migrations take longer than most of them."""
    from patchbank.server.records.store import Records

    path = tmp_path_factory.mktemp("migrated") / "records.sqlite"
    Records.open(f"sqlite:///{path}", instance="template").close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server):
    """Name of a database with the tables, likewise."""
    from patchbank.server.records.store import Records

    url = postgres_server.new_database()
    Records.open(url, instance="template").close()
    return url.rpartition("/")[2]


@pytest.fixture(params=BOTH)
def empty_url(request, tmp_path):
    """URL of a new, empty database of each kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'records.sqlite'}"


@pytest.fixture(params=BOTH)
def database_url(request, tmp_path):
    """URL of a new database of each kind, with the tables of the records."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        return server.new_database(template=request.getfixturevalue("migrated_postgres"))
    path = tmp_path / "records.sqlite"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def records(database_url):
    """New records of the service ``here``."""
    from patchbank.server.records.store import Records

    opened = Records.open(database_url, instance="here")
    yield opened
    opened.close()
