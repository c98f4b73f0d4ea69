"""The order of candidates: a sum of effects, and the default unless another is clearly better."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbank import PatchCore
from patchbank.training.choose.ranking import LEAST_GAIN, best_of, smoothed
from tests.photographs import parts

SIZES, PATCHES = (512, 640, 320), (3, 1)


CANDIDATES = [{"image_size": size, "patch_size": patch} for size, patch in product(SIZES, PATCHES)]
ARE_DEFAULT = [True] + 5 * [False]


@given(
    st.lists(st.floats(0.0, 0.2), min_size=3, max_size=3),
    st.lists(st.floats(0.0, 0.2), min_size=2, max_size=2),
)
def test_a_sum_of_effects_stays_as_it_is(of_sizes, of_patches):
    aurocs = [0.5 + one + other for one, other in product(of_sizes, of_patches)]
    np.testing.assert_allclose(smoothed(CANDIDATES, aurocs), aurocs, atol=1e-12)


@given(st.lists(st.floats(0.3, 0.9), min_size=6, max_size=6))
def test_the_means_of_a_value_stay_and_differences_are_those_of_means(aurocs):
    """The solution of a balanced design: mean + mean of the size + mean of the patch size."""
    table = np.array(aurocs).reshape(3, 2)
    expected = table.mean(axis=1)[:, None] + table.mean(axis=0)[None] - table.mean()
    found = smoothed(CANDIDATES, aurocs).reshape(3, 2)
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-12)


def test_a_part_of_the_candidates_is_enough():
    some = CANDIDATES[:2]
    np.testing.assert_allclose(smoothed(some, [0.8, 0.7]), [0.8, 0.7], atol=1e-12)


@pytest.mark.parametrize(("gain", "number"), [(0.9, 0), (1.1, 3)])
def test_the_default_stays_unless_another_one_is_better_by_what_is_needed(gain, number):
    ranks = np.full(6, 0.8)
    ranks[3] += gain * LEAST_GAIN
    assert best_of(ARE_DEFAULT, ranks) == number


def test_of_several_that_are_clearly_better_the_best_is_chosen():
    assert best_of(ARE_DEFAULT, np.array([0.7, 0.8, 0.9, 0.91, 0.91, 0.5])) == 3


def test_nothing_more_is_tried_where_no_other_can_be_better_by_what_is_needed():
    choice = PatchCore.auto(
        backbone="efficientnet_lite0", bank_limit=200, false_alarm_rate=0.2
    ).fit(parts(20, size=(220, 260)), groups="none")
    choice = choice.settings_choice
    sizes = {trial.changes["image_size"] for trial in choice.trials}
    default = next(t for t in choice.trials if t.changes == choice.chosen)
    assert default.auroc > 1 - LEAST_GAIN
    assert sizes == {512}
    assert "(the default) is kept, as of 4 candidates, no other is better by 0.015" in choice.reason
