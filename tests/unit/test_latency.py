"""How a bank is cut to a time, with a clock that is set by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from patchbank.detector import latency
from patchbank.detector.latency import latency_ms, within_latency
from patchbank.errors import ParameterError
from tests.painted import settings


class Cut:
    """A detector of so many rows, which remembers what was cut from the whole one."""

    def __init__(self, rows, sizes=(10, 100, 1000), asked=None):
        self.rows, self.bank_sizes = rows, sizes
        self.asked = [] if asked is None else asked

    def with_bank_rows(self, rows):
        self.asked.append(rows)
        return Cut(rows, self.bank_sizes, self.asked)


def cut_with(monkeypatch, budget_ms, milliseconds_of):
    """-> rows of the detector that keeps to the budget, and all sizes that were tried."""
    monkeypatch.setattr(latency, "latency_ms", lambda one: milliseconds_of(one.rows))
    whole = Cut(1000)
    return within_latency(whole, budget_ms).rows, whole.asked


def test_on_a_straight_line_the_second_measurement_hits_the_mark(monkeypatch):
    """10 ms and 0.1 a row: 95 % of 50 ms are 375 rows, or 374 when a float falls short."""
    rows, asked = cut_with(monkeypatch, 50, lambda rows: 10 + 0.1 * rows)
    assert asked == [10, rows]
    assert rows in (374, 375)


def test_a_time_that_grows_faster_is_closed_in_on_from_below(monkeypatch):
    """Every step that keeps to the budget is a better one; none that does not is kept."""

    def curve(rows):
        return 1 + 99 * (rows / 1000) ** 2

    rows, asked = cut_with(monkeypatch, 30, curve)
    assert asked[0] == 10
    assert asked[1] == 284  # on the line from (10, 1.01) to (1000, 100), at 28.5 ms
    assert asked[1:] == sorted(asked[1:])
    assert rows == max(asked)
    assert 27 <= curve(rows) <= 30
    assert curve(asked[-2]) < 27


def test_a_time_that_grows_slower_is_closed_in_on_from_above(monkeypatch):
    def curve(rows):
        return 100 * (rows / 1000) ** 0.5

    rows, asked = cut_with(monkeypatch, 40, curve)
    too_slow = [tried for tried in asked if curve(tried) > 40]
    assert len(too_slow) >= 2
    assert too_slow == sorted(too_slow, reverse=True)
    assert rows == max(tried for tried in asked if curve(tried) <= 40)
    assert 36 <= curve(rows) <= 40


def test_no_more_than_six_sizes_are_tried_between(monkeypatch):
    """A step at 500 rows never lets the line come near to the budget."""
    rows, asked = cut_with(monkeypatch, 30, lambda rows: 1.0 if rows < 500 else 100.0)
    assert len(asked) == 1 + 6
    assert rows == max(tried for tried in asked if tried < 500)


def test_when_all_that_is_larger_is_too_slow_the_smallest_is_used(monkeypatch):
    rows, asked = cut_with(monkeypatch, 30, lambda rows: 29.9 if rows == 10 else 100.0)
    assert rows == 10
    assert asked == [10]  # the line aims at 28.5 ms, below which there is nothing to try


def test_the_whole_bank_is_kept_where_it_just_meets_the_budget(monkeypatch):
    rows, asked = cut_with(monkeypatch, 30, lambda rows: 30.0)
    assert (rows, asked) == (1000, [])


def test_the_smallest_bank_may_take_the_whole_budget(monkeypatch):
    rows, _ = cut_with(monkeypatch, 30, lambda rows: 30.0 if rows == 10 else 31.0)
    assert rows == 10


def test_a_budget_below_the_smallest_bank_names_its_time(monkeypatch):
    with pytest.raises(ParameterError) as caught:
        cut_with(monkeypatch, 12.5, lambda rows: 20.26 + rows)
    assert str(caught.value) == (
        "latency_budget: expected at least 30.3 ms, what this machine takes with the smallest "
        "bank of this detector (10 rows), got 12.5; fit it with a smaller image_size or a lighter "
        "backbone"
    )


class Timed:
    """Members whose work moves a clock on by the next of some milliseconds."""

    def __init__(self, monkeypatch, *milliseconds, n_members=1, image_size=(48, 64)):
        self.now, self.left, self.seen = 5.0, list(milliseconds), []
        monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: self.now))
        one = SimpleNamespace(settings=settings(image_size=image_size), predict=self.predict)
        self.members = (one,) * n_members
        self.roi = None

    def predict(self, image, part):
        self.seen.append(image)
        self.now += self.left.pop(0) / 1e3


def test_the_median_of_five_counts_after_two_that_warm_up(monkeypatch):
    """Of 1, 9, 2, 8, 3; with those before it would be 8."""
    timed = Timed(monkeypatch, 100, 200, 1, 9, 2, 8, 3)
    assert latency_ms(timed) == pytest.approx(3)
    assert timed.left == []


def test_the_time_of_several_members_is_their_sum(monkeypatch):
    timed = Timed(monkeypatch, *[1, 2] * 7, n_members=2)
    assert latency_ms(timed) == pytest.approx(3)
    assert timed.left == []


@pytest.mark.parametrize(("image_size", "shape"), [((48, 64), (48, 64, 3)), (40, (40, 40, 3))])
def test_it_is_measured_on_noise_of_the_size_that_the_network_sees(monkeypatch, image_size, shape):
    timed = Timed(monkeypatch, *[1] * 7, image_size=image_size)
    latency_ms(timed)
    first = timed.seen[0]
    assert (first.shape, first.dtype) == (shape, np.uint8)
    assert (first.min(), first.max()) == (0, 255)
    assert all((image == first).all() for image in timed.seen)
