"""Killed, locked, full, gone, set back: nothing acknowledged is lost, nothing is there by half."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from patchbank.server.records.entries import Answer, Filter
from patchbank.server.records.errors import NotRecorded
from patchbank.server.records.pictures import Pictures
from patchbank.server.records.store import Records
from tests.server.samples import MOMENT, inspection

ROOT = Path(__file__).parents[2]


def killed_writer(url, seed, group, rng):
    """Let a process record, kill it at a random moment, and return what it has acknowledged."""
    command = [sys.executable, "-m", "tests.server.writer", url, str(seed), str(group)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()  # it has begun
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
    whole = said[: said.rindex("\n")]  # a line that was cut off acknowledges nothing
    pairs = [pair.split("=") for pair in whole.split()]
    return [(int(number), key) for number, key in pairs]


@pytest.mark.parametrize("group", [1, 7])
def test_a_killed_writer_loses_nothing_that_it_has_acknowledged(database_url, group):
    rng = random.Random(group)
    Records.open(database_url, instance="reader").close()
    acknowledged = []
    for seed in range(3):
        acknowledged += killed_writer(database_url, seed, group, rng)
    records = Records.open(database_url, instance="reader")
    assert records.damage() == []
    assert len(acknowledged) > 5
    for number, key in acknowledged:
        assert records.inspection(number).idempotency_key == key
    everything, cursor = [], None
    while cursor is not None or not everything:
        page = records.inspections(Filter(), limit=1000, cursor=cursor)
        everything += page.inspections
        cursor = page.cursor
        if cursor is None:
            break
    keys = Counter(one.idempotency_key for one in everything)
    assert set(keys.values()) == {1}  # nothing twice under its key
    waiting = []
    for seed in range(3):
        own = Records.open(database_url, instance=f"writer-{seed}")
        waiting += [message.inspection_id for message in own.messages("c", 10**6)]
        own.close()
    assert sorted(waiting) == sorted(one.id for one in everything)  # each with its message
    records.close()


def test_processes_that_record_at_once_do_not_disturb_each_other(database_url):
    Records.open(database_url, instance="reader").close()
    commands = [
        [sys.executable, "-m", "tests.server.writer", database_url, str(seed), "3", "12"]
        for seed in range(3)
    ]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    numbers = [int(pair.partition("=")[0]) for text in said for pair in text.split()]
    records = Records.open(database_url, instance="reader")
    found = [one.id for one in records.inspections(limit=1000).inspections]
    assert sorted(set(numbers)) == found[::-1]
    for text in said:  # each has seen its own numbers rise
        firsts = [int(line.split()[0].partition("=")[0]) for line in text.splitlines()]
        assert len(firsts) == 12
        assert firsts == sorted(firsts)
    assert records.damage() == []
    records.close()


@contextmanager
def locked(url):
    """Somebody else holds the database."""
    if url.startswith("sqlite"):
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
        other.close()
        return
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE inspections, instances IN EXCLUSIVE MODE")
        yield
        other.rollback()


def test_a_locked_database_is_said_and_works_again_by_itself(records, database_url):
    records.add([inspection(1)])
    with locked(database_url):
        with pytest.raises(NotRecorded, match="expected a database that can record, got: .*lock"):
            records.add([inspection(2)], ["c"])
        with pytest.raises(NotRecorded, match="lock"):
            records.check()
        assert [one.id for one in records.inspections().inspections] == [1]  # reading goes on
    records.check()
    (answer,) = records.add([inspection(2)], ["c"])
    assert answer.is_new
    assert records.outbox_size("c") == 1
    assert records.damage() == []


def test_threads_that_wait_for_each_other_are_all_served(records):
    answers = []

    def work(start):
        for number in range(start, start + 8):
            answers.extend(records.add([inspection(number)], ["c"]))

    threads = [Thread(target=work, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(answer, Answer) for answer in answers)
    assert sorted(answer.inspection.id for answer in answers) == list(range(1, 33))
    waiting = [message.inspection_id for message in records.messages("c", 99)]
    assert waiting == list(range(1, 33))
    assert records.damage() == []


@contextmanager
def files_of_at_most(n_bytes):
    """No file can grow above a size: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_and_what_was_acknowledged_stays(tmp_path):
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="here")
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    acknowledged, refused = [], 0
    with files_of_at_most(size + 400_000):
        for number in range(400):
            try:
                acknowledged += records.add([inspection(number), inspection(-number)], ["c"])
            except NotRecorded:
                refused += 1
            if refused == 3:
                break
        assert refused == 3
        with pytest.raises(NotRecorded, match="expected a database that can record, got: "):
            records.add([inspection(1), inspection(2)])
        assert len(acknowledged) > 5
    assert records.damage() == []
    count = len(acknowledged)
    assert records.outbox_size("c") == count
    assert records.inspection(count) == acknowledged[-1].inspection
    (answer,) = records.add([inspection(7)])
    assert answer.inspection.id == count + 1
    records.close()


def test_a_picture_on_a_full_disk_is_not_there_by_half(tmp_path):
    pictures = Pictures(tmp_path / "pictures")
    kept = pictures.keep(b"small", ".png")
    with (
        files_of_at_most(1000),
        pytest.raises(NotRecorded, match="expected to keep a picture, got: File too large"),
    ):
        pictures.keep(os.urandom(5000), ".png")
    assert [path for path in pictures.folder.rglob("*") if path.is_file()] == [
        pictures.folder / kept[:2] / kept[2:4] / kept
    ]


@pytest.mark.postgres
def test_a_database_that_is_gone_comes_back_by_itself(postgres_server, postgres_url):
    records = Records.open(postgres_url, instance="here")
    (before,) = records.add([inspection(1)], ["c"])
    postgres_server.stop("immediate")
    for ask in (records.check, records.inspections, lambda: records.add([inspection(2)])):
        with pytest.raises(NotRecorded, match="expected a database that can"):
            ask()
    with pytest.raises(NotRecorded) as error:
        records.inspection(1)
    assert "\n" not in str(error.value)
    postgres_server.start()
    records.check()
    assert records.inspection(1) == before.inspection
    (answer,) = records.add([inspection(2)], ["c"])
    assert answer.is_new
    waiting = [message.inspection_id for message in records.messages("c", 9)]
    assert waiting == [1, answer.inspection.id]  # a crash leaves numbers out
    records.close()


def test_a_clock_that_was_set_back_changes_no_order_and_no_count(records):
    times = [MOMENT + timedelta(hours=h) for h in (5, 6, -40, -39, 7)]
    new = [inspection(n, time=moment) for n, moment in enumerate(times)]
    numbers = [answer.inspection.id for answer in records.add(new, ["c"])]
    assert numbers == [1, 2, 3, 4, 5]
    assert [one.id for one in records.scores(Filter())] == numbers
    assert [message.inspection_id for message in records.messages("c", 9)] == numbers
    wanted = Filter(since=MOMENT - timedelta(hours=40), until=MOMENT)
    assert [one.id for one in records.inspections(wanted).inspections] == [4, 3]
    assert sum(one.good for one in records.counts("day").groups) == 5
    assert sum(one.good for one in records.counts("day", until=MOMENT).groups) == 2


def test_what_is_written_is_synced_before_it_is_acknowledged(tmp_path):
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="here")
    with records._database.reading() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    assert found == ["wal", 2, 1]  # 2 is FULL
    records.close()


@pytest.mark.postgres
def test_postgresql_syncs_though_its_default_is_not_to(postgres_server, postgres_url):
    import psycopg

    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = 'off'"
        )
    records = Records.open(postgres_url, instance="here")
    with records._database.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        assert connection.exec_driver_sql("SHOW timezone").scalar() == "UTC"
    records.close()
