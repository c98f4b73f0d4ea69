"""Numbers that rounding errors would decide are decided alike in 64 and in 32 bits."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from patchbank.core.rounding import settled
from patchbank.core.scores.image_score import top_fraction_mean


@pytest.mark.parametrize(
    ("number", "expected"),
    [(7.5, 7.5), (7.499999, 7.5), (7.4999, 7.4999), (7.0000001, 7.0), (-2.5000001, -2.5), (0, 0)],
)
def test_a_number_settles_where_only_rounding_is_between(number, expected):
    assert settled(number) == expected


@given(n=st.integers(1, 40_000), fraction=st.sampled_from([0.001, 0.01, 0.07, 0.15, 0.3]))
@example(n=95, fraction=0.3)
@example(n=190, fraction=0.15)
def test_a_share_of_patches_is_the_same_number_of_them(n, fraction):
    alike = settled(float(np.float32(n) * np.float32(fraction)))
    assert round(settled(n * fraction)) == round(alike)


def test_the_mean_of_a_share_is_over_the_even_number_where_it_is_between_two():
    values = np.arange(50, dtype=np.float32)
    assert 0.07 * 50 > 3.5  # by a rounding error
    assert top_fraction_mean(values, 0.07) == values[-4:].mean()
    assert top_fraction_mean(np.arange(150, dtype=np.float32), 0.07) == np.arange(140, 150).mean()


@given(
    own=st.integers(14, 64).map(lambda n: 16 * n),
    to=st.integers(40, 4000),
    share=st.floats(0, 1),
)
@example(own=608, to=760, share=0.5)
def test_a_place_in_a_photograph_is_the_same_pixel(own, to, share):
    place = int(own * share)
    alike = settled(float(np.float32(place) * (np.float32(to) / np.float32(own))))
    assert round(settled(place * (to / own))) == round(alike)
