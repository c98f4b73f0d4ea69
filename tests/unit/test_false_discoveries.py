"""How many of the flagged parts of a lot are expected to be good, and which are clearly not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.false_discoveries import (
    adjusted,
    false_discoveries,
    rank_p_values,
    share_of_good,
)
from patchbank.errors import ParameterError

NINE = np.arange(1.0, 10.0)


def calibration(scores=NINE, rate=0.2, **changes):
    return Calibration(scores, scores, rate, **{"rule": "ranks", **changes})


@given(st.lists(st.integers(1, 20).map(lambda n: n / 20), min_size=1, max_size=30))
def test_levels_are_those_of_scipy(p_values):
    found = adjusted(np.array(p_values))
    assert found == pytest.approx(false_discovery_control(p_values, method="bh"), abs=1e-12)


def test_the_share_of_good_parts_is_twice_that_of_high_p_values():
    assert share_of_good(np.array([0.6, 0.9, 0.01, 0.02, 0.3, 0.01, 0.01, 0.01, 0.01, 0.01])) == 0.6
    assert share_of_good(np.array([0.9, 0.8])) == 1
    assert share_of_good(np.array([])) == 1


def test_ranks_count_a_photograph_as_its_share_of_its_group():
    """Two groups: photographs 1 and 2 are halves of one, 3 is the other."""
    groups = np.array([7, 7, 2], np.int32)
    of_groups = calibration(np.array([1.0, 2.0, 3.0]), 0.4, groups=groups)
    found = rank_p_values(of_groups, np.array([0.0, 1.5, 2.5, 4.0]))
    assert found == pytest.approx([1, 2.5 / 3, 2 / 3, 1 / 3])
    assert rank_p_values(calibration(), np.array([10.0, 9.0, 0.0])).tolist() == [0.1, 0.2, 1.0]
    assert rank_p_values(calibration(views_of_one=True), NINE).tolist() == [1.0] * 9


def test_a_lot_without_defects_has_as_many_flagged_as_the_rate_says():
    """Ten ranks, each met by ten parts: a rate of 0.2 flags twenty, all of them good."""
    found = false_discoveries(calibration(), np.repeat(np.arange(0.5, 10), 10), 0.1)
    assert (found.parts, found.flagged, found.rejected, found.rejected_score) == (100, 20, 0, None)
    assert found.expected_false == 20


def test_a_lot_with_many_defects_has_few_false_ones():
    scores = np.concatenate([np.full(80, 20.0), np.repeat(np.arange(0.5, 10), 2)])
    found = false_discoveries(calibration(), scores, 0.2)
    assert found.flagged == 84
    # ten of a hundred p-values lie above 1/2: 22 parts are good, of which 0.2 are flagged
    assert found.expected_false == pytest.approx(0.2 * 22)
    # the 82 with a p-value of 0.1; two more have 0.2, which is above 0.2 * 84 / 100
    assert found.rejected == found.rejected_by_ranks == 82
    assert found.rejected_score == 9.5


def test_few_photographs_cannot_reject_few_parts_by_ranks():
    """The smallest p-value is 0.1: at a level of 0.1 all 50 parts would have to have it."""
    few = np.append(np.full(49, 20.0), 0.0)
    assert false_discoveries(calibration(), few, 0.1).needed_by_ranks == 50
    assert false_discoveries(calibration(), few, 0.1).rejected_by_ranks == 0
    assert false_discoveries(calibration(), np.full(50, 20.0), 0.1).rejected_by_ranks == 50
    assert false_discoveries(calibration(), few, 0.3).needed_by_ranks == 17


def test_the_tail_model_rejects_what_ranks_cannot():
    scores = 20 * np.exp(0.1 * np.random.default_rng(0).standard_normal(31))
    lot = np.append(20 * np.exp(0.1 * np.random.default_rng(1).standard_normal(200)), 90.0)
    found = false_discoveries(calibration(scores, 0.05, rule="tail"), lot, 0.1)
    assert (found.rejected, found.rejected_score, found.rejected_by_ranks) == (1, 90.0, 0)
    assert found.needed_by_ranks == 63


def test_a_score_that_is_no_number_counts_as_the_highest():
    found = false_discoveries(calibration(), np.array([np.nan, 1.0]), 0.5)
    assert found.flagged == 1


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, np.nan])
def test_a_level_that_is_no_share_is_refused(level):
    with pytest.raises(ParameterError, match="level: expected more than 0 and less than 1"):
        false_discoveries(calibration(), NINE, level)


def test_of_the_rejected_no_more_are_good_than_the_level_says():
    """The mean over lots of the share of good ones, with p-values of one calibration for all."""
    shares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        lot = np.append(rng.standard_normal(80), rng.standard_normal(40) + 4)
        p_values = rank_p_values(calibration(rng.standard_normal(150)), lot)
        rejected = adjusted(p_values) <= 0.2
        shares.append(rejected[:80].sum() / max(rejected.sum(), 1))
    assert 0.05 < np.mean(shares) < 0.2
