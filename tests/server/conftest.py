"""Fixtures: new records in both databases."""

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request, tmp_path):
    """URL of a new, empty database of each kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'records.sqlite'}"


@pytest.fixture
def records(database_url):
    """New records of the service ``here``."""
    from patchbank.server.records.store import Records

    opened = Records.open(database_url, instance="here")
    yield opened
    opened.close()
