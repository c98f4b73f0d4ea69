"""The database below the records: URLs, transactions, and what is said when it fails."""

from threading import Event, Thread

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ObjectNotExecutableError

from patchbank.errors import DataError
from patchbank.server.records.database import Database, checked_url
from patchbank.server.records.errors import NotRecorded


@pytest.fixture
def database(empty_url):
    opened = Database(empty_url)
    with opened.writing() as connection:
        connection.execute(text("CREATE TABLE t (n integer)"))
    yield opened
    opened.close()


def insert(database, *numbers, in_order=False):
    with database.writing(in_order=in_order) as connection:
        for number in numbers:
            connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})


def numbers(database):
    with database.reading() as connection:
        return sorted(connection.execute(text("SELECT n FROM t")).scalars())


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("sqlite:///a/b.sqlite", "sqlite+pysqlite"),
        ("sqlite+pysqlite:////a/b.sqlite", "sqlite+pysqlite"),
        ("postgresql://anna:x@host/name", "postgresql+psycopg"),
        ("postgres://host/name", "postgresql+psycopg"),
        ("postgresql+psycopg://host/name", "postgresql+psycopg"),
    ],
)
def test_a_url_gets_the_driver_that_is_installed(written, driver):
    assert checked_url(written).drivername == driver


@pytest.mark.parametrize("written", ["no url", "", "oracle://h/n", "sqlite:///", "file:///x"])
def test_another_url_is_refused_in_one_line(written):
    with pytest.raises(DataError) as error:
        checked_url(written)
    assert str(error.value).startswith("database: expected sqlite:///FILE or postgresql://")
    assert "\n" not in str(error.value)


def test_the_name_of_a_database_has_no_password():
    name = Database("postgresql://anna:secret@host/name").name
    assert "secret" not in name
    assert "host/name" in name


def test_what_was_written_is_there_and_an_error_leaves_nothing(database):
    insert(database, 1, 2)

    class OfATest(Exception):
        pass

    def fail():
        with database.writing() as connection:
            connection.execute(text("INSERT INTO t VALUES (3)"))
            raise OfATest

    with pytest.raises(OfATest):
        fail()
    assert numbers(database) == [1, 2]
    insert(database, 4)
    assert numbers(database) == [1, 2, 4]


def test_an_error_of_the_database_is_one_line_and_names_what_it_should_do(database):
    for opened, verb in ((database.reading, "answer"), (database.writing, "record")):
        with pytest.raises(NotRecorded) as error, opened() as connection:
            connection.execute(text("SELECT * FROM absent"))
        assert f"expected a database that can {verb}, got: " in str(error.value)
        assert "absent" in str(error.value)
        assert "\n" not in str(error.value)


def test_a_fault_of_the_program_is_not_called_one_of_the_database(database):
    with pytest.raises(ZeroDivisionError), database.writing():
        _ = 1 / 0
    with pytest.raises(ObjectNotExecutableError), database.reading() as connection:
        connection.execute("no statement")


def test_a_reader_sees_one_state(database):
    insert(database, 1)
    with database.reading() as connection:
        before = connection.execute(text("SELECT count(*) FROM t")).scalar()
        insert(database, 2)
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == before
    assert numbers(database) == [1, 2]


def test_a_connection_that_has_read_can_write(database):
    for number in range(3):
        assert numbers(database) == list(range(number))
        insert(database, number)


def test_writers_in_order_wait_for_each_other(database):
    begun, go = Event(), Event()
    order = []

    def first():
        with database.writing(in_order=True) as connection:
            begun.set()
            go.wait(10)
            connection.execute(text("INSERT INTO t VALUES (1)"))
            order.append("first")

    def second():
        with database.writing(in_order=True) as connection:
            order.append("second")
            connection.execute(text("INSERT INTO t VALUES (2)"))

    one, two = Thread(target=first), Thread(target=second)
    one.start()
    assert begun.wait(10)
    two.start()
    two.join(0.2)
    assert two.is_alive()  # it waits
    go.set()
    one.join()
    two.join()
    assert order == ["first", "second"]
    assert numbers(database) == [1, 2]


def test_a_writer_that_waits_too_long_is_sent_away(database):
    begun, go = Event(), Event()

    def hold():
        with database.writing(in_order=True):
            begun.set()
            go.wait(30)

    holder = Thread(target=hold)
    holder.start()
    assert begun.wait(10)
    try:
        with pytest.raises(NotRecorded, match="expected (to record within 2 s|a database that)"):
            insert(database, 1, in_order=True)
    finally:
        go.set()
        holder.join()
    insert(database, 2)
    assert numbers(database) == [2]


def test_a_new_connection_that_cannot_be_set_up_is_closed(tmp_path):
    path = tmp_path / "other"
    path.write_bytes(b"x" * 5000)
    database = Database(f"sqlite:///{path}")
    for _ in range(3):
        with pytest.raises(NotRecorded, match="file is not a database"), database.reading():
            pass
    assert database.engine.pool.checkedout() == 0
    database.close()


def test_other_programs_read_while_the_service_writes(database, empty_url):
    insert(database, 1)
    with database.writing() as connection:
        connection.execute(text("INSERT INTO t VALUES (2)"))
        other = create_engine(checked_url(empty_url))
        with other.connect() as reading:
            assert reading.execute(text("SELECT n FROM t")).scalars().all() == [1]
        other.dispose()
