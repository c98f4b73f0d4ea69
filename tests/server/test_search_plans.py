"""SQLite finds what a filter names by an index, however rare or frequent it is."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event

from patchbank.server.records.entries import Fields, Filter
from patchbank.server.records.store import Records
from tests.server.samples import MOMENT, inspection

NUMBER = 600
FEW = 50  # stands for 5,000, as these records stand for a million


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "records.sqlite"
    opened = Records.open(f"sqlite:///{path}", instance="here")
    new = []
    for n in range(NUMBER):
        one = inspection(n, verdict="anomalous" if n % 100 == 7 else "good")
        fields = Fields(serial_number=str(n), lot=f"L{n // 20}", station=f"s{n % 2}", shift="early")
        result = {**one.result, "score": float(n % 300)}
        time = MOMENT + timedelta(minutes=10 * n)
        new.append(replace(one, fields=fields, result=result, time=time))
    opened.add(new)
    opened.add_review(8, "false_alarm", "anna")
    yield opened
    opened.close()


@pytest.fixture
def plan(filled, monkeypatch):
    """How SQLite executes the last statement of a question."""
    monkeypatch.setattr("patchbank.server.records.listing.FEW", FEW)
    statements = []

    def note(connection, cursor, statement, parameters, context, many):
        statements.append((statement, parameters))

    def ask(question):
        statements.clear()
        event.listen(filled._database.engine, "before_cursor_execute", note)
        try:
            answer = question(filled)
        finally:
            event.remove(filled._database.engine, "before_cursor_execute", note)
        asked = list(statements)
        with filled._database.reading() as connection:
            lines = [
                [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {s}", p)]
                for s, p in asked
                if s.lstrip().startswith("SELECT")
            ]
        return answer, lines

    return ask


def listed(**given):
    return lambda records: records.inspections(Filter(**given), limit=5)


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ({"fields": Fields(serial_number="77")}, "serial_number"),
        ({"fields": Fields(lot="L3")}, "lot"),
        ({"fields": Fields(lot="L3", station="s1")}, "lot"),
        ({"fields": Fields(station="s1")}, "station"),
        ({"fields": Fields(station="s9")}, "station"),
        ({"fields": Fields(shift="early", station="s1"), "product": "bolts"}, "station"),
        ({"verdict": "anomalous"}, "verdict"),
        ({"verdict": "anomalous", "product": "bolts"}, "verdict"),
        ({"verdict": "good", "fields": Fields(lot="L3")}, "lot"),
        ({"verdict": "unread"}, "verdict"),
        ({"product": "bolts"}, "product"),
        ({"product": "nuts", "verdict": "good"}, "product"),
        ({"review": "false_alarm", "product": "bolts"}, "review"),
        ({"verdict": "anomalous", "review": "none"}, "verdict"),
        ({"min_score": 299.0}, "score"),
        ({"min_score": 1000.0, "product": "bolts"}, "score"),
        ({"min_score": 299.0, "fields": Fields(lot="L14")}, "score"),
    ],
)
def test_the_rarest_criterion_leads(plan, given, index):
    page, plans = plan(listed(**given))
    (line,) = [line for line in plans[-1] if "inspections" in line]
    assert f"USING INDEX ix_inspections_{index}_id" in line
    assert all("SCAN inspections" not in text for steps in plans for text in steps)
    assert isinstance(page.inspections, tuple)


def test_frequent_scores_are_found_in_the_order_of_numbers(plan):
    page, plans = plan(listed(min_score=1.0))
    assert [one.id for one in page.inspections] == [600, 599, 598, 597, 596]
    assert plans[-1] == ["SCAN inspections"]  # from the newest on, until the page is full


def test_old_times_are_found_by_the_numbers_of_their_hours(plan):
    since = MOMENT + timedelta(hours=20)
    page, plans = plan(listed(since=since, until=since + timedelta(hours=1)))
    assert [one.id for one in page.inspections] == [126, 125, 124, 123, 122]
    assert plans[-1] == ["SEARCH inspections USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]


def test_what_is_sorted_is_few(plan):
    for given in ({"product": "bolts"}, {"verdict": "good"}, {"fields": Fields(station="s0")}):
        _, plans = plan(listed(**given))
        assert "USE TEMP B-TREE FOR ORDER BY" not in plans[-1]


def test_counts_read_the_tallies_alone(plan, filled):
    for by in ("hour", "day", "product", "shift", "lot", "station"):
        _, plans = plan(lambda records, by=by: records.counts(by))
        steps = [text for lines in plans for text in lines]
        assert steps
        assert not any("inspections" in text for text in steps)
    _, plans = plan(lambda records: records.counts("day", since=MOMENT + timedelta(minutes=5)))
    assert any("inspections USING" in text for lines in plans for text in lines)
    assert not any("SCAN inspections" in text for lines in plans for text in lines)


def test_a_message_is_found_by_its_channel(plan, filled):
    filled.add([inspection(n) for n in range(3)], ["mqtt"])
    for question in (
        lambda records: records.messages("mqtt", 2),
        lambda records: records.outbox_size("mqtt"),
    ):
        _, plans = plan(question)
        assert any("ix_outbox_instance_channel_id" in text for text in plans[-1])
        assert not any("B-TREE" in text for text in plans[-1])


def test_keys_are_found_by_their_index(plan):
    _, plans = plan(lambda records: records.by_key("bolts", "k"))
    assert "uq_inspections" in plans[-1][0] or "sqlite_autoindex_inspections" in plans[-1][0]
    _, plans = plan(lambda records: records.known_keys("bolts", ["k", "l"]))
    assert "SEARCH" in plans[-1][0]


def test_what_a_threshold_is_judged_by_is_found_by_indexes(plan):
    found, (lines,) = plan(lambda records: records.recent_scores("bolts", 5))
    newest, _ = plan(listed(product="bolts"))
    assert [one.id for one in found] == [one.id for one in newest.inspections]
    assert lines == ["SEARCH inspections USING INDEX ix_inspections_product_id (product=?)"]
    found, (lines,) = plan(lambda records: records.shift_size("bolts"))
    assert found.counted == "nothing"  # all of them are too old
    assert lines[0] == "SEARCH tallies USING PRIMARY KEY (kind=? AND hour>?)"
