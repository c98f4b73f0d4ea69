"""The servers that other tests rely on are real: they answer, stop, and keep what they have."""

import signal

import pytest

from tests.server.real_servers import is_listening

pytestmark = pytest.mark.serve


@pytest.mark.postgres
def test_databases_of_two_tests_are_two_and_survive_a_crash(postgres_server, postgres_url):
    import psycopg

    plain = postgres_url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (n integer)")
        connection.execute("INSERT INTO t VALUES (7)")
    postgres_server.stop("immediate")
    assert not postgres_server.is_running
    postgres_server.start()
    with psycopg.connect(plain) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(7,)]
    other = postgres_server.new_database().replace("+psycopg", "")
    with psycopg.connect(other) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT n FROM t")


@pytest.mark.mosquitto
def test_a_broker_is_at_the_same_port_after_it_was_killed(mosquitto):
    assert is_listening(mosquitto.port)
    mosquitto.stop(signal.SIGKILL)
    assert not is_listening(mosquitto.port)
    mosquitto.start()
    assert is_listening(mosquitto.port)
