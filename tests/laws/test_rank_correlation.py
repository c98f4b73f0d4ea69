"""The rank correlation of a comparison is Spearman's, with ties, exactly 1 for equal orders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from patchbank.comparison.ranks import rank_correlation

SCORES = st.lists(st.integers(0, 6), min_size=2, max_size=30)
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=30)


@given(PAIRS)
def test_it_is_that_of_scipy_where_that_is_defined(pairs):
    first, second = np.array(pairs, np.float64).T
    found = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
        return
    assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert -1 <= found <= 1


@given(SCORES)
def test_it_is_one_for_any_units_and_minus_one_for_the_opposite_order(scores):
    array = np.array(scores, np.float64)
    if len(set(scores)) == 1:
        return
    assert rank_correlation(array, array) == 1
    assert rank_correlation(array, 3 * array**3 + 7) == 1
    assert rank_correlation(array, -array) == -1


@given(PAIRS)
def test_it_does_not_depend_on_which_is_the_first(pairs):
    first, second = np.array(pairs, np.float64).T
    assert rank_correlation(first, second) == rank_correlation(second, first)


def test_one_photograph_has_no_order():
    assert rank_correlation(np.array([1.0]), np.array([2.0])) is None
