"""Services, threads and questions at the same time: each finds what it would find alone."""

import threading
from dataclasses import replace
from datetime import timedelta

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select

from patchbank.core.scores.calibration import Calibration
from patchbank.server.records.entries import DECISIONS, Answer, Fields, Filter
from patchbank.server.records.errors import KeyReused
from patchbank.server.records.statements import drift_of
from patchbank.server.records.store import Records
from patchbank.server.records.tables import INSTANCES
from tests.server.samples import DETECTOR, MOMENT, inspection


def at_once(*works):
    """Run functions in threads that begin together; an error of one is raised."""
    barrier, faults, results = threading.Barrier(len(works)), [], [None] * len(works)

    def run(at, work):
        try:
            barrier.wait(10)
            results[at] = work()
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(at, work)) for at, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return results


@pytest.fixture
def other(records, database_url):
    """A second service on the same database."""
    opened = Records.open(database_url, instance="there")
    yield opened
    opened.close()


def test_of_two_services_that_have_one_key_at_once_one_records_it(records, other):
    for round_ in range(5):
        keyed = replace(inspection(round_), idempotency_key=f"k{round_}")
        (one,), (two,) = at_once(lambda k=keyed: records.add([k]), lambda k=keyed: other.add([k]))
        assert {one.is_new, two.is_new} == {True, False}
        assert one.inspection == two.inspection
        assert one.inspection.instance == ("here" if one.is_new else "there")
    assert len(records.inspections().inspections) == 5


def test_two_photographs_under_one_key_at_once_are_one_and_an_error(records, other):
    keyed = [replace(inspection(n), idempotency_key="k") for n in range(2)]
    outcomes = at_once(lambda: records.add(keyed[:1]), lambda: other.add(keyed[1:]))
    kinds = sorted(type(outcome).__name__ for (outcome,) in outcomes)
    assert kinds == ["Answer", "KeyReused"]
    (refused,) = [o for (o,) in outcomes if isinstance(o, KeyReused)]
    assert "got another one than inspection 1" in str(refused)


def test_reviews_at_once_are_all_kept_and_one_counts(records, other):
    records.add([inspection(1, verdict="anomalous")])
    at_once(
        *(
            lambda d=decision, r=service: r.add_review(1, d, "anna")
            for decision in DECISIONS
            for service in (records, other)
        )
    )
    said = [review.decision for review in records.reviews(1)]
    assert sorted(said) == sorted([*DECISIONS, *DECISIONS])
    assert records.inspection(1).review == said[-1]
    assert records.damage() == []


def test_a_reader_never_sees_an_inspection_without_its_count_and_message(records, other):
    stop = threading.Event()

    def write():
        for number in range(25):
            records.add([inspection(2 * number), inspection(2 * number + 1)], ["c"])
        stop.set()

    def read():
        seen = []
        while not stop.is_set():
            assert other.damage() == []
            seen.append(len(other.inspections(limit=1000).inspections))
        return seen

    _, seen = at_once(write, read)
    assert seen == sorted(seen)
    assert all(number % 2 == 0 for number in seen)  # groups are there as a whole
    assert records.outbox_size("c") == 50


def test_numbers_become_visible_in_their_order(records, other):
    """Whoever reads up to the highest number has not missed a lower one."""
    stop = threading.Event()

    def write(service, first):
        for number in range(first, first + 20):
            service.add([inspection(number)])

    def both():
        at_once(lambda: write(records, 0), lambda: write(other, 100))
        stop.set()

    def follow():
        last, found = 0, []
        while True:
            ended = stop.is_set()
            new = [one.id for one in records.scores(Filter(), after=last)]
            found += new
            last = found[-1] if found else 0
            if ended:
                return found

    _, found = at_once(both, follow)
    assert found == sorted(one.id for one in records.inspections(limit=1000).inspections)
    assert len(found) == 40


def test_two_who_ask_for_drift_at_once_count_each_part_once(records, other):
    learned = np.sort(np.random.default_rng(0).normal(10, 1, 50))
    calibration = Calibration(learned, learned, 0.05)
    new = []
    for number, score in enumerate(np.random.default_rng(1).normal(10, 1, 60)):
        one = inspection(number)
        new.append(replace(one, result={**one.result, "score": float(score)}))
    for begin in range(0, 60, 20):
        records.add(new[begin : begin + 20])
        answers = at_once(
            *(lambda s=s: drift_of(s, "bolts", calibration, DETECTOR) for s in (records, other))
        )
        assert answers[0] == answers[1]
        assert answers[0].counts["parts"] == begin + 20


def test_a_service_says_that_it_is_here(records, other):
    records.check()
    other.check()
    with records._database.reading() as connection:
        first = dict(connection.execute(select(INSTANCES.c.name, INSTANCES.c.seen)).all())
    records.check()
    with records._database.reading() as connection:
        second = dict(connection.execute(select(INSTANCES.c.name, INSTANCES.c.seen)).all())
    assert first.keys() == second.keys() == {"here", "there"}
    assert second["here"] > first["here"]
    assert second["there"] == first["there"]


def test_numbers_that_are_left_out_are_given_to_nobody(records):
    records.leave_numbers_out(10)
    (first,) = records.add([inspection(1)])
    records.leave_numbers_out(1000)
    (second,) = records.add([inspection(2)])
    assert second.inspection.id > first.inspection.id + 1000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "records.sqlite"
    opened = Records.open(f"sqlite:///{path}", instance="here")
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    extra=st.dictionaries(st.text(max_size=6), JSON, max_size=3),
    score=st.floats(allow_nan=False, allow_infinity=False),
    microseconds=st.integers(-(10**15), 10**15),
)
def test_whatever_a_result_holds_comes_back_to_the_last_bit(many, extra, score, microseconds):
    one = inspection(1)
    result = {**extra, **one.result, "score": score}
    moment = MOMENT + timedelta(microseconds=microseconds)
    (answer,) = many.add([replace(one, result=result, time=moment)])
    assert isinstance(answer, Answer)
    found = many.inspection(answer.inspection.id)
    assert found.result == result
    assert np.float64(found.result["score"]).tobytes() == np.float64(score).tobytes()
    assert list(found.result) == list(result)  # in the order of `predict`
    assert found.time == moment
    assert [s.score for s in many.scores(Filter(), after=found.id - 1)] == [score]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
)
def test_whatever_a_field_holds_is_found_by_it(many, text):
    (answer,) = many.add([replace(inspection(1), fields=Fields(lot=text, serial_number=text))])
    number = answer.inspection.id
    for fields in (Fields(lot=text), Fields(serial_number=text)):
        page = many.inspections(Filter(fields=fields), limit=1)
        assert [one.id for one in page.inspections] == [number]
        assert page.inspections[0].fields == Fields(lot=text, serial_number=text)
