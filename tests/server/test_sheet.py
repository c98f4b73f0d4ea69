"""The table for people has what the page shows, in the reader's zone, words and numbers."""

import csv
import io
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from patchbank.errors import ParameterError
from patchbank.server.pages import words
from patchbank.server.records.entries import Fields, Filter
from patchbank.server.records.sheet import Locale
from tests.server.samples import MOMENT, inspection

NOTE = 'a "nick";\nand more'


def locale(language="en", zone="UTC"):
    decimal = "," if language == "de" else "."
    return Locale(words.for_scripts(language, "sheet"), decimal, ZoneInfo(zone), zone)


def rows_of(records, seen, wanted=None):
    content = b"".join(part.content for part in records.sheet(wanted or Filter(), seen))
    text = content.decode("utf-8-sig")
    delimiter = ";" if seen.decimal == "," else ","
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.fixture
def filled(records):
    verdicts = ("good", "anomalous", "unread")
    new = [
        replace(
            inspection(n, verdict=verdicts[n % 3]),
            time=MOMENT + timedelta(days=100 * n, seconds=n),
            fields=Fields(serial_number=f"=1+{n}", lot="A;1", shift="early"),
        )
        for n in range(3)
    ]
    records.add(new)
    records.add_review(2, "false_alarm", "anna", NOTE)
    records.add_review(2, "confirmed_defect", "ben", "no")
    records.add_review(2, "withdrawn", "ben")
    return records


def test_a_row_is_what_the_page_shows(filled):
    rows = rows_of(filled, locale())
    assert [row["Number on record"] for row in rows] == ["3", "2", "1"]
    assert rows[1] == {
        "Time (UTC)": "2026-06-09 08:30:01",
        "Product": "bolts",
        "Serial number": "'=1+1",
        "Lot": "A;1",
        "Shift": "early",
        "Station": "",
        "Verdict": "NG",
        "Score (% of the threshold)": f"{100 * 23.01 / 11.84:.1f}",
        "p-value": "0.0769",
        "Reviewed as": "False alarm",
        "Reviewed by": "anna",
        "Note": 'a "nick";\\nand more',
        "Number on record": "2",
    }
    assert rows[0]["Verdict"] == "UNREAD"
    assert rows[0]["Score (% of the threshold)"] == rows[0]["Reviewed as"] == rows[0]["Note"] == ""


def test_a_german_in_berlin_has_commas_words_and_hours_of_berlin(filled):
    newest, second, first = rows_of(filled, locale("de", "Europe/Berlin"))
    assert second["Zeit (Europe/Berlin)"] == "2026-06-09 10:30:01"  # in summer
    assert first["Zeit (Europe/Berlin)"] == "2026-03-01 09:30:00"  # in winter
    assert (newest["Urteil"], second["Urteil"], first["Urteil"]) == ("UNGEPR\u00dcFT", "NG", "OK")
    assert second["Wert (% der Schwelle)"] == f"{100 * 23.01 / 11.84:.1f}".replace(".", ",")
    assert (second["p-Wert"], second["Los"]) == ("0,0769", "A;1")


def test_each_part_that_is_asked_for_is_there_once(records, monkeypatch):
    monkeypatch.setattr("patchbank.server.records.exporting.AT_ONCE", 2)
    records.add([inspection(n) for n in range(5)])
    parts = records.sheet(Filter(), locale())
    pieces = [next(parts), next(parts)]
    records.add([inspection(99)])
    pieces += parts
    assert [part.inspections for part in pieces] == [0, 2, 2, 1, 0]
    numbers = b"".join(part.content for part in pieces[1:]).decode().splitlines()
    assert [line.rpartition(",")[2] for line in numbers] == list("54321")
    assert rows_of(records, locale(), Filter(product="nuts")) == []


def test_a_time_without_a_zone_is_refused(records):
    with pytest.raises(ParameterError, match="since: expected a time with its zone"):
        records.sheet(Filter(since=MOMENT.replace(tzinfo=None)), locale())
