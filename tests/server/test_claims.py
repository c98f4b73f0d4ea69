"""What waits for a review is given to one reviewer at a time, by any number of services."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import chain

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import event, func, select

from patchbank.errors import ParameterError
from patchbank.server.records import claiming
from patchbank.server.records.claiming import LIFE, MOST_CLAIMED, Queue
from patchbank.server.records.entries import DECISIONS, Fields
from patchbank.server.records.errors import NotClaimed, NotRecorded
from patchbank.server.records.store import Records
from patchbank.server.records.tables import CLAIMS, FLAGGED, TO_REVIEW
from tests.server.samples import MOMENT, inspection
from tests.server.test_records_at_once import at_once

ALL = Queue()
KEPT = "ab/photograph.png"


class Clock:
    """The clock of the database, which a test moves."""

    def __init__(self) -> None:
        self.time = MOMENT

    def __call__(self, connection):
        return self.time


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(claiming, "moment_of", made)
    monkeypatch.setattr("patchbank.server.records.judging.moment_of", made)
    return made


@pytest.fixture
def other(records, database_url):
    """A second service on the same database."""
    opened = Records.open(database_url, instance="there")
    yield opened
    opened.close()


def flagged(first, last):
    return [inspection(number, verdict="anomalous") for number in range(first, last + 1)]


def ids(claimed):
    return [one.id for one in claimed.new]


def test_flagged_unread_and_border_cases_wait_and_nothing_else(records):
    records.add(
        [
            inspection(1, verdict="anomalous"),
            inspection(2, verdict="unread"),
            inspection(3, is_border=True, photograph=KEPT),
            inspection(4, is_border=True),  # without a photograph it cannot be looked at
            inspection(5, photograph=KEPT),
            inspection(6, is_border=True, photograph=KEPT),
            inspection(7, verdict="anomalous"),
        ]
    )
    records.add_review(7, "unsure", "anna")
    found = records.claim("a", ALL, 50)
    assert ids(found) == [1, 2, 3, 6]
    assert (found.held, found.waiting, found.others) == ((1, 2, 3, 6), 4, 0)
    assert (found.anomalous, found.unread) == (1, 1)
    records.release("a")
    found = records.claim("a", Queue(has_border=False), 50)
    assert (ids(found), found.waiting, found.anomalous, found.unread) == ([1, 2], 2, 1, 1)
    assert records.claim("a", Queue(product="another"), 0).anomalous == 0
    found = records.claim("a", ALL, 50)
    assert (ids(found), found.held) == ([3, 6], (1, 2, 3, 6))
    records.add_review(7, "withdrawn", "anna")
    assert ids(records.claim("a", ALL, 50)) == [7]


def test_products_and_lots_have_their_own_queues_in_either_order(records):
    new = [
        replace(one, product=product, fields=Fields(lot=lot))
        for one, product, lot in zip(
            flagged(1, 6), "aababa", ("7", "8", "7", "7", "8", None), strict=True
        )
    ]
    records.add(new)
    found = records.claim("x", Queue("a", "7"), 9)
    assert (ids(found), found.waiting) == ([1, 4], 2)
    found = records.claim("y", Queue("a", newest_first=True), 2)
    assert (ids(found), found.waiting, found.others) == ([6, 2], 4, 2)
    assert records.claim("y", Queue("c"), 9).waiting == 0
    for wrong in (Queue("\0"), Queue(lot="\0")):
        with pytest.raises(ParameterError, match="without NUL"):
            records.claim("x", wrong, 1)
    with pytest.raises(ParameterError, match="count: expected 0 or more, got -1"):
        records.claim("x", ALL, -1)


def test_counts_and_claims_are_those_of_a_time_and_a_shift(records):
    late, night = Fields(shift="late"), Fields(shift="night")
    minutes = (0, 29, 30, 75, 76, 600, 1500)
    kinds = ["anomalous", "unread", "anomalous", "anomalous", "good", "anomalous", "unread"]
    records.add(
        [
            replace(
                inspection(n, verdict=kind, is_border=kind == "good", photograph=KEPT),
                time=MOMENT + timedelta(minutes=minute),
                fields=night if n < 3 else late,
            )
            for n, (minute, kind) in enumerate(zip(minutes, kinds, strict=True), 1)
        ]
    )

    def wanted(since, until, **more):
        times = [None if m is None else MOMENT + timedelta(minutes=m) for m in (since, until)]
        queue = Queue("bolts", since=times[0], until=times[1], **more)
        found = records.claim("a", queue, 50)
        assert len(ids(found)) == found.waiting
        records.release("a")
        return ids(found), (found.anomalous, found.unread)

    assert wanted(None, None) == ([1, 2, 3, 4, 5, 6, 7], (4, 2))
    assert wanted(30, None) == ([3, 4, 5, 6, 7], (3, 1))  # that of 8:59 is of the same hour
    assert wanted(29, 76) == ([2, 3, 4], (2, 1))
    assert wanted(None, 30) == ([1, 2], (1, 1))
    assert wanted(60, 700, newest_first=True, has_border=False) == ([6, 4], (2, 0))
    assert wanted(0, 70, shift="night") == ([1, 2], (1, 1))
    assert wanted(0, 70, shift="early") == ([], (0, 0))
    assert wanted(700, 800) == wanted(3000, None) == ([], (0, 0))
    records.claim("b", Queue(until=MOMENT + timedelta(minutes=30)), 50)
    assert records.claim("a", Queue(since=MOMENT + timedelta(minutes=29)), 50).others == 1
    with pytest.raises(ParameterError, match="since: expected"):
        records.claim("a", Queue(since=MOMENT.replace(tzinfo=None)), 1)
    with pytest.raises(ParameterError, match="without NUL"):
        records.claim("a", Queue(shift="\0"), 1)


def test_a_claim_ends_unless_it_is_renewed(records, clock):
    records.add(flagged(1, 3))
    assert ids(records.claim("a", ALL, 2)) == [1, 2]
    clock.time += 0.8 * LIFE
    assert records.claim("a", ALL, 0).held == (1, 2)  # renewed
    assert ids(records.claim("b", ALL, 9)) == [3]
    clock.time += 0.8 * LIFE
    assert ids(records.claim("b", ALL, 9)) == []
    clock.time += 0.3 * LIFE  # those of a are over, those of b are not
    found = records.claim("b", ALL, 9)
    assert (ids(found), found.held) == ([1, 2], (1, 2, 3))
    assert records.claim("a", ALL, 9).held == ()


def test_claims_that_nobody_else_wanted_stay_also_late(records, clock):
    records.add(flagged(1, 2))
    records.claim("a", ALL, 1)
    clock.time += timedelta(days=1)
    assert records.claim("a", ALL, 0).held == (1,)
    assert ids(records.claim("b", ALL, 9)) == [2]


def test_what_is_given_back_goes_to_others_at_once(records):
    records.add(flagged(1, 3))
    records.claim("a", ALL, 2)
    assert records.release("nobody") == 0
    assert records.release("a") == 2
    assert ids(records.claim("b", ALL, 9)) == [1, 2, 3]


def test_a_reviewer_has_a_hundred_at_most(records):
    records.add(flagged(1, MOST_CLAIMED + 5))
    assert len(ids(records.claim("a", ALL, MOST_CLAIMED - 1))) == MOST_CLAIMED - 1
    assert ids(records.claim("a", ALL, 50)) == [MOST_CLAIMED]
    assert ids(records.claim("a", ALL, 50)) == []


def test_a_review_ends_the_claim_of_whoever_has_it(records):
    records.add(flagged(1, 3))
    records.claim("a", ALL, 3)
    records.add_review(2, "false_alarm", "line")  # at the operator's screen, without a claim
    found = records.claim("a", ALL, 0)
    assert (found.held, found.waiting) == ((1, 3), 2)
    records.add_review(1, "confirmed_defect", "anna", reviewer="a")
    assert records.claim("a", ALL, 0).held == (3,)


def test_who_has_lost_a_claim_decides_nothing(records, clock):
    records.add(flagged(1, 2))
    records.claim("a", ALL, 2)
    clock.time += 2 * LIFE
    records.claim("b", ALL, 1)
    with pytest.raises(NotClaimed, match="that no other reviewer has, got 1; go on"):
        records.add_review(1, "false_alarm", "anna", reviewer="a")
    records.add_review(2, "false_alarm", "anna", reviewer="a")  # over, but nobody took it
    records.add_review(1, "confirmed_defect", "bert", reviewer="b")
    with pytest.raises(NotClaimed, match="without a review"):
        records.add_review(1, "false_alarm", "anna", reviewer="a")
    assert [one.decision for one in records.reviews(1)] == ["confirmed_defect"]
    records.add_review(1, "false_alarm", "chief")  # outside of the queue, the latest counts
    assert records.inspection(1).review == "false_alarm"


def test_what_is_withdrawn_is_the_reviewers_again(records):
    records.add(flagged(1, 2))
    records.claim("a", ALL, 1)
    records.add_review(1, "false_alarm", "anna", reviewer="a")
    records.add_review(1, "withdrawn", "anna", reviewer="a")
    assert ids(records.claim("b", ALL, 9)) == [2]
    assert records.claim("a", ALL, 0).held == (1,)


def test_reviewers_of_two_services_at_once_get_each_part_once(records, other):
    records.add(flagged(1, 24))

    def patient(ask):
        """Ask again as a page does: a busy machine may keep one waiting for longer than 2 s."""
        while True:
            with suppress(NotRecorded):
                return ask()

    def reviewing(service, name):
        done = []
        while True:
            found = patient(lambda: service.claim(name, ALL, 4))
            if not found.held:
                return done
            for n in found.held:
                patient(lambda n=n: service.add_review(n, "false_alarm", name, reviewer=name))
                done.append(n)

    workers = [
        (service, f"{service.instance}-{n}") for n in range(2) for service in (records, other)
    ]
    done = at_once(*(lambda w=worker: reviewing(*w) for worker in workers))
    assert sorted(chain(*done)) == list(range(1, 25))
    assert all(len(records.reviews(number)) == 1 for number in range(1, 25))
    with records._database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(CLAIMS)).scalar() == 0
    assert records.damage() == []


def test_the_queue_is_found_by_its_own_index(tmp_path, migrated_sqlite):
    path = shutil.copy(migrated_sqlite, tmp_path / "records.sqlite")
    opened, statements = Records.open(f"sqlite:///{path}", instance="here"), []
    opened.add([inspection(n, verdict="unread" if n % 50 == 0 else "good") for n in range(600)])

    def note(connection, cursor, statement, parameters, context, many):
        if statement.lstrip().startswith("SELECT") and FLAGGED.partition(" AND ")[2] in statement:
            statements.append((statement, parameters))

    event.listen(opened._database.engine, "before_cursor_execute", note)
    flagged_alone = Queue("bolts", newest_first=True, has_border=False)
    of_a_time = Queue("bolts", since=MOMENT, until=MOMENT + timedelta(hours=1))
    for queue in (ALL, Queue("bolts"), Queue("bolts", "7"), flagged_alone, of_a_time):
        assert len(ids(opened.claim("a", queue, 3))) == (0 if queue.lot else 3)
    event.remove(opened._database.engine, "before_cursor_execute", note)
    with opened._database.reading() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines = [row[3] for row in plan]
            of_queue = [line for line in lines if "inspections" in line]
            index = "to_review" if TO_REVIEW in statement else "ix_inspections_flagged"
            assert all("INTEGER PRIMARY KEY" in e or index in e for e in of_queue), lines
            is_sorted = any("TEMP B-TREE" in line for line in lines)
            assert is_sorted == ("GROUP BY" in statement), lines  # at most two verdicts
    assert len(statements) == 20
    opened.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.sampled_from("ab"), st.integers(0, 4)),
        st.tuples(st.just("release"), st.sampled_from("ab"), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 200)),
        st.tuples(st.just("review"), st.sampled_from("ab-"), st.integers(1, 8)),
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_no_inspection_is_ever_two_reviewers_or_decided_twice(steps, tmp_path, migrated_sqlite):
    path = shutil.copy(migrated_sqlite, tmp_path / "records.sqlite")
    records, clock = Records.open(f"sqlite:///{path}", instance="here"), Clock()
    records.add(flagged(1, 8))
    has, decided = {"a": {}, "b": {}}, set()  # reviewer -> number -> when it ends
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(claiming, "moment_of", clock)
        patched.setattr("patchbank.server.records.judging.moment_of", clock)
        for verb, who, number in steps:
            if verb == "wait":
                clock.time += timedelta(seconds=number)
            elif verb == "release":
                assert records.release(who) == len(has[who])
                has[who] = {}
            elif verb == "claim":
                another = has["b" if who == "a" else "a"]
                for key in [key for key, ends in another.items() if ends <= clock.time]:
                    del another[key]
                found = records.claim(who, ALL, number)
                free = [n for n in range(1, 9) if n not in decided | {*has[who], *another}]
                assert ids(found) == free[:number]
                for key, ends in has[who].items():
                    has[who][key] = (
                        max(ends, clock.time + LIFE) if ends <= (clock.time + LIFE / 2) else ends
                    )
                has[who] |= dict.fromkeys(ids(found), clock.time + LIFE)
                assert sorted(found.held) == sorted(has[who])
                assert (found.waiting, found.others) == (8 - len(decided), len(another))
            elif who == "-":
                records.add_review(number, "unsure", "line")
                decided.add(number)
                for each in has.values():
                    each.pop(number, None)
            else:
                another = has["b" if who == "a" else "a"]
                if number in decided or number in another:
                    with pytest.raises(NotClaimed):
                        records.add_review(number, DECISIONS[0], who, reviewer=who)
                else:
                    records.add_review(number, DECISIONS[0], who, reviewer=who)
                    decided.add(number)
                    has[who].pop(number, None)
    assert all((records.inspection(n).review is not None) == (n in decided) for n in range(1, 9))
    records.close()
    path.unlink()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
