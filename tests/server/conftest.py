"""Fixtures: new records in both databases."""

import shutil

import pytest

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


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
        if not server.is_running:
            server.start()
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
