"""Questions about the records over HTTP, against a plain look at every inspection."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from urllib.parse import quote
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from patchbank.detector.loading import load
from patchbank.server.records.entries import Fields
from tests.server.samples import inspection, result
from tests.server.services import Running, check_error, png, records_of

pytestmark = pytest.mark.serve
N = 150
FIRST = datetime(2024, 3, 30, 21, 17, tzinfo=timezone.utc)
"""Of the day before the one on which the clocks of Berlin change."""
END = {"until": (FIRST + timedelta(days=3)).isoformat()}
"""Leaves out the inspections that tests add."""
FIELDS = ("serial_number", "lot", "station", "shift", "operator", "camera")
LOTS = ("2026/11 a", "A&B=1", "лот-7", None)
DECISIONS = ("confirmed_defect", "false_alarm", "unsure")


def drawn():
    """Inspections of two products over two days, whose facts have no pattern in common."""
    rng = np.random.default_rng(16)
    for number in range(N):
        verdict = ("good", "good", "anomalous", "anomalous", "unread")[rng.integers(5)]
        content = result(f"{number}.png", verdict)
        if verdict != "unread":
            content["score"] = float(rng.choice([7.5, 11.0, 11.84, 23.01, 40.0]))
        yield inspection(
            number,
            verdict=verdict,
            product=("parts", "nuts")[rng.integers(2)],
            time=FIRST + timedelta(minutes=int(rng.integers(0, 2880))),
            fields=Fields(
                serial_number=f"S{number // 2}",
                lot=LOTS[rng.integers(4)],
                station=("press", None)[rng.integers(2)],
                shift=("early", "late", None)[rng.integers(3)],
                operator=("eva", "max")[rng.integers(2)],
                camera=("left", None)[rng.integers(2)],
            ),
            result=content,
        )


@pytest.fixture(scope="module")
def asked(fitted, tmp_path_factory):
    """A service with these inspections, two thirds of which are reviewed over HTTP."""
    folder = tmp_path_factory.mktemp("oracles")
    with records_of(folder / "data") as records:
        records.add(list(drawn()))
    files = [shutil.copy(fitted, folder / f"{name}.patchbank") for name in ("parts", "nuts")]
    with Running(folder / "data", *files) as running:
        for number, one in enumerate(drawn(), 1):
            for at in range(number % 3):
                decision = {"decision": DECISIONS[(number // 3 + at) % 3]}
                if one.verdict == "unread" and decision["decision"] == "false_alarm":
                    decision = {"decision": "unsure"}
                response = running.http.post(f"/v1/inspections/{number}/review", json=decision)
                assert response.status_code == 201
        running.all = running.http.get("/v1/inspections?limit=1000").json()["inspections"]
        assert [one["id"] for one in running.all] == list(range(N, 0, -1))
        assert {one["review"] for one in running.all} == {*DECISIONS, None}
        yield running


def listed(service, limit=50, **query):
    """Numbers of all inspections of a query, page by page."""
    found, cursor = [], None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = service.http.get("/v1/inspections", params={**query, "limit": limit, **more})
        assert page.status_code == 200, page.text
        content = page.json()
        assert len(content["inspections"]) <= limit
        found += [one["id"] for one in content["inspections"]]
        cursor = content["cursor"]
        if cursor is None:
            return found
        assert len(content["inspections"]) == limit


def time_of(one):
    return datetime.fromisoformat(one["time"].replace("Z", "+00:00"))


def is_wanted(one, query):
    """Whether an inspection is one of a query, as the documentation says."""
    for name, value in query.items():
        if name == "since":
            matches = time_of(one) >= datetime.fromisoformat(value)
        elif name == "until":
            matches = time_of(one) < datetime.fromisoformat(value)
        elif name == "min_score":
            matches = one["score"] is not None and one["score"] >= value
        elif name == "max_score":
            matches = one["score"] is not None and one["score"] <= value
        else:
            matches = one[name] == (None if value == "none" else value)
        if not matches:
            return False
    return True


def at(minutes, zone=timezone.utc):
    return (FIRST + timedelta(minutes=minutes)).astimezone(zone).isoformat()


QUERIES = [
    {},
    {"product": "nuts"},
    {"verdict": "anomalous"},
    {"verdict": "unread", "product": "parts"},
    {"review": "none"},
    {"review": "false_alarm", "verdict": "anomalous"},
    {"lot": "2026/11 a"},
    {"lot": "A&B=1", "station": "press"},
    {"lot": "лот-7", "shift": "early", "operator": "eva", "camera": "left"},
    {"serial_number": "S12"},
    {"min_score": 11.84},
    {"max_score": 11.84},
    {"min_score": 11.84, "max_score": 11.84, "product": "parts"},
    {"since": at(600), "until": at(1500)},
    {"since": at(600, ZoneInfo("Asia/Kolkata")), "verdict": "good"},
    {"until": at(500), "review": "none"},
    {"since": at(2880)},
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: "&".join(query) or "all")
def test_a_filter_finds_what_a_look_at_each_inspection_finds(asked, query):
    expected = [one["id"] for one in asked.all if is_wanted(one, query)]
    assert len(expected) > 0 or "since" in query
    assert listed(asked, **{**END, **query}) == expected


@pytest.mark.parametrize("limit", [1, 7, N - 1, N, N + 1])
def test_pages_of_any_size_have_each_inspection_once(asked, limit):
    assert listed(asked, limit=limit, **END) == list(range(N, 0, -1))


def test_the_bounds_of_a_filter_are_the_moments_themselves(asked):
    one = asked.all[0]
    moment = one["time"]
    assert one["id"] in listed(asked, since=moment)
    assert one["id"] not in listed(asked, until=moment)


def test_inspections_that_come_between_two_pages_change_neither(asked):
    query = {"operator": "max", "limit": 5}
    first = asked.http.get("/v1/inspections", params=query).json()
    expected = listed(asked, operator="max")
    new = asked.inspect(png(1), product="parts", operator="max").json()["id"]
    second = asked.http.get("/v1/inspections", params={**query, "cursor": first["cursor"]}).json()
    found = [one["id"] for one in [*first["inspections"], *second["inspections"]]]
    assert found == expected[:10]
    assert listed(asked, operator="max") == [new, *expected]


def counted(inspections, group):
    """Counts of groups in the order of their first inspection, by hand."""
    found = {}
    for one in sorted(inspections, key=lambda each: each["id"]):
        counts = found.setdefault(group(one), defaultdict(int))
        counts[one["verdict"]] += 1
        word = {
            ("anomalous", "confirmed_defect"): "confirmed_defects",
            ("anomalous", "false_alarm"): "false_alarms",
            ("good", "confirmed_defect"): "missed_defects",
        }.get((one["verdict"], one["review"]))
        if word:
            counts[word] += 1
    return found


GROUPS = {
    "hour": lambda one: f"{one['time'][:13]}:00:00.000000Z",
    "day": lambda one: time_of(one).strftime("%Y-%m-%d"),
    "shift": lambda one: one["shift"],
    "lot": lambda one: one["lot"],
    "station": lambda one: one["station"],
    "product": lambda one: one["product"],
}
COUNTED = ("good", "anomalous", "unread", "confirmed_defects", "false_alarms", "missed_defects")


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize(
    "query",
    [{}, {"product": "parts"}, {"since": at(125), "until": at(1801)}, {"since": at(5)}],
    ids=lambda query: "&".join(query) or "all",
)
def test_statistics_are_those_counted_by_hand(asked, by, query):
    bounds = {**END, **query}
    found = asked.http.get("/v1/statistics", params={"by": by, **bounds}).json()
    expected = counted([one for one in asked.all if is_wanted(one, bounds)], GROUPS[by])
    assert found["is_cut"] is False
    assert [one["group"] for one in found["groups"]] == list(expected)
    for one in found["groups"]:
        counts = expected[one["group"]]
        assert {name: one[name] for name in COUNTED} == {name: counts[name] for name in COUNTED}
        decided = counts["confirmed_defects"] + counts["false_alarms"]
        assert one["undecided"] == counts["anomalous"] - decided
        share = counts["confirmed_defects"] / decided if decided else None
        assert one["confirmed_share"] == share


def test_days_begin_where_the_zone_says_also_when_its_clocks_change(asked):
    zone = ZoneInfo("Europe/Berlin")
    found = asked.http.get("/v1/statistics", params={"zone": zone.key, **END}).json()
    expected = counted(asked.all, lambda one: time_of(one).astimezone(zone).strftime("%Y-%m-%d"))
    assert {one["group"]: one["good"] for one in found["groups"]} == {
        day: counts["good"] for day, counts in expected.items()
    }
    assert len(expected) == 3


def test_statistics_beyond_their_limit_are_the_newest_groups_and_it_is_said(asked):
    whole = asked.http.get("/v1/statistics", params={"by": "hour"}).json()["groups"]
    found = asked.http.get("/v1/statistics", params={"by": "hour", "limit": 4}).json()
    assert found["groups"] == whole[-4:]
    assert found["is_cut"] is True


@pytest.mark.parametrize("query", [{}, QUERIES[4], QUERIES[8], {"product": "nuts"}, {"lot": "-"}])
def test_an_export_is_what_a_filter_finds_with_the_same_facts(asked, query):
    options = {"limit": 1000, **query}
    found = asked.http.get("/v1/inspections", params=options).json()["inspections"][::-1]
    lines = asked.http.get("/v1/records/export", params={"format": "jsonl", **query}).text
    rows = [json.loads(line) for line in lines.splitlines()]
    own = {"links"}
    assert rows == [{k: v for k, v in one.items() if k not in own} for one in found]
    text = asked.http.get("/v1/records/export", params={"format": "csv", **query}).content
    table = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))
    assert len(table) == len(found)
    for row, one in zip(table, found, strict=True):
        assert int(row["id"]) == one["id"]
        assert (float(row["score"]) if row["score"] else None) == one["score"]
        for name in (*FIELDS, "product", "verdict", "review", "photograph_sha256", "by"):
            assert row[name] == (one[name] or ""), name


def test_an_export_has_decimal_commas_where_they_are_asked_for(asked):
    query = {"format": "csv", "decimal": ",", "verdict": "anomalous"}
    text = asked.http.get("/v1/records/export", params=query).content.decode("utf-8-sig")
    table = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    scores = [one["score"] for one in asked.all[::-1] if one["verdict"] == "anomalous"]
    table = table[: len(scores)]
    assert [float(row["score"].replace(",", ".")) for row in table] == scores
    assert not any("." in row["score"] for row in table)


def test_a_lot_may_have_any_text_for_its_name(asked, fitted):
    threshold = load(fitted).calibration.threshold
    for lot in ("2026/11/b", "лот 8", "a?b#c", "50%", "./.."):
        for seed in (1, 2):
            one = asked.inspect(png(seed), product="parts", lot=lot).json()
            assert (one["lot"], one["threshold"]) == (lot, threshold)
        path = f"/v1/lots/{quote(lot, safe='')}"
        found = asked.http.get(path, params={"product": "parts"}).json()
        assert (found["lot"], found["photographs"]) == (lot, 2), found
        check_error(asked.http.get(path, params={"product": "nuts"}), 404)
    check_error(asked.http.get("/v1/lots/", params={"product": "parts"}), 422, "invalid")


@pytest.mark.parametrize("path", ["/v1/inspections", "/v1/statistics", "/v1/records/export"])
@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", "9999-12-31T23:59:59Z"],
)
def test_a_time_at_the_ends_of_the_calendar_is_refused(asked, path, name, time):
    error = check_error(asked.http.get(path, params={name: time}), 422, "invalid")
    assert error["message"].startswith(f"{name}: expected a time in the years 1 to 9998, got ")


@pytest.mark.parametrize("query", ["lot=%00", "product=a%00", "serial_number=%00x"])
def test_a_text_that_no_record_can_have_is_refused(asked, query):
    for path in ("/v1/inspections", "/v1/records/export"):
        error = check_error(asked.http.get(f"{path}?{query}"), 422, "invalid")
        assert "without NUL" in error["message"]


def test_pages_of_the_audit_have_each_entry_once(asked):
    whole = asked.http.get("/v1/audit?limit=1000").json()
    assert whole["cursor"] is None
    found, cursor = [], None
    while cursor is not None or not found:
        query = {"limit": 1} if cursor is None else {"limit": 1, "cursor": cursor}
        page = asked.http.get("/v1/audit", params=query).json()
        found += page["audit"]
        cursor = page["cursor"]
    assert found == whole["audit"]
    assert [one["number"] for one in found] == list(range(len(found), 0, -1))
    for newer, older in pairwise(found):
        assert newer["previous"] == older["hash"]
    assert asked.http.get("/v1/audit/verification").json() == {"is_whole": True, "broken": None}
