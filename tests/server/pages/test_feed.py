"""The stream of a screen: every part once and in order, also after it was interrupted."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone

import pytest

from patchbank.server.intake import NotRecorded
from patchbank.server.pages.feed import Feed, counts_json, part_json
from patchbank.server.records.entries import Fields
from patchbank.server.records.store import Records
from tests.server.pages.events import listening, until
from tests.server.samples import inspection
from tests.server.services import Running, bearer, check_error, make_token, png

pytestmark = pytest.mark.serve


@pytest.fixture
def line(fitted, tmp_path):
    """A service with a product of its own, which no other test feeds."""
    with Running(tmp_path / "data", shutil.copy(fitted, tmp_path / "parts.patchbank")) as running:
        yield running


def test_a_new_screen_begins_with_the_last_parts_and_hears_of_each(line):
    first = line.inspect(png(1), serial_number="A-1", shift="early").json()
    with listening(line.http) as events:
        (_, begin, _), (live, _, _) = next(events), next(events)
        assert live == "live"
        assert [part["serial_number"] for part in begin["parts"]] == ["A-1"]
        assert begin["after"] == first["id"]
        (_, counts, _) = until(events, "counts")[-1]
        assert counts == {"shift": "early", "good": 1, "anomalous": 0, "unread": 0}
        sent = line.inspect(png(2, defect=9), serial_number="A-2", shift="early").json()
        name, part, number = until(events, "part")[-1]
        assert (name, number, part["id"]) == ("part", sent["id"], sent["id"])
        assert (part["verdict"], part["serial_number"]) == ("anomalous", "A-2")
        assert part["share"] == sent["score"] / sent["threshold"]
        (_, counts, _) = until(events, "counts")[-1]
        assert counts == {"shift": "early", "good": 1, "anomalous": 1, "unread": 0}


def test_a_screen_that_comes_again_gets_every_part_since(line):
    sent = [line.inspect(png(seed)).json()["id"] for seed in range(4)]
    with listening(line.http, after=sent[0]) as events:
        found = until(events, "live")
        assert [number for name, _, number in found if name == "part"] == sent[1:]
    # What a browser sends by itself is newer than the address that it was given.
    with listening(line.http, after=sent[0], headers={"Last-Event-ID": str(sent[2])}) as events:
        assert [number for name, _, number in until(events, "live") if name == "part"] == sent[3:]
    with listening(line.http, after=10**9) as events:  # of records that are no more
        assert next(events)[1]["after"] == sent[-1]
    with listening(line.http, headers={"Last-Event-ID": "none"}) as events:
        assert next(events)[1]["after"] == sent[-1]


def test_a_stream_ends_when_its_token_is_revoked_and_stops_with_the_service(
    fitted, tmp_path, monkeypatch
):
    data = tmp_path / "data"
    admin = bearer(make_token(data, "root", "admin"))
    own = bearer(make_token(data, "press", "operator"))
    with Running(data, fitted) as running:
        with listening(running.http, headers=own) as events:
            until(events, "counts")
            assert running.http.delete("/v1/tokens/press", headers=admin).status_code == 200
            assert {name for name, _, _ in events} <= {"beat"}  # and then it ends
        refused = running.http.get("/line/parts/events", headers=own)
        check_error(refused, 401, "unauthorized")
        with listening(running.http, headers=admin) as events:
            until(events, "counts")
            assert running.stop() == 0


def test_a_screen_of_another_product_is_not_there(line):
    check_error(line.http.get("/line/none/events"), 404, "unknown_product")
    check_error(line.http.get("/line/parts/events?before=3"), 422)


def bolts(number, **others):
    return inspection(number, time=datetime.now(timezone.utc), **others)


def heard(feed):
    """Names of the events of one question."""
    text, is_all = feed._news()
    return [
        line.removeprefix("event: ") for line in text.splitlines() if line[:5] == "event"
    ], is_all


def test_parts_of_other_stations_come_from_the_database(database_url, records):
    feed = Feed(records, "bolts", None, lambda: None)
    assert heard(feed) == (["begin", "live"], True)
    other = Records.open(database_url, instance="there")
    try:
        other.add([bolts(1), bolts(2, product="nuts"), bolts(3)])
    finally:
        other.close()
    assert heard(feed) == (["part", "part"], True)
    assert heard(feed) == ([], True)


def test_many_parts_come_in_several_texts(records, monkeypatch):
    records.add([bolts(n) for n in range(1, 8)])
    monkeypatch.setattr("patchbank.server.pages.feed.AT_ONCE", 3)
    feed = Feed(records, "bolts", 0, lambda: None)
    assert heard(feed) == (["begin", "part", "part", "part"], False)
    assert heard(feed) == (["part"] * 3, False)
    assert heard(feed) == (["part", "live"], True)


def test_a_screen_is_not_live_while_nothing_is_recorded(records):
    reasons = [None, "disk: expected room, got none", None]
    feed = Feed(records, "bolts", None, lambda: reasons[0])
    assert heard(feed)[0] == ["begin", "live"]
    reasons.pop(0)
    assert heard(feed)[0] == ["trouble"]
    reasons.pop(0)
    assert heard(feed)[0] == ["live"]

    def closed():
        raise NotRecorded("records: expected a database, got none")

    text, is_all = feed._in_words(closed)
    assert is_all
    assert text.startswith("event: trouble\n")
    assert heard(feed)[0] == ["live"]


def test_counts_are_those_of_the_shift_or_of_today(records):
    now = datetime.now(timezone.utc)
    empty = {"shift": None, "good": 0, "anomalous": 0, "unread": 0}
    assert counts_json(records, "bolts", now) == empty
    records.add([bolts(1), bolts(2, verdict="anomalous"), bolts(3, product="nuts")])
    records.add([inspection(4, time=now - timedelta(days=2))])
    records.add([bolts(5, verdict="unread")])
    assert counts_json(records, "bolts", now) == {**empty, "good": 1, "anomalous": 1, "unread": 1}
    long_ago = now - timedelta(hours=20)  # the shift of the same name, the day before
    records.add([inspection(6, time=long_ago, fields=Fields(shift="late"))])
    records.add([bolts(7, fields=Fields(shift="late")), bolts(8, fields=Fields(shift="late"))])
    assert counts_json(records, "bolts", now) == {**empty, "shift": "late", "good": 2}


def test_a_part_without_a_verdict_has_no_share(records):
    stored = [one.inspection for one in records.add([bolts(1, verdict="unread"), bolts(2)])]
    unread, good = map(part_json, stored)
    assert (unread["verdict"], unread["share"]) == ("unread", None)
    assert unread["error"].startswith("00001.png: expected an image")
    assert good["share"] == pytest.approx(7.5 / 11.84)
    assert (good["serial_number"], good["is_kept"], good["error"]) == ("2", False, None)
