"""The form of the history asks for what it shows: days of a zone, and the same in its links."""

from __future__ import annotations

import os
import re
import time as clock
from datetime import date, datetime, time, timedelta, timezone
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from patchbank.server.pages.history.asked import Asked, resolved, suggestions
from patchbank.server.pages.history.figures import percent
from patchbank.server.pages.history.sheet import file_name
from patchbank.server.pages.history.zones import Zone, asked_zone
from patchbank.server.records.entries import Fields, Filter
from tests.server.samples import inspection

BERLIN = ZoneInfo("Europe/Berlin")
UTC = timezone.utc
NOW = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)  # half past midnight of the 27th in Berlin


def asked(**query):
    return Asked.model_validate(query)


def of_query(text):
    return Asked.model_validate(dict(parse_qsl(text, strict_parsing=bool(text))))


@pytest.fixture
def ask(records):
    return lambda now=NOW, **query: resolved(asked(**query), records, now)


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ({"when": "today"}, (26, 23), (27, 23)),
        ({"when": "yesterday"}, (25, 23), (26, 23)),
        ({"when": "week"}, (20, 23), (27, 23)),
        ({"from": "2026-11-26"}, (25, 23), None),
        ({"to": "2026-11-26"}, None, (26, 23)),
        ({"from": "2026-11-26", "to": "2026-11-26"}, (25, 23), (26, 23)),
        ({"from": "2026-11-26", "from_time": "06:00"}, (26, 5), None),
        ({"to": "2026-11-26", "to_time": "14:00"}, None, (26, 13)),
        ({"from_time": "00:00"}, (26, 23), None),
        ({"to_time": "01:00"}, None, (27, 0)),
        ({"when": "today", "from": "2026-01-01", "to": "2026-01-02"}, (26, 23), (27, 23)),
        ({}, None, None),
    ],
)
def test_a_day_is_the_day_of_the_zone(ask, query, since, until):
    found = ask(zone="Europe/Berlin", **query).filter
    expected = [one and datetime(2026, 11, one[0], one[1], tzinfo=UTC) for one in (since, until)]
    assert [found.since, found.until] == expected


def test_the_same_moment_is_another_day_elsewhere(ask):
    days = {
        zone: ask(when="today", zone=zone).days[0]
        for zone in ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")
    }
    assert [day.day for day in days.values()] == [26, 27, 27, 26]
    kolkata = ask(when="today", zone="Asia/Kolkata").filter
    assert kolkata.since == datetime(2026, 11, 26, 18, 30, tzinfo=UTC)


def test_parts_around_midnight_are_in_one_day_each(records):
    midnight = datetime(2026, 11, 25, 23, 0, tzinfo=UTC)
    near = [timedelta(microseconds=n) for n in (-1, 0, 1)]
    records.add([inspection(at, time=midnight + one) for at, one in enumerate(near)])
    seen = {}
    for day in (25, 26):
        query = {"from": f"2026-11-{day}", "to": f"2026-11-{day}", "zone": "Europe/Berlin"}
        wanted = resolved(asked(**query), records, NOW).filter
        found = records.inspections(wanted).inspections
        seen[day] = sorted(int(one.fields.serial_number) for one in found)
    assert seen == {25: [0], 26: [1, 2]}


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)]
)
def test_a_day_in_which_clocks_change_has_other_hours(ask, day, hours):
    found = ask(**{"from": day, "to": day, "zone": "Europe/Berlin"}).filter
    assert found.until - found.since == timedelta(hours=hours)


def test_a_day_without_a_midnight_begins_where_it_begins():
    zone = asked_zone("America/Sao_Paulo")  # clocks went from 23:59 of the 3rd to 1:00
    begin = zone.moment(date(2018, 11, 4))
    assert zone.local(begin).isoformat() == "2018-11-04T01:00:00-02:00"


@settings(deadline=None, max_examples=60)
@given(
    st.dates(date(1971, 1, 2), date(2100, 1, 1)),
    st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia", "America/St_Johns", "UTC"]),
)
def test_days_of_a_zone_cover_all_time_once(day, name):
    zone = asked_zone(name)
    begin, end = zone.moment(day), zone.moment(day + timedelta(days=1))
    assert begin <= end
    if begin < end:  # Apia had no 30 December 2011
        assert zone.local(begin).date() == day
        assert zone.local(end - timedelta(microseconds=1)).date() == day


@pytest.fixture
def in_kolkata(monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", "Asia/Kolkata")
    clock.tzset()
    yield
    monkeypatch.undo()
    clock.tzset()


def test_without_a_zone_it_is_that_of_the_service(in_kolkata):
    zone = asked_zone(None)
    assert zone.moment(date(2026, 1, 1)) == datetime(2025, 12, 31, 18, 30, tzinfo=UTC)
    assert zone.name(NOW) == "IST (UTC+05:30)"
    assert zone.offsets(2026) == "330 330"
    assert asked_zone("Etc/Unknown").name(NOW) == "IST (UTC+05:30)"
    assert asked_zone("../../etc/passwd").key == ""


def test_a_zone_says_its_name_and_its_offset_at_the_time():
    zone = asked_zone("Europe/Berlin")
    assert zone.name(NOW) == "Europe/Berlin (UTC+01:00)"
    assert zone.name(datetime(2026, 7, 1, tzinfo=UTC)) == "Europe/Berlin (UTC+02:00)"
    assert zone.offsets(2026) == "60 120"
    assert Zone(timezone(timedelta(hours=-3, minutes=-30))).offsets(2026) == "-210 -210"


def test_this_shift_is_that_of_the_newest_part_from_its_first_hour(records):
    hours = [(20, "early"), (11, "early"), (9, "late"), (3, "late"), (1, "late")]
    for at, (back, shift) in enumerate(hours):
        fields = Fields(serial_number=str(at), shift=shift)
        records.add([inspection(at, time=NOW - timedelta(hours=back), fields=fields)])
    found = resolved(asked(when="shift", zone="Europe/Berlin"), records, NOW)
    assert found.filter.fields.shift == found.asked.shift == "late"
    assert found.filter.since == datetime(2026, 11, 26, 14, 0, tzinfo=UTC)
    assert found.filter.until is None
    assert (found.days[0], found.times[0]) == (date(2026, 11, 26), time(15, 0))
    assert records.total(found.filter) == (3, False)


def test_without_shifts_this_shift_is_today(ask, records):
    assert ask(when="shift", zone="UTC").days == (date(2026, 11, 26),) * 2
    records.add([inspection(1, time=NOW - timedelta(days=3), fields=Fields(shift="late"))])
    assert ask(when="shift", zone="UTC").filter.fields.shift is None


def test_what_a_form_leaves_empty_is_not_asked(ask):
    empty = dict.fromkeys(
        ("product", "lot", "verdict", "review", "from", "from_time", "to", "zone", "cursor"), ""
    )
    assert ask(**empty).filter == Filter()


TEXTS = st.text(min_size=1, max_size=30).filter(lambda text: text.isprintable())
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "product": TEXTS,
        "lot": TEXTS,
        "serial_number": TEXTS,
        "shift": TEXTS,
        "station": TEXTS,
        "verdict": st.sampled_from(["good", "anomalous", "unread"]),
        "review": st.sampled_from(["none", "false_alarm", "unsure"]),
        "when": st.sampled_from(["today", "yesterday", "week"]),
        "from": st.dates(date(1980, 1, 1), date(2100, 1, 1)).map(str),
        "to": st.dates(date(1980, 1, 1), date(2100, 1, 1)).map(str),
        "from_time": st.times().map(lambda one: one.strftime("%H:%M")),
        "zone": st.sampled_from(["Europe/Berlin", "Asia/Kolkata"]),
        "view": st.sampled_from(["pictures", "table"]),
        "by": st.sampled_from(["hour", "lot"]),
        "cursor": st.just("YmVmb3JlIDc="),
    },
)


class NoRecords:
    """Records that nothing but a shift is asked of."""


@settings(deadline=None, max_examples=150)
@given(QUERIES)
def test_a_link_asks_for_the_same_parts_again(query):
    first = asked(**query)
    again = of_query(first.query())
    assert again == first.model_copy(update={"cursor": None})
    assert resolved(again, NoRecords(), NOW) == resolved(
        first.model_copy(update={"cursor": None}), NoRecords(), NOW
    )
    assert re.fullmatch(r"[A-Za-z0-9._-]+\.csv", file_name(resolved(again, NoRecords(), NOW)))


def test_a_change_of_a_link_leaves_the_rest(ask):
    query = asked(lot="7", verdict="anomalous", cursor="x", when="today").query(
        view="table", lot=None
    )
    assert dict(parse_qsl(query)) == {"verdict": "anomalous", "when": "today", "view": "table"}


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-02-30"},
        {"from": "0001-01-01"},
        {"to": "9999-12-31"},
        {"from_time": "25:00"},
        {"verdict": "bad"},
        {"when": "tomorrow"},
        {"lot": "x" * 201},
        {"unknown": "1"},
    ],
)
def test_a_query_that_no_form_sends_is_refused(query):
    with pytest.raises(ValidationError):
        asked(**query)


def test_suggestions_are_values_of_the_last_days_newest_first(records):
    assert suggestions(records, None) == {"shift": [], "lot": [], "station": []}
    for at, (days, lot) in enumerate([(9, "L1"), (2, "L2"), (1, None), (0, "L3")]):
        new = inspection(at, time=NOW - timedelta(days=days), fields=Fields(lot=lot, shift="A"))
        records.add([new])
    assert suggestions(records, "bolts") == {"lot": ["L3", "L2"], "shift": ["A"], "station": []}
    assert suggestions(records, "nuts")["lot"] == []


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0 %"),
        (0.00841, "0.84 %"),
        (0.1, "10 %"),
        (0.1284, "12.8 %"),
        (1, "100 %"),
        (12, "1,200 %"),
    ],
)
def test_shares_have_the_digits_that_mean_something(share, words):
    assert percent("en", share) == words


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (
            {"product": "screw", "from": "2026-11-26", "shift": "early"},
            "screw_2026-11-26_early.csv",
        ),
        ({"from": "2026-11-01", "to": "2026-11-26"}, "2026-11-01_to_2026-11-26.csv"),
        ({"lot": '../../a"; x="\u00e4\r\n', "verdict": "anomalous"}, "a-x-a_anomalous.csv"),
        ({"lot": "=\u4e2d"}, "parts.csv"),
        ({"lot": "x" * 200}, f"{'x' * 100}.csv"),
    ],
)
def test_a_file_is_named_by_what_it_has_in_safe_characters(query, name):
    assert file_name(resolved(asked(**query), NoRecords(), NOW)) == name
