"""The entries as others see them: JSON of an inspection, verdicts, times."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from patchbank.server.intake import Answer as AnswerOfIntake
from patchbank.server.intake import KeyReused, NotRecorded
from patchbank.server.records import entries, errors
from patchbank.server.records.rows import stored, to_row
from patchbank.server.records.tallies import hour_of, keys_of
from tests.server.samples import MOMENT, inspection


@pytest.mark.parametrize("verdict", ["good", "anomalous", "unread"])
def test_the_verdict_is_that_of_the_result(verdict):
    assert inspection(1, verdict=verdict).verdict == verdict
    assert to_row(inspection(1, verdict=verdict), "here")["verdict"] == verdict


@pytest.mark.parametrize(
    "changes",
    [{"error": "broken"}, {"anomalous": None}, {"error": "broken", "anomalous": False}],
)
def test_what_was_not_inspected_is_never_good(changes):
    new = inspection(1)
    assert replace(new, result={**new.result, **changes}).verdict == "unread"


def test_an_inspection_as_json_has_its_line_and_links_to_what_is_there():
    plain = stored(inspection(7), 12, "here")
    text = plain.to_json()
    assert {key: text[key] for key in plain.result} == dict(plain.result)
    assert (text["id"], text["time"], text["instance"]) == (
        12,
        "2026-03-01T08:30:00.000000Z",
        "here",
    )
    assert text["links"] == {
        "self": "/v1/inspections/12",
        "photograph": None,
        "overlay": None,
        "map": None,
        "explanation": None,
        "review": "/v1/inspections/12/review",
    }
    kept = replace(plain, photograph="a" * 64 + ".png")
    assert kept.to_json("/line1")["links"]["photograph"] == "/line1/v1/inspections/12/photograph"
    assert None not in kept.to_json()["links"].values()
    overlay = replace(plain, overlay="a" * 64 + ".jpg").to_json()["links"]
    assert overlay["overlay"] == "/v1/inspections/12/overlay"
    assert overlay["photograph"] is overlay["map"] is None
    assert json.loads(plain.to_text()) == text


def test_times_are_written_in_utc_to_the_microsecond():
    moment = datetime(2026, 1, 1, 0, 30, 0, 7, timezone(timedelta(hours=1)))
    assert entries.iso_utc(moment) == "2025-12-31T23:30:00.000007Z"


def test_a_row_has_columns_for_whoever_reads_tables():
    row = to_row(inspection(3, verdict="anomalous"), "here")
    names = ("image", "width", "height", "regions", "error", "score")
    assert [row[name] for name in names] == ["00003.png", 104, 72, 1, None, 23.01]
    row = to_row(inspection(3, verdict="unread"), "here")
    assert [row[name] for name in names][1:4] == [None, None, None]
    assert row["error"] == "00003.png: expected an image, got text"


def test_hours_are_counted_from_1970_in_any_zone():
    berlin = timezone(timedelta(hours=1))
    assert hour_of(datetime(1970, 1, 1, tzinfo=timezone.utc)) == 0
    assert hour_of(datetime(1970, 1, 1, 0, 59, tzinfo=berlin)) == -1
    assert hour_of(datetime(1969, 12, 31, 22, 59, tzinfo=timezone.utc)) == -2
    assert hour_of(MOMENT) == hour_of(MOMENT.astimezone(berlin))


def test_an_inspection_is_counted_by_each_field_once():
    one = stored(inspection(1), 5, "here")
    one = replace(one, fields=entries.Fields(lot="L", shift=""), review="unsure")
    hour = hour_of(MOMENT)
    end = ("good", "unsure")
    assert list(keys_of(one)) == [
        ("all", hour, "bolts", "", *end),
        ("shift", hour, "bolts", "", *end),
        ("lot", hour, "bolts", "L", *end),
        ("station", hour, "bolts", "", *end),
    ]


def test_whoever_hands_in_knows_the_errors_and_answers_of_the_records():
    assert NotRecorded is errors.NotRecorded
    assert KeyReused is errors.KeyReused
    assert AnswerOfIntake is entries.Answer


def test_an_unread_photograph_links_to_no_picture_but_itself():
    unread = replace(stored(inspection(7, verdict="unread"), 12, "here"), photograph="a.png")
    links = unread.to_json()["links"]
    assert links["photograph"] == "/v1/inspections/12/photograph"
    assert links["overlay"] is links["map"] is links["explanation"] is None
