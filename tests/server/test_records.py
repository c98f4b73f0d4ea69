"""Inspections are recorded once, in order, and found again by whatever they have."""

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from patchbank.errors import DataError, ParameterError
from patchbank.server.intake import KeyReused
from patchbank.server.records.entries import Answer, Fields, Filter
from patchbank.server.records.errors import NoSuchInspection
from patchbank.server.records.listing import FEW
from patchbank.server.records.store import Records
from tests.server.samples import DETECTOR, MOMENT, inspection

OTHER = "0" * 64


def added(records, *new, channels=()):
    answers = records.add(new, channels)
    assert all(isinstance(answer, Answer) for answer in answers), answers
    return [answer.inspection for answer in answers]


def ids(page):
    return [one.id for one in page.inspections]


def scored(number, score, **others):
    sample = inspection(number, verdict="anomalous" if score > 11.84 else "good", **others)
    return replace(sample, result={**sample.result, "score": score})


def test_what_is_recorded_is_what_is_found(records):
    new = replace(
        inspection(1, verdict="anomalous"),
        fields=Fields(
            serial_number="SN 1",
            lot="lot/ä",
            station="s1",
            shift="früh",
            operator="Anna",
            camera="cam-2",
        ),
        idempotency_key="k1",
        photograph="a" * 64 + ".png",
        overlay="b" * 64 + ".jpg",
        map="c" * 64 + ".png",
        time=datetime(2026, 7, 1, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=2))),
    )
    (stored,) = added(records, new)
    assert (stored.id, stored.instance, stored.review) == (1, "here", None)
    assert records.inspection(1) == stored == records.by_key("bolts", "k1")
    assert records.inspection(1).result == new.result
    assert records.inspection(1).time == datetime(2026, 6, 30, 23, 2, 3, 456789, timezone.utc)
    assert records.inspection(2) is records.inspection(0) is records.inspection(1 << 70) is None


def test_names_that_are_no_text_are_recorded_and_given_back(records):
    name = "schraube\udcff\x1b[31m\n.png"
    new = inspection(1)
    (stored,) = added(records, replace(new, result={**new.result, "image": name}))
    assert records.inspection(stored.id).result["image"] == name
    stored.to_text().encode()  # what is sent is UTF-8


def test_a_photograph_under_its_key_is_recorded_once(records):
    keyed = replace(inspection(1), idempotency_key="k")
    first, again = records.add([keyed, keyed])
    assert (first.is_new, again.is_new) == (True, False)
    assert again.inspection == first.inspection
    (later,) = records.add([replace(keyed, time=MOMENT + timedelta(days=1))])
    assert later == Answer(first.inspection, False)
    assert ids(records.inspections()) == [1]


def test_another_photograph_under_a_key_is_refused_alone(records):
    keyed = replace(inspection(1), idempotency_key="k")
    added(records, keyed)
    before, refused, after = records.add(
        [inspection(2), replace(keyed, photograph_sha256=OTHER), inspection(3)]
    )
    assert isinstance(refused, KeyReused)
    assert str(refused) == (
        "idempotency_key: expected one photograph under k, got another one than inspection 1; "
        "give each photograph its own key"
    )
    assert [before.inspection.id, after.inspection.id] == [2, 3]
    same, other = records.add(
        [replace(inspection(4), idempotency_key="n"), replace(inspection(5), idempotency_key="n")]
    )
    assert same.is_new
    assert isinstance(other, KeyReused)


def test_one_key_of_two_products_names_two_inspections(records):
    bolt, nut = (
        replace(inspection(1, product=name), idempotency_key="k") for name in ("bolts", "nuts")
    )
    assert [one.id for one in added(records, bolt, nut)] == [1, 2]
    assert records.by_key("nuts", "k").id == 2
    assert records.by_key("washers", "k") is None
    assert records.known_keys("bolts", ["k", "l"]) == {"k"}
    assert records.known_keys("bolts", []) == set()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": Fields(lot="x" * 201)}, "lot: expected at most 200 characters, got 201"),
        ({"fields": Fields(station="a\0b")}, "station: expected text without NUL, got a\\x00b"),
        ({"fields": Fields(shift="\udcff")}, "shift: expected text without NUL, got \\udcff"),
        ({"product": "p" * 101}, "product: expected at most 100 characters"),
        ({"time": datetime(2026, 1, 1)}, "time: expected a time with its zone"),
        ({"result": {"anomalous": False}}, "result: expected the key detector_sha256, got none"),
    ],
)
def test_what_no_database_can_keep_is_refused_alone(records, changes, message):
    refused, kept = records.add([replace(inspection(1), **changes), inspection(2)])
    assert isinstance(refused, ParameterError)
    assert message in str(refused)
    assert kept.inspection.id == 1


def test_nothing_is_added_by_nothing(records):
    assert records.add([]) == []
    assert records.inspections().inspections == ()
    assert records.inspections().cursor is None


def test_pages_hold_each_inspection_once_though_others_come(records):
    added(records, *map(inspection, range(7)))
    first = records.inspections(limit=3)
    added(records, inspection(7))
    second = records.inspections(limit=3, cursor=first.cursor)
    third = records.inspections(limit=3, cursor=second.cursor)
    assert [ids(page) for page in (first, second, third)] == [[7, 6, 5], [4, 3, 2], [1]]
    assert third.cursor is None
    assert records.inspections(limit=8).cursor is None


def test_a_cursor_or_limit_that_is_none_is_refused(records):
    for cursor in ("", "x", "YmVmb3JlIDk5OTk5OTk5OTk5OTk5OTk5OTk5OTk=", "é", "before 3"):
        with pytest.raises(ParameterError, match="^cursor: expected the one of an earlier page"):
            records.inspections(cursor=cursor)
    for limit in (0, -1, 1001):
        with pytest.raises(ParameterError, match=f"limit: expected 1 to 1000, got {limit}"):
            records.inspections(limit=limit)
    with pytest.raises(ParameterError, match="^since: expected a time with its zone"):
        records.inspections(Filter(since=datetime(2026, 1, 1)))


def drawn(number, seed):
    rng = random.Random(seed)
    return [
        replace(
            scored(at, rng.choice([1.0, 5.5, 11.84, 12.0, 30.0])),
            product=rng.choice(["bolts", "nuts"]),
            time=MOMENT + timedelta(minutes=rng.randrange(-300, 300), seconds=rng.choice([0, 30])),
            fields=Fields(
                serial_number=rng.choice([None, "7", "8"]),
                lot=rng.choice([None, "", "A", "B"]),
                station=rng.choice(["s1", "s2"]),
                shift=rng.choice([None, "early"]),
                operator=rng.choice([None, "Anna"]),
                camera=rng.choice([None, "left", "right"]),
            ),
        )
        if rng.random() > 0.1
        else replace(inspection(at, verdict="unread"), time=MOMENT)
        for at in range(number)
    ]


def drawn_filter(rng):
    def maybe(*values):
        return rng.choice([None, None, *values])

    times = [MOMENT + timedelta(minutes=rng.randrange(-300, 300)) for _ in range(2)]
    return Filter(
        product=maybe("bolts", "nuts", "washers"),
        verdict=maybe("good", "anomalous", "unread"),
        review=maybe("false_alarm", "confirmed_defect", "none"),
        since=maybe(times[0]),
        until=maybe(times[1]),
        fields=Fields(
            serial_number=maybe("7"),
            lot=maybe("A", "C"),
            station=maybe("s1"),
            camera=maybe("left"),
        ),
        min_score=maybe(5.5, 100.0),
        max_score=maybe(12.0),
    )


def fulfils(one, wanted):
    score = one.result["score"]
    fields = [(getattr(wanted.fields, n), getattr(one.fields, n)) for n in Fields.__slots__]
    return (
        wanted.product in (None, one.product)
        and wanted.verdict in (None, one.verdict)
        and (wanted.review is None or wanted.review == (one.review or "none"))
        and (wanted.since is None or one.time >= wanted.since)
        and (wanted.until is None or one.time < wanted.until)
        and all(asked in (None, own) for asked, own in fields)
        and (wanted.min_score is None or (score is not None and score >= wanted.min_score))
        and (wanted.max_score is None or (score is not None and score <= wanted.max_score))
    )


@pytest.mark.parametrize("few", [2, FEW])
def test_filters_find_what_a_look_at_each_inspection_finds(records, monkeypatch, few):
    monkeypatch.setattr("patchbank.server.records.listing.FEW", few)
    monkeypatch.setattr("patchbank.server.records.listing.AT_ONCE", 7)
    everything = added(records, *drawn(150, seed=few))
    rng = random.Random(few)
    for one in rng.sample(everything, 40):
        other = "unsure" if one.verdict == "unread" else "false_alarm"
        decision = rng.choice([other, "confirmed_defect"])
        records.add_review(one.id, decision, "anna")
        everything[one.id - 1] = replace(one, review=decision)
    found_some = 0
    for _ in range(120):
        wanted = drawn_filter(rng)
        expected = [one for one in reversed(everything) if fulfils(one, wanted)]
        assert list(records.inspections(wanted, limit=1000).inspections) == expected, wanted
        found, cursor = [], None
        while cursor is not None or not found:
            page = records.inspections(wanted, limit=4, cursor=cursor)
            found += ids(page)
            cursor = page.cursor
            if cursor is None:
                break
        assert found == [one.id for one in expected]
        scores = [(one.id, one.score) for one in records.scores(wanted)]
        assert scores == [(one.id, one.result["score"]) for one in reversed(expected)]
        found_some += bool(expected)
    assert found_some > 30


def test_order_is_that_of_recording_when_the_clock_was_set_back(records):
    times = [MOMENT, MOMENT - timedelta(days=400), MOMENT + timedelta(seconds=1)]
    stored = added(records, *(replace(inspection(n), time=t) for n, t in enumerate(times)))
    assert [one.id for one in stored] == [1, 2, 3]
    assert ids(records.inspections()) == [3, 2, 1]
    assert ids(records.inspections(Filter(since=MOMENT))) == [3, 1]
    assert ids(records.inspections(Filter(until=MOMENT))) == [2]
    assert [one.group for one in records.counts("day").groups] == ["2026-03-01", "2025-01-25"]


def test_scores_of_another_detector_are_left_out(records):
    first, second = inspection(1), inspection(2)
    other = replace(second, result={**second.result, "detector_sha256": OTHER})
    added(records, first, other, inspection(3))
    assert [one.id for one in records.scores(Filter(), DETECTOR)] == [1, 3]
    assert [one.id for one in records.scores(Filter(), OTHER)] == [2]
    assert [one.id for one in records.scores(Filter(), after=2)] == [3]


def test_the_latest_review_counts_and_the_earlier_ones_stay(records):
    added(records, inspection(1, verdict="anomalous"))
    records.add_review(1, "unsure", "anna", "dirt?")
    records.add_review(1, "false_alarm", "bert")
    assert records.inspection(1).review == "false_alarm"
    said = [(one.decision, one.by, one.note) for one in records.reviews(1)]
    assert said == [("unsure", "anna", "dirt?"), ("false_alarm", "bert", "")]
    assert all(a.time <= b.time for a, b in pairwise(records.reviews(1)))
    assert ids(records.inspections(Filter(review="unsure"))) == []
    assert records.reviews(2) == []


def test_reviews_that_cannot_be_are_refused(records):
    with pytest.raises(NoSuchInspection, match="expected the number of one on record, got 9"):
        records.add_review(9, "unsure", "anna")
    added(records, inspection(1))
    with pytest.raises(ParameterError, match="decision: expected one of confirmed_defect"):
        records.add_review(1, "bad", "anna")
    with pytest.raises(ParameterError, match="note: expected at most 4000 characters"):
        records.add_review(1, "unsure", "anna", "x" * 4001)
    assert records.inspection(1).review is None
    assert records.reviews(1) == []


def test_two_services_share_a_database_and_number_in_one_order(records, database_url):
    other = Records.open(database_url, instance="there")
    try:
        added(records, inspection(1), channels=["c"])
        added(other, inspection(2), channels=["c"])
        added(records, inspection(3))
        found = records.inspections().inspections
        assert [(one.id, one.instance) for one in found] == [(3, "here"), (2, "there"), (1, "here")]
        assert [one.inspection_id for one in other.messages("c", 9)] == [2]
        assert [one.inspection_id for one in records.messages("c", 9)] == [1]
    finally:
        other.close()


@pytest.mark.parametrize(
    "url",
    ["", "x", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/d"],
)
def test_a_url_of_another_database_is_refused(url):
    with pytest.raises(DataError, match="^database: expected sqlite:///FILE or postgresql://"):
        Records.open(url, instance="here")


def test_a_message_about_a_url_does_not_show_its_password():
    with pytest.raises(DataError) as error:
        Records.open("mysql://anna:secret@host/name", instance="here")
    assert "secret" not in str(error.value)


def test_records_that_are_absent_are_not_made_for_a_reader(empty_url):
    with pytest.raises(DataError, match="expected records of the service, got none"):
        Records.open(empty_url, instance="here", create=False)
    Records.open(empty_url, instance="here").close()
    Records.open(empty_url, instance="here", create=False).close()


def test_an_unread_photograph_has_no_verdict_that_could_be_a_false_alarm(records):
    (unread,) = records.add([inspection(1, verdict="unread")])
    number = unread.inspection.id
    with pytest.raises(ParameterError, match="decision: expected confirmed_defect or unsure") as e:
        records.add_review(number, "false_alarm", "anna")
    assert "\n" not in str(e.value)
    assert records.reviews(number) == []
    assert records.inspection(number).review is None
    assert records.add_review(number, "confirmed_defect", "anna").decision == "confirmed_defect"
