"""The latest scores of a product, and how many parts a shift has."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbank.errors import ParameterError
from patchbank.server.records.entries import Fields
from patchbank.server.records.recent import RecentScore, ShiftSize, shift_size
from tests.server.samples import DETECTOR, inspection, result

pytestmark = pytest.mark.serve
HOUR = 500_000


def test_the_latest_scores_are_those_of_the_product_newest_first(records):
    records.add(
        [
            inspection(1),
            inspection(2, verdict="anomalous"),
            inspection(3, product="nuts"),
            inspection(4, verdict="unread"),
            inspection(5, result={**result("5", "good"), "detector_sha256": "ab" * 32}),
        ]
    )
    records.add_review(2, "false_alarm", "anna")
    assert records.recent_scores("bolts", 3) == [
        RecentScore(5, 7.5, 11.84, "good", None, "ab" * 32),
        RecentScore(4, None, None, "unread", None, DETECTOR),
        RecentScore(2, 23.01, 11.84, "anomalous", "false_alarm", DETECTOR),
    ]
    assert [one.id for one in records.recent_scores("bolts", 5000)] == [5, 4, 2, 1]
    assert records.recent_scores("screws", 5) == []
    for limit in (0, 5001):
        with pytest.raises(ParameterError, match=r"limit: expected 1 to 5,000"):
            records.recent_scores("bolts", limit)


def test_the_size_of_a_shift_is_counted_from_the_records(records):
    assert records.shift_size("bolts") == ShiftSize(None, "nothing", 0)
    now = datetime.now(timezone.utc)

    def made(days_ago, number, shift, product="bolts"):
        time = now - timedelta(days=days_ago)
        records.add(
            [
                inspection(at, time=time, product=product, fields=Fields(shift=shift))
                for at in range(number)
            ]
        )

    made(3, 4, None)
    made(3, 90, None, "nuts")
    made(9, 70, None)  # too long ago
    assert records.shift_size("bolts") == ShiftSize(32, "hours", 1)
    made(2, 5, "early")
    made(1, 9, "early")
    made(1.5, 7, "late")
    made(0, 1, "late")  # is not over
    assert records.shift_size("bolts") == ShiftSize(7, "shifts", 3)
    assert records.shift_size("bolts").to_json() == {
        "parts": 7,
        "counted": "shifts",
        "n": 3,
        "days": 7,
    }


def test_a_shift_over_midnight_is_one_and_a_lunch_break_does_not_end_it():
    hours = [(HOUR, "night", 10), (HOUR + 1, "night", 20), (HOUR + 5, "night", 30)]
    assert shift_size(hours, HOUR + 20) == ShiftSize(60, "shifts", 1)
    next_night = [(hour + 24, name, number + 1) for hour, name, number in hours]
    assert shift_size([*next_night, *hours], HOUR + 60) == ShiftSize(62, "shifts", 2)  # 61.5


def test_a_shift_that_is_not_over_counts_only_where_it_is_alone():
    assert shift_size([(HOUR, "early", 3)], HOUR) == ShiftSize(3, "shifts", 1)
    earlier = (HOUR - 24, "early", 100)
    assert shift_size([(HOUR, "early", 3), earlier], HOUR) == ShiftSize(100, "shifts", 1)
    assert shift_size([(HOUR, "", 3)], HOUR) == ShiftSize(24, "hours", 1)
    assert shift_size([(HOUR, "", 3), (HOUR - 9, "", 50)], HOUR) == ShiftSize(400, "hours", 1)


def test_parts_that_name_their_shift_go_before_those_that_do_not():
    hours = [(HOUR, "early", 3), (HOUR, "", 1000), (HOUR + 1, "", 0)]
    assert shift_size(hours, HOUR + 20) == ShiftSize(3, "shifts", 1)
    assert shift_size([(HOUR, "", 0)], HOUR + 20) == ShiftSize(None, "nothing", 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from(["", "a", "b"]), st.integers(0, 50)),
        unique_by=lambda one: one[:2],
    )
)
def test_the_order_of_hours_says_nothing_and_no_shift_is_larger_than_all(hours):
    found = shift_size(hours, 100)
    assert shift_size(hours[::-1], 100) == found
    total = sum(number for _, _, number in hours)
    if found.counted == "shifts":
        assert 1 <= found.parts <= sum(number for _, name, number in hours if name)
    elif found.counted == "hours":
        assert found.parts <= 8 * total
    else:
        assert total == 0
