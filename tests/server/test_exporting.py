"""Exported tables have what is recorded, whatever the texts, and spreadsheet programs read them."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta, timezone

import hypothesis.strategies as st
import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings

from patchbank.errors import ParameterError
from patchbank.runtime.printable import printable
from patchbank.runtime.spreadsheets import text_cell
from patchbank.server.records.entries import Fields, Filter
from patchbank.server.records.exporting import COLUMNS
from patchbank.server.records.store import Records
from tests.pages import ROOT
from tests.server.samples import DETECTOR, MOMENT, inspection, result

NASTY = ["=1+1", "+a", "-1", "@x", "a;b", "a,b", 'say "no"', "größe", "", " ", "a'b", "\\", "%s %d"]
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=9
    ),
)


def exported(records, form, wanted=None, **options):
    stream = io.BytesIO()
    number = records.export(wanted or Filter(), form, stream, **options)
    return number, stream.getvalue()


def rows_of_csv(content, delimiter=","):
    text = content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def filled(records, number=7):
    verdicts = ["good", "anomalous", "unread"]
    new = [
        replace(
            inspection(n, verdict=verdicts[n % 3]),
            time=MOMENT + timedelta(microseconds=n),
            fields=Fields(serial_number=f"{n:03}", lot="A;1", shift='"'),
        )
        for n in range(number)
    ]
    stored = [answer.inspection for answer in records.add(new)]
    records.add_review(2, "false_alarm", "anna")
    stored[1] = replace(stored[1], review="false_alarm")
    return stored


def test_a_row_of_csv_has_the_values_of_its_inspection(records):
    filled(records)
    number, content = exported(records, "csv")
    assert number == 7
    assert content.startswith(b"\xef\xbb\xbfid,time_utc,product,")
    rows = rows_of_csv(content)
    assert [row["id"] for row in rows] == list("1234567")
    assert rows[1] == {
        "id": "2",
        "time_utc": "2026-03-01 08:30:00.000",
        "product": "bolts",
        "verdict": "anomalous",
        "review": "false_alarm",
        "score": "23.01",
        "threshold": "11.84",
        "p_value": "0.0769",
        "serial_number": "001",
        "lot": "A;1",
        "station": "",
        "shift": '"',
        "operator": "",
        "camera": "",
        "detector_sha256": DETECTOR,
        "photograph_sha256": inspection(1).photograph_sha256,
        "source": "http",
        "by": "local",
        "instance": "here",
        "idempotency_key": "",
        "image": "00001.png",
        "width": "104",
        "height": "72",
        "regions": "1",
        "error": "",
    }
    assert (rows[2]["verdict"], rows[2]["score"], rows[2]["regions"]) == ("unread", "", "")
    assert rows[2]["error"] == "00002.png: expected an image, got text"


def test_numbers_with_commas_come_with_semicolons_between_columns(records):
    filled(records)
    _, content = exported(records, "csv", decimal=",")
    row = rows_of_csv(content, ";")[1]
    assert (row["score"], row["threshold"], row["id"]) == ("23,01", "11,84", "2")
    assert (row["lot"], row["shift"]) == ("A;1", '"')


def test_a_line_of_json_is_that_of_predict_and_what_is_recorded(records):
    stored = filled(records)
    number, content = exported(records, "jsonl")
    lines = [json.loads(line) for line in content.decode().splitlines()]
    assert number == len(lines) == 7
    for one, line in zip(stored, lines, strict=True):
        expected = one.to_json()
        del expected["links"]
        assert line == expected


def test_keys_of_the_records_are_not_those_of_predict():
    schema = json.loads((ROOT / "docs/schemas/predict.schema.json").read_text())
    own = set(COLUMNS) - {"score", "threshold", "p_value", "detector_sha256", "image", "error"}
    own -= {"width", "height", "regions"}
    assert not own & schema["properties"].keys()
    for verdict in ("good", "anomalous", "unread"):
        jsonschema.validate(result("a.png", verdict), schema)


@pytest.mark.parquet
def test_parquet_has_types(records, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr("patchbank.server.records.exporting.AT_ONCE", 3)
    stored = filled(records)
    number, content = exported(records, "parquet")
    table = pq.read_table(io.BytesIO(content), use_threads=False)
    assert number == table.num_rows == 7
    assert pq.ParquetFile(io.BytesIO(content)).num_row_groups == 3
    assert table.column_names == list(COLUMNS)
    times = [moment.astimezone(timezone.utc) for moment in table["time"].to_pylist()]
    assert times == [one.time for one in stored]
    assert table["score"].to_pylist() == [one.result["score"] for one in stored]
    assert table["review"].to_pylist() == [None, "false_alarm", *[None] * 5]
    assert table["width"].to_pylist() == [104, 104, None, 104, 104, None, 104]


@pytest.mark.parquet
def test_nothing_is_exported_of_nothing_but_a_whole_file(records):
    import pyarrow.parquet as pq

    assert rows_of_csv(exported(records, "csv")[1]) == []
    assert exported(records, "jsonl") == (0, b"")
    _, content = exported(records, "parquet")
    assert pq.read_table(io.BytesIO(content), use_threads=False).num_rows == 0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_parts_hold_each_inspection_once_though_others_come(records, monkeypatch, form):
    monkeypatch.setattr("patchbank.server.records.exporting.AT_ONCE", 2)
    filled(records, 5)
    parts = records.exported(Filter(), form)
    pieces = [next(parts), next(parts)]
    records.add([inspection(99)])
    pieces += parts
    content = b"".join(part.content for part in pieces)
    assert sum(part.inspections for part in pieces) == 5
    numbers = [row["id"] for row in rows_of_csv(content)] if form == "csv" else None
    if form == "jsonl":
        numbers = [str(json.loads(line)["id"]) for line in content.splitlines()]
    assert numbers == list("12345")


def test_only_what_a_filter_names_is_exported(records):
    filled(records)
    for wanted, expected in (
        (Filter(verdict="good"), "147"),
        (Filter(min_score=20.0), "25"),
        (Filter(review="none", verdict="anomalous"), "5"),
        (Filter(since=MOMENT + timedelta(microseconds=6)), "7"),
        (Filter(since=MOMENT + timedelta(days=6)), ""),
    ):
        rows = rows_of_csv(exported(records, "csv", wanted)[1])
        assert "".join(row["id"] for row in rows) == expected


def test_what_cannot_be_exported_is_refused_before_the_first_part(records):
    with pytest.raises(ParameterError, match="format: expected one of csv, jsonl, parquet"):
        records.exported(Filter(), "xlsx")
    with pytest.raises(ParameterError, match="decimal: expected . or , got ';'"):
        records.exported(Filter(), "csv", decimal=";")
    with pytest.raises(ParameterError, match="since: expected a time with its zone"):
        records.exported(Filter(since=MOMENT.replace(tzinfo=None)), "csv")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Records to which each example adds."""
    path = tmp_path_factory.mktemp("records") / "records.sqlite"
    opened = Records.open(f"sqlite:///{path}", instance="here")
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TEXTS, min_size=6, max_size=6), st.sampled_from([".", ","]))
@example(["1", "two\nlines", "a", "a", "a", "a"], ".")
def test_every_text_comes_back_and_none_is_a_formula(many, texts, decimal):
    serial_number, lot, station, operator, image, error = texts
    fields = Fields(serial_number=serial_number, lot=lot, station=station, operator=operator)
    new = replace(inspection(1, verdict="unread"), fields=fields)
    record = {**new.result, "image": image, "error": error}
    (answer,) = many.add([replace(new, result=record)])
    number = answer.inspection.id
    wanted = Filter(fields=Fields(serial_number=serial_number))
    delimiter = ";" if decimal == "," else ","
    content = exported(many, "csv", wanted, decimal=decimal)[1]
    assert content.count(b"\r\n") == content.count(b"\n")  # no text breaks a line
    row = next(r for r in rows_of_csv(content, delimiter) if r["id"] == str(number))
    assert [row[name] for name in ("serial_number", "lot", "station", "operator")] == [
        text_cell(text) for text in texts[:4]
    ]
    assert [row["image"], row["error"]] == [text_cell(printable(t)) for t in (image, error)]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
    lines = exported(many, "jsonl", wanted)[1].decode().split("\n")
    (line,) = [json.loads(line) for line in lines if line and json.loads(line)["id"] == number]
    names = ("serial_number", "lot", "station", "operator", "image", "error")
    assert [line[name] for name in names] == texts
