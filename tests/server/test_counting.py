"""Counts are those of a look at each inspection, whatever the hours, groups and reviews."""

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import product as pairs
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from patchbank.errors import ParameterError
from patchbank.server.records.counting import GROUPINGS, Bounds, Count
from patchbank.server.records.entries import DECISIONS, Fields, iso_utc
from tests.server.samples import MOMENT, inspection

BERLIN = ZoneInfo("Europe/Berlin")


HALVES = (15, 30, 45)
"""Minutes of whole hours from UTC at which days begin in some zones."""
PARTED = [
    timezone(timedelta(hours=hours, minutes=minutes))
    for hours in range(-11, -6)
    for minutes in HALVES
]
"""Zones in which a day begins within the hours of the inspections."""


def fill(records, number, seed):
    rng = random.Random(seed)
    new = [
        replace(
            inspection(at, verdict=rng.choice(["good", "good", "anomalous", "unread"])),
            product=rng.choice(["bolts", "nuts"]),
            time=MOMENT + timedelta(seconds=rng.randrange(-9000, 9000)),
            fields=Fields(
                lot=rng.choice([None, "A", "B"]),
                shift=rng.choice(["early", "late"]),
                station=rng.choice(["", "s1"]),
            ),
        )
        for at in range(number)
    ]
    stored = [answer.inspection for answer in records.add(new)]
    for at in rng.sample(range(number), number // 2):
        of_unread = ("confirmed_defect", "unsure")  # it has no verdict that could be a false alarm
        possible = of_unread if stored[at].verdict == "unread" else DECISIONS
        for decision in rng.sample(possible, rng.choice([1, 2])):
            records.add_review(stored[at].id, decision, "anna")
            stored[at] = replace(stored[at], review=decision)
    return stored


def group_of(one, by, zone):
    if by == "hour":
        return iso_utc(one.time.replace(minute=0, second=0, microsecond=0))
    if by == "day":
        return one.time.astimezone(zone).date().isoformat()
    if by == "product":
        return one.product
    return getattr(one.fields, by) or None


def expected(stored, by, zone):
    """Counts by a look at each inspection, in the order of the first of each group."""
    found = {}
    for one in stored:
        count = found.setdefault(group_of(one, by, zone), Counter())
        count[one.verdict] += 1
        count[one.verdict, one.review] += 1
    return [
        Count(
            group=group,
            good=count["good"],
            anomalous=count["anomalous"],
            unread=count["unread"],
            confirmed_defects=count["anomalous", "confirmed_defect"],
            false_alarms=count["anomalous", "false_alarm"],
            missed_defects=count["good", "confirmed_defect"],
        )
        for group, count in found.items()
    ]


def test_counts_are_those_of_a_look_at_each_inspection(records):
    stored = fill(records, 200, seed=1)
    rng = random.Random(2)
    edges = [MOMENT.replace(minute=0), MOMENT.replace(minute=0) + timedelta(hours=1), MOMENT]
    edges += [MOMENT + timedelta(seconds=rng.randrange(-9000, 9000)) for _ in range(6)]
    for by, (since, until) in pairs(GROUPINGS, pairs([None, *edges], [None, *edges])):
        name = rng.choice([None, "bolts"])
        zone = rng.choice([timezone.utc, BERLIN, *PARTED])
        chosen = [
            one
            for one in stored
            if (since is None or one.time >= since)
            and (until is None or one.time < until)
            and name in (None, one.product)
        ]
        found = records.counts(by, product=name, since=since, until=until, zone=zone)
        assert list(found.groups) == expected(chosen, by, zone), (by, since, until, name)
        assert not found.is_cut


def test_the_newest_groups_are_given_and_it_is_said_that_others_are_not(records):
    new = [replace(inspection(n), fields=Fields(lot=f"L{n}")) for n in range(5)]
    records.add(new)
    found = records.counts("lot", limit=2)
    assert [one.group for one in found.groups] == ["L3", "L4"]
    assert found.is_cut
    assert records.counts("lot", limit=5).is_cut is False
    assert records.counts("lot", limit=0).groups == ()


def test_groups_are_in_the_order_of_their_first_inspections_whatever_was_reviewed_first(records):
    new = [replace(inspection(n), fields=Fields(lot=lot)) for n, lot in enumerate("ABA")]
    stored = [answer.inspection for answer in records.add(new)]
    for one in (stored[2], stored[0]):
        records.add_review(one.id, "confirmed_defect", "anna")
    found = records.counts("lot").groups
    assert [(one.group, one.missed_defects) for one in found] == [("A", 2), ("B", 0)]


def test_nothing_is_counted_where_nothing_is(records):
    assert records.counts("day").groups == ()
    records.add([inspection(1)])
    for since, until in (
        (MOMENT, MOMENT),
        (MOMENT + timedelta(seconds=1), None),
        (None, MOMENT),
        (MOMENT + timedelta(days=1), MOMENT),
    ):
        assert records.counts("day", since=since, until=until).groups == ()
    assert records.counts("day", product="nuts").groups == ()
    assert records.counts("day", since=MOMENT).groups == (Count(group="2026-03-01", good=1),)


def test_what_cannot_be_counted_by_is_refused(records):
    with pytest.raises(ParameterError, match="by: expected one of hour, day, product, shift"):
        records.counts("operator")
    with pytest.raises(ParameterError, match="until: expected a time with its zone"):
        records.counts("day", until=datetime(2026, 1, 1))


def test_rates_have_bounds_by_what_is_not_decided():
    # 100 parts: 10 flagged, of which 4 are defects, 3 false alarms, 3 undecided; 1 was missed.
    count = Count(
        group=None,
        good=90,
        anomalous=10,
        unread=7,
        confirmed_defects=4,
        false_alarms=3,
        missed_defects=1,
    )
    assert (count.inspected, count.undecided) == (100, 3)
    assert count.confirmed_share == 4 / 7
    # Good parts are 95 if the undecided are false alarms, 92 if they are defects.
    assert count.false_alarm_rate == Bounds(3 / 92, 6 / 95)
    assert count.defect_rate == Bounds(5 / 100, 8 / 100)
    assert count.to_json() == {
        "group": None,
        "good": 90,
        "anomalous": 10,
        "unread": 7,
        "confirmed_defects": 4,
        "false_alarms": 3,
        "missed_defects": 1,
        "undecided": 3,
        "confirmed_share": 4 / 7,
        "false_alarm_rate": {"least": 3 / 92, "most": 6 / 95},
        "defect_rate": {"least": 0.05, "most": 0.08},
    }


def test_rates_without_parts_are_not_known():
    nothing = Count(group="x", unread=3)
    assert nothing.confirmed_share is nothing.false_alarm_rate is nothing.defect_rate is None
    only_defects = Count(group="x", anomalous=2, confirmed_defects=2)
    assert only_defects.false_alarm_rate is None
    assert only_defects.defect_rate == Bounds(1.0, 1.0)
    undecided = Count(group="x", anomalous=2)
    assert undecided.false_alarm_rate == Bounds(0.0, 1.0)
    assert undecided.defect_rate == Bounds(0.0, 1.0)


def test_wrong_counts_are_found(records):
    fill(records, 30, seed=3)
    assert records.damage() == []
    with records._database.writing() as connection:
        connection.execute(
            text(
                "UPDATE tallies SET number = number + 2 WHERE kind = 'all' AND product = 'nuts' "
                "AND verdict = 'good' AND review = '' AND hour = (SELECT min(hour) FROM tallies "
                "WHERE kind = 'all' AND product = 'nuts' AND verdict = 'good' AND review = '')"
            )
        )
    (line,) = records.damage()
    assert line.startswith("counts of nuts, good: expected ")
