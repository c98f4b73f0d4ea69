"""Counts, totals and neighbours of a filter are those of a look at each inspection."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from patchbank.errors import ParameterError
from patchbank.server.records.entries import Fields, Filter
from patchbank.server.records.tallies import hour_of
from tests.server.samples import MOMENT, REGION, inspection
from tests.server.test_counting import fill

FILTERS = [
    Filter(),
    Filter(product="bolts"),
    Filter(fields=Fields(lot="A")),
    Filter(product="nuts", fields=Fields(shift="late")),
    Filter(fields=Fields(lot="B", shift="early")),
    Filter(product="bolts", fields=Fields(lot="A", shift="late", station="s1")),
    Filter(fields=Fields(serial_number="7")),
    Filter(fields=Fields(station="")),
    Filter(fields=Fields(lot="no such lot")),
    Filter(since=MOMENT - timedelta(minutes=50), until=MOMENT + timedelta(minutes=47)),
    Filter(fields=Fields(lot="A"), since=MOMENT, until=MOMENT + timedelta(minutes=3)),
    Filter(product="bolts", since=MOMENT - timedelta(minutes=71)),
    Filter(since=MOMENT + timedelta(hours=9)),
]
VERDICTS = [None, "good", "anomalous", "unread"]


def matches(wanted, one):
    fields = ((name, getattr(wanted.fields, name)) for name in Fields.__slots__)
    return (
        wanted.product in (None, one.product)
        and wanted.verdict in (None, one.verdict)
        and wanted.review in (None, one.review or "none")
        and (wanted.since is None or one.time >= wanted.since)
        and (wanted.until is None or one.time < wanted.until)
        and all(value in (None, getattr(one.fields, name)) for name, value in fields)
    )


@pytest.fixture
def filled(records):
    return records, fill(records, 160, seed=5)


def test_hours_and_totals_are_those_of_each_inspection(filled):
    records, stored = filled
    for wanted in FILTERS:
        own = [one for one in stored if matches(wanted, one)]
        for field in (None, "lot", "shift"):
            expected = Counter(
                (
                    hour_of(one.time),
                    (field and getattr(one.fields, field)) or "",
                    one.verdict,
                    one.review or "",
                )
                for one in own
            )
            found = records.hour_counts(replace(wanted, verdict="good", review="none"), field)
            if field is not None or wanted.fields == Fields():
                got = {
                    (one.hour, one.value, one.verdict, one.review): one.number
                    for one in found.counts
                }
                assert got == expected, (wanted, field)
            assert not found.is_cut
            assert sum(one.number for one in found.counts) == len(own)
        for verdict in VERDICTS:
            for review in (None, "none", "false_alarm"):
                asked = replace(wanted, verdict=verdict, review=review)
                number = sum(matches(asked, one) for one in stored)
                assert records.total(asked) == (number, False), asked


def test_neighbours_are_the_next_of_the_list_on_both_sides(filled):
    records, stored = filled
    rng = random.Random(1)
    for wanted in FILTERS:
        asked = replace(wanted, verdict=rng.choice(VERDICTS))
        own = [one.id for one in stored if matches(asked, one)]
        for number in rng.sample(range(1, 161), 6):
            found = records.neighbours(asked, number)
            assert found.newer == min((n for n in own if n > number), default=None)
            assert found.older == max((n for n in own if n < number), default=None)


def test_what_the_tallies_do_not_have_is_counted_for_the_newest_and_said(filled):
    records, stored = filled
    wanted = Filter(fields=Fields(shift="late", station="s1"))
    own = [one for one in stored if matches(wanted, one)]
    assert len(own) > 10
    found = records.hour_counts(wanted, most=10)
    assert found.is_cut
    expected = Counter(hour_of(one.time) for one in own[-10:])
    hours = Counter()
    for one in found.counts:
        hours[one.hour] += one.number
    assert hours == expected
    assert records.total(wanted, most=10) == (10, True)
    assert records.total(wanted, most=len(own)) == (len(own), False)


def test_a_score_is_not_in_the_tallies(filled):
    records, _ = filled
    flagged, _ = records.total(Filter(verdict="anomalous"))
    assert records.total(Filter(min_score=23.0)) == (flagged, False)


def test_results_are_the_newest_ones_whole(records):
    records.add([inspection(at, verdict="anomalous") for at in range(5)])
    records.add([inspection(9)])
    found = records.results(Filter(verdict="anomalous"), most=3)
    assert [one["image"] for one in found] == ["00004.png", "00003.png", "00002.png"]
    assert found[0]["regions"] == [REGION]
    assert records.results(Filter(since=MOMENT + timedelta(days=1)), most=3) == []


def test_times_without_a_zone_are_refused(records):
    bad = Filter(since=MOMENT.replace(tzinfo=None))
    for ask in (
        lambda: records.hour_counts(bad),
        lambda: records.total(bad),
        lambda: records.neighbours(bad, 1),
        lambda: records.results(bad, most=1),
    ):
        with pytest.raises(ParameterError, match="since"):
            ask()
