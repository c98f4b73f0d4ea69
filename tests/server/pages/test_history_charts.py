"""Points, rates and positions of the charts, compared with a count by hand and by brute force."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.scores.control_limits import control_limits
from patchbank.server.pages.history import charts
from patchbank.server.pages.history.asked import resolved
from patchbank.server.pages.history.charts import course, pareto, usual_by
from patchbank.server.pages.history.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    TOP,
    WIDTH,
    axis_of,
    drift_plot,
    p_chart,
    pareto_bars,
)
from patchbank.server.pages.history.screens import counted
from patchbank.server.pages.history.zones import asked_zone
from patchbank.server.records.counting import Bounds, begin_of
from patchbank.server.records.hours import HourCount
from patchbank.server.records.tallies import hour_of
from tests.server.pages.past import days
from tests.server.pages.test_history_asked import asked
from tests.server.samples import MOMENT, inspection

UTC, BERLIN = asked_zone("UTC"), asked_zone("Europe/Berlin")
HOUR = hour_of(datetime(2026, 3, 1, 6, tzinfo=timezone.utc))


def hours(*rows):
    """Counts from (hours since the first, value, verdict, number) and a review."""
    return [
        HourCount(HOUR + at, value, verdict, review[0] if review else "", number, 10 * at + 1)
        for at, value, verdict, number, *review in rows
    ]


def test_points_are_hours_in_order_with_the_limits_of_their_own_number():
    found = course(
        hours(
            (1, "", "anomalous", 3), (0, "", "good", 40), (1, "", "good", 57), (2, "", "unread", 9)
        ),
        "hour",
        BERLIN,
    )
    assert [point.label for point in found.points] == ["2026-03-01 07:00", "2026-03-01 08:00"]
    assert found.mean == 3 / 100
    assert [point.share for point in found.points] == [0, 3 / 60]
    assert [point.limits for point in found.points] == [
        control_limits(40, 0.03),
        control_limits(60, 0.03),
    ]
    assert found.out == []
    assert found.points[1].link == {
        "when": None,
        "from": "2026-03-01",
        "from_time": "08:00",
        "to": "2026-03-01",
        "to_time": "09:00",
    }


def test_a_point_beyond_its_limits_is_out_and_no_other():
    rows = [(24 * at, "", "good", 95) for at in range(12)]
    rows += [(24 * at, "", "anomalous", 25 if at == 7 else 5) for at in range(12)]
    found = course(hours(*rows), "day", UTC)
    assert [point.label for point in found.out] == ["2026-03-08"]
    # The mean is 80 of 1,220 parts, so that 6.56 are expected of 100 and the limits are exact.
    assert found.mean == 80 / 1220
    assert found.points[0].limits.is_exact


def test_yield_and_rates_are_those_of_the_sum():
    found = course(
        hours(
            (0, "", "good", 90),
            (0, "", "good", 2, "confirmed_defect"),
            (0, "", "anomalous", 3, "confirmed_defect"),
            (1, "", "anomalous", 2, "false_alarm"),
            (1, "", "anomalous", 1),
            (1, "", "unread", 2),
        ),
        "hour",
        UTC,
    )
    assert found.passed == 92 / 100  # unread ones have not passed
    assert found.total.inspected == 98
    assert found.total.false_alarm_rate == Bounds(2 / 92, 3 / 93)
    assert found.total.defect_rate == Bounds(5 / 98, 6 / 98)


def test_without_parts_there_is_no_rate():
    found = course([], "day", UTC)
    assert (found.points, found.mean, found.passed) == ((), None, None)
    assert p_chart(found).drawn == ()


def test_a_shift_is_one_point_for_each_of_its_days():
    rows = [(at, "early", "good", 10) for at in range(8)]
    rows += [(at, "late", "good", 10) for at in range(8, 16)]
    rows += [(at, "night", "good", 10) for at in range(16, 24)]
    rows += [(24 + at, "early", "good", 10) for at in (0, 1, 6)]  # a break of a shift
    rows += [(7, "late", "good", 1), (3, "", "good", 5)]
    found = course(hours(*rows), "shift", UTC)
    assert [(point.label, point.count.good) for point in found.points] == [
        ("2026-03-01 early", 80),
        ("2026-03-01 late", 81),
        ("2026-03-01 night", 80),
        ("2026-03-02 early", 30),
    ]
    assert found.points[2].link["to"] == "2026-03-02"
    assert found.points[2].link["shift"] == "night"


def test_a_shift_that_never_ends_has_a_point_for_each_twelve_hours():
    found = course(hours(*[(at, "A", "good", 1) for at in range(30)]), "shift", UTC)
    assert [point.count.good for point in found.points] == [12, 12, 6]


def test_lots_are_in_the_order_of_their_first_part():
    rows = [
        (0, "L9", "good", 5),
        (1, "L10", "good", 7),
        (2, "L9", "anomalous", 1),
        (2, "", "good", 3),
    ]
    found = course(hours(*rows), "lot", UTC)
    assert [(point.label, point.count.inspected) for point in found.points] == [
        ("L9", 6),
        ("L10", 7),
    ]
    assert found.points[0].link == {"lot": "L9"}


def test_a_chart_has_the_newest_points_and_says_so(monkeypatch):
    monkeypatch.setattr(charts, "MOST_POINTS", 3)
    rows = [(at, "", "anomalous" if at == 0 else "good", 10) for at in range(5)]
    found = course(hours(*rows), "hour", UTC)
    assert [point.label[-5:] for point in found.points] == ["08:00", "09:00", "10:00"]
    assert found.is_cut
    assert found.total.inspected == 30  # the mean is that of what is drawn
    assert found.mean == 0


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 80), st.sampled_from(["A", "B"]), st.booleans(), st.integers(1, 9)
        ),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from(["hour", "day", "shift", "lot"]),
)
def test_each_part_is_in_one_point(rows, by):
    counts = hours(*[(at, value, "anomalous" if odd else "good", n) for at, value, odd, n in rows])
    found = course(counts, by, BERLIN)
    assert sum(point.count.inspected for point in found.points) == sum(row[3] for row in rows)
    assert found.total.anomalous == sum(row[3] for row in rows if row[2])
    labels = [point.label for point in found.points]
    assert len(set(labels)) == len(labels) or by == "shift"


def region(left, top, width=2, height=2):
    return {"left": left, "top": top, "width": width, "height": height}


def test_regions_count_in_the_cell_of_their_centre():
    results = [
        {"size": [160, 100], "regions": [region(0, 0, 39, 39), region(158, 98)]},  # A1 ... H5
        {"size": [160, 100], "regions": [region(0, 0, 40, 40)]},  # its centre is the corner of B2
        {"size": [320, 200], "regions": [region(20, 20)]},  # the same place at twice the size
        {"size": None, "regions": None},
        {"size": [160, 100], "regions": []},
    ]
    found = pareto(results)
    assert (found.rows, found.columns) == (5, 8)
    assert [(cell.name, cell.number) for cell in found.cells] == [("A1", 2), ("B2", 1), ("H5", 1)]
    assert [cell.share for cell in found.cells] == [0.5, 0.25, 0.25]
    assert [cell.cumulative for cell in found.cells] == [0.5, 0.75, 1.0]
    assert (found.parts, found.regions) == (5, 4)


@pytest.mark.parametrize(
    ("size", "shape"), [([100, 160], (8, 5)), ([100, 100], (8, 8)), ([2000, 10], (1, 8))]
)
def test_cells_are_about_square(size, shape):
    found = pareto([{"size": size, "regions": [region(0, 0)]}])
    assert (found.rows, found.columns) == shape


def test_no_flagged_part_has_no_cell():
    found = pareto([])
    assert (found.cells, found.regions) == ((), 0)
    assert pareto_bars(found).drawn == ()


def test_pareto_is_that_of_a_look_at_each_pixel():
    rng = random.Random(3)
    width, height = 96, 64
    centres = [(rng.randrange(width - 1), rng.randrange(height - 1)) for _ in range(200)]
    results = [{"size": [width, height], "regions": [region(x, y)]} for x, y in centres]
    found = pareto(results)
    expected = Counter(
        "ABCDEFGH"[(x + 1) // (width // found.columns)] + str((y + 1) * found.rows // height + 1)
        for x, y in centres
    )
    assert {cell.name: cell.number for cell in found.cells} == expected
    numbers = [cell.number for cell in found.cells]
    assert numbers == sorted(numbers, reverse=True)
    assert found.cells[-1].cumulative == pytest.approx(1)
    assert len(found.bars) == 10


def test_an_axis_is_round_and_holds_what_is_drawn():
    axis = axis_of(1.3, -0.4)
    assert axis.ticks == (-0.5, 0.0, 0.5, 1.0, 1.5)
    assert (axis.y(-0.5), axis.y(1.5)) == (HEIGHT - BOTTOM, TOP)
    assert axis.y(7) == TOP
    assert axis_of(0.0).high > 0


def test_a_chart_draws_its_points_where_they_are():
    rows = [(at, "", "good", 90) for at in range(4)] + [(2, "", "anomalous", 30)]
    drawn = p_chart(course(hours(*rows), "hour", UTC))
    step = (WIDTH - LEFT - 12) / 4
    assert [one.x for one in drawn.drawn] == [round(LEFT + (at + 0.5) * step, 1) for at in range(4)]
    assert drawn.drawn[2].y < drawn.mean_y < drawn.drawn[0].y == drawn.axis.y(0)
    assert drawn.drawn[2].y == drawn.axis.y(0.25)
    assert drawn.line.split()[0] == f"{drawn.drawn[0].x},{drawn.drawn[0].y}"
    assert len(drawn.highs.split()) == 8
    assert [label for _, label in drawn.labels] == [
        "2026-03-01 06:00",
        "2026-03-01 07:00",
        "2026-03-01 08:00",
        "2026-03-01 09:00",
    ]


def test_the_drift_plot_holds_its_alarm():
    drawn = drift_plot([(5, 0.0, -0.2), (9, 1.0, 0.4), (70, 3.5, 0.1)], 2.0)
    assert [label for _, label in drawn.labels] == ["#5", "#9", "#70"]
    ys = [float(point.partition(",")[2]) for point in drawn.passed.split()]
    assert ys[0] > ys[1] > drawn.alarm_y > ys[2] >= TOP
    assert drift_plot([], 2.0).passed == ""


def test_points_are_hours_for_short_times_and_days_for_long_ones():
    assert usual_by(MOMENT, MOMENT + timedelta(hours=71)) == "hour"
    assert usual_by(MOMENT, MOMENT + timedelta(hours=73)) == "day"


@pytest.fixture
def forty_days(records):
    until = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc)
    new = days(40, until=until, each=6)
    records.add(new)

    def ask(**query):
        wanted = resolved(asked(zone="UTC", **query), records, until)
        return counted(records, wanted), new

    return ask


def test_without_a_time_the_last_thirty_days_are_counted(forty_days):
    (wanted, by, found, is_cut), new = forty_days()
    assert (by, is_cut) == ("day", False)
    assert wanted.filter.since == datetime(2026, 10, 28, tzinfo=timezone.utc)
    own = [one for one in new if one.time >= wanted.filter.since]
    assert found.total.inspected == len(own)
    assert found.total.anomalous == sum(one.verdict == "anomalous" for one in own)
    per_day = Counter(one.time.date().isoformat() for one in own)
    assert {point.label: point.count.inspected for point in found.points} == per_day


def test_a_lot_of_long_ago_is_counted_without_a_time(forty_days):
    (_, by, found, _), new = forty_days(lot="L2")
    assert by == "hour"
    assert found.total.inspected == sum(one.fields.lot == "L2" for one in new) == 6


def test_a_time_that_is_too_long_for_its_points_is_cut_and_said(forty_days):
    (wanted, by, found, is_cut), _ = forty_days(**{"from": "2026-10-01", "by": "hour"})
    assert (by, is_cut) == ("hour", True)
    assert wanted.filter.since == datetime(2026, 11, 13, tzinfo=timezone.utc)
    assert begin_of(hour_of(wanted.filter.since)) == wanted.filter.since
    assert found.points[0].label.startswith("2026-11-13")


def test_a_day_is_one_point_where_midnight_is_in_the_middle_of_an_hour(records):
    midnight = datetime(2026, 11, 25, 18, 30, tzinfo=timezone.utc)  # of the 26th in Kolkata
    near = [timedelta(minutes=n) for n in (-1, 1, 24 * 60 - 1, 24 * 60 + 1)]
    records.add([inspection(at, time=midnight + one) for at, one in enumerate(near)])
    query = {"from": "2026-11-26", "to": "2026-11-26", "zone": "Asia/Kolkata", "by": "day"}
    wanted = resolved(asked(**query), records, midnight)
    _, _, found, _ = counted(records, wanted)
    assert [(point.label, point.count.inspected) for point in found.points] == [("2026-11-26", 2)]


def test_lots_and_shifts_are_points_too(forty_days):
    (_, _, found, _), _ = forty_days(by="lot", when="week")
    assert [point.label for point in found.points] == [f"L{n}" for n in range(34, 41)]
    (_, _, found, _), _ = forty_days(by="shift", when="yesterday")
    assert [point.label for point in found.points] == [
        "2026-11-25 early",
        "2026-11-25 late",
        "2026-11-25 night",
    ]
