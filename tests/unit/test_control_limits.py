"""Control limits of a p-chart, compared with sums of exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import comb, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.scores.control_limits import FEW, TAIL, ControlLimits, control_limits


def chances(number: int, mean: Fraction) -> list[Fraction]:
    """The binomial distribution, by its definition."""
    return [comb(number, k) * mean**k * (1 - mean) ** (number - k) for k in range(number + 1)]


def exact(number: int, mean: Fraction) -> tuple[int, int]:
    """The least count with at most the tail below it, and the most with at most that above it."""
    below = [Fraction(0), *accumulate(chances(number, mean))]
    low = max(count for count in range(number + 1) if below[count] < TAIL)
    high = min(count for count in range(number + 1) if 1 - below[count + 1] <= TAIL)
    return low, high


def test_the_tail_is_that_of_three_sigmas():
    assert pytest.approx(0.001349898, rel=1e-6) == TAIL


@pytest.mark.parametrize(
    ("number", "mean"),
    [
        (1, "1/100"),
        (1, "99/100"),
        (7, "1/2"),
        (19, "1/2"),
        (50, "1/50"),
        (200, "1/25"),
        (450, "1/50"),
        (60, "19/20"),
        (300, "1/1000"),
    ],
)
def test_few_flagged_parts_have_the_quantiles_of_the_binomial_distribution(number, mean):
    share = Fraction(mean)
    low, high = exact(number, share)
    assert control_limits(number, float(share)) == ControlLimits(low / number, high / number, True)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 150), st.integers(0, 1000))
def test_each_side_has_at_most_its_tail(number, thousandths):
    mean = Fraction(thousandths, 1000)
    limits = control_limits(number, float(mean))
    assert 0 <= limits.low <= limits.high <= 1
    assert limits.hold(float(mean)) or limits.is_exact
    if limits.is_exact:
        share = chances(number, mean)
        low, high = round(limits.low * number), round(limits.high * number)
        assert sum(share[:low]) <= TAIL + 1e-12
        assert sum(share[high + 1 :]) <= TAIL + 1e-12


def test_many_flagged_parts_have_three_sigmas_of_their_own_number():
    # 12 % of 250 are 30; its standard deviation is sqrt(0.12 x 0.88 / 250).
    limits = control_limits(250, 0.12)
    assert limits.is_exact is False
    assert limits.low == pytest.approx(0.12 - 3 * sqrt(0.1056 / 250))
    assert limits.high == pytest.approx(0.181658, abs=1e-6)
    assert control_limits(1000, 0.12).high < limits.high


@pytest.mark.parametrize("mean", [0.01, 0.2, 0.5, 0.77])
def test_exact_and_normal_limits_meet_where_one_takes_over(mean):
    number = int(FEW / min(mean, 1 - mean)) + 1
    assert control_limits(number, mean).is_exact is False
    assert control_limits(number - 2, mean).is_exact is True
    few, many = control_limits(number - 2, mean), control_limits(number, mean)
    spread = sqrt(mean * (1 - mean) / number)
    assert few.high == pytest.approx(many.high, abs=1.2 * spread)
    assert few.low == pytest.approx(many.low, abs=1.2 * spread)


def test_mirrored_shares_have_mirrored_limits():
    few, many = control_limits(40, 0.1), control_limits(40, 0.9)
    assert (many.low, many.high) == pytest.approx((1 - few.high, 1 - few.low))


def test_parts_that_are_never_or_always_flagged_stay_so():
    assert control_limits(30, 0.0) == ControlLimits(0.0, 0.0, True)
    assert control_limits(30, 1.0) == ControlLimits(1.0, 1.0, True)
    assert not control_limits(30, 0.0).hold(1 / 30)
