"""Laws of the range that a trait of a new good photograph has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbank.core.scores.usual_range import UsualRange

positive = st.lists(st.integers(1, 200), min_size=1, max_size=40).map(np.float64)


def of(values, shares=None, **options):
    return UsualRange.of(
        values, np.ones(len(values)) if shares is None else shares, **{"margin": 1.1, **options}
    )


@given(positive)
def test_every_learned_value_lies_in_the_range(values):
    usual = of(values)
    assert usual.low < usual.learned_low == values.min()
    assert usual.high > usual.learned_high == values.max()


@given(positive, st.randoms())
def test_the_order_of_photographs_says_nothing(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    assert of(values[order]) == pytest.approx(of(values))


@given(positive, st.sampled_from([0.01, 3.0, 1e4]))
def test_another_unit_scales_the_range(values, factor):
    assert of(values * factor) == pytest.approx(np.array(of(values)) * factor)


@given(positive, st.integers(1, 5))
def test_a_group_of_copies_counts_as_one_photograph(values, count):
    copies = np.repeat(values, count)
    assert of(copies, np.full(len(copies), 1 / count)) == pytest.approx(of(values))


@given(positive)
def test_low_and_high_mirror_each_other(values):
    """The scale is logarithmic: what is twice the range above is half of it below."""
    usual, mirrored = of(values), of(1 / values)
    assert mirrored.low == pytest.approx(1 / usual.high)
    assert mirrored.high == pytest.approx(1 / usual.low)


@given(positive, st.floats(1.0, 3.0), st.floats(1.0, 3.0))
def test_a_larger_margin_never_narrows_the_range(values, one, other):
    narrow, wide = (of(values, margin=margin) for margin in sorted((one, other)))
    assert wide.low <= narrow.low
    assert wide.high >= narrow.high


@given(positive)
def test_an_origin_moves_the_zero_of_the_scale(values):
    moved = np.array(of(values - 1000.0, origin=-1000.0))
    assert moved == pytest.approx(np.array(of(values)) - 1000.0)


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.0, 1e-12, 5.0], [1e30, 1.0]])
def test_zeros_and_extremes_have_a_range_of_numbers(values):
    usual = of(np.array(values))
    assert np.isfinite(usual).all()
    assert usual.low <= min(values)
    assert max(values) <= usual.high
