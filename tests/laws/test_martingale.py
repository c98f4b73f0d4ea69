"""Laws of the test martingale: uniform ranks, a mean of 1, few false alarms, changes found."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from patchbank.core.scores.calibration import conformal_p_value
from patchbank.core.scores.martingale import (
    LIFTS,
    SCORE_BETS,
    ChangeMartingale,
    OnlineRanks,
    evidence_of,
    key_of,
    log_lift_bets,
    log_score_bets,
)

FEW_VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=30)
P_VALUES = st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=12)


def share_at(count):
    """Capital kept for later changes, by its formula."""
    return 1 / (1 + math.log(1 + count))


@given(FEW_VALUES, FEW_VALUES, st.integers(0, 2**64))
def test_a_p_value_is_a_rank_among_all_before_with_ties_at_random(learned, stream, seed):
    ranks = OnlineRanks(learned, seed=seed)
    before = list(learned)
    for score in stream:
        p_value = ranks.p_value(score)
        before.append(score)
        higher = sum(other > score for other in before)
        ties = sum(other == score for other in before)
        assert higher < p_value * len(before) < higher + ties


def test_ranks_of_every_order_of_scores_are_independent_and_uniform():
    """Each of 5! orders gives another sequence of ranks, so each sequence has the same share."""
    seen = set()
    for order in itertools.permutations([1.0, 2.0, 3.5, 7.0, 9.0]):
        ranks = OnlineRanks(seed=3)
        seen.add(tuple(int(ranks.p_value(score) * n) for n, score in enumerate(order, 1)))
    assert seen == set(itertools.product(*(range(n) for n in range(1, 6))))


def test_ties_are_spread_evenly():
    ranks = OnlineRanks(seed=11)
    p_values = np.array([ranks.p_value(4.0) for _ in range(4000)])
    counts, _ = np.histogram(p_values, bins=10, range=(0, 1))
    assert counts.sum() == 4000
    assert abs(counts - 400).max() < 4.5 * math.sqrt(400 * 0.9)
    assert abs(np.corrcoef(p_values[:-1], p_values[1:])[0, 1]) < 0.06


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2))
def test_keys_are_in_the_order_of_the_scores_and_close_scores_tie(pair):
    low, high = sorted(pair)
    assert key_of(low) <= key_of(high)
    if high - low > 2e-5 * max(abs(low), abs(high)) and high - low > 1e-300:
        assert key_of(low) < key_of(high)


@pytest.mark.parametrize("number", range(len(SCORE_BETS)))
def test_a_bet_on_scores_is_a_density(number):
    def at(z):  # the integral over p-values, by their normal scores
        return math.exp(log_score_bets(stats.norm.sf(z))[number]) * stats.norm.pdf(z)

    mean, _ = integrate.quad(at, -7.5, 7.5)
    assert mean == pytest.approx(1, abs=1e-3)


@given(st.floats(0.001, 0.999))
def test_a_bet_on_verdicts_is_a_density_that_pays_up_to_the_share(share):
    below, above = np.exp(log_lift_bets(share, share)), np.exp(log_lift_bets(1 - 1e-9, share))
    assert below * share + above * (1 - share) == pytest.approx(np.ones(len(LIFTS)))
    assert (below >= 1).all()
    assert (below <= LIFTS).all()
    assert (above > 0).all()


@given(P_VALUES)
def test_the_martingale_is_the_mixture_over_all_starting_times_and_bets(p_values):
    """An oracle: every starting time and every bet for itself."""
    bets = np.exp([log_score_bets(p) for p in p_values])
    t = len(p_values)
    total = share_at(t)
    for start in range(t):
        weight = share_at(start) - share_at(start + 1)
        total += weight * bets[start:].prod(axis=0).mean()
    assert 10 ** evidence_of(p_values)[-1] == pytest.approx(total, rel=1e-9)


def test_the_mean_over_all_outcomes_is_exactly_one():
    """P-values in four cells of equal probability, and bets that are constant in each of them."""
    cells = np.array([[2.0, 1.0, 0.5, 0.5], [0.1, 0.4, 1.5, 2.0], [3.7, 0.1, 0.1, 0.1]])
    assert cells.mean(axis=1) == pytest.approx(np.ones(3))
    ends = []
    for outcome in itertools.product(range(4), repeat=5):
        martingale = ChangeMartingale(3)
        for part, cell in enumerate(outcome, 1):
            martingale.add(np.log(cells[:, cell]), part)
        ends.append(10**martingale.log10)
    assert np.mean(ends) == pytest.approx(1, rel=1e-12)
    assert np.ptp(ends) > 1


def test_runs_in_which_nothing_changes_have_an_alarm_no_more_often_than_promised():
    """Ville's inequality, on scores with ties that come from where the reference came from."""
    rate, runs, alarms = 0.1, 150, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        scores = np.round(rng.gamma(3.0, 4.0, size=531))
        ranks = OnlineRanks(scores[:31], seed=seed)
        evidence = evidence_of([ranks.p_value(score) for score in scores[31:]])
        alarms += evidence.max() >= -math.log10(rate)
    assert 1 <= alarms <= rate * runs  # it can alarm at all, and keeps the promise


def test_p_values_of_a_fixed_calibration_would_alarm_without_a_change():
    """The reason why ranks are among all before: 31 quantiles are off, and 3,000 parts show it."""
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        learned, stream = rng.random(31), rng.random(3000)
        fixed = [conformal_p_value(learned, score) - rng.random() / 32 for score in stream]
        alarms += evidence_of(fixed).max() >= 2
    assert alarms >= 3  # of ten, where 1 % were promised


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        (lambda z: z + 1, "higher"),
        (lambda z: z - 1, "lower"),
        (lambda z: 3 * z, "wider"),
        (lambda z: z / 4, "narrower"),
    ],
)
def test_a_change_is_found_where_it_begins_and_named(change, direction):
    rng = np.random.default_rng(5)
    scores = rng.standard_normal(1500)
    scores[1000:] = change(scores[1000:])
    ranks, martingale = OnlineRanks(rng.standard_normal(31), seed=5), ChangeMartingale(10)
    for part, score in enumerate(scores, 1):
        martingale.add(log_score_bets(ranks.p_value(score)), part)
        if martingale.log10 >= 2:
            break
    assert 1001 < part < 1100
    assert 970 <= martingale.best_start <= 1030
    assert SCORE_BETS[martingale.best_bet].direction == direction


@settings(max_examples=40, deadline=None)
@given(FEW_VALUES, FEW_VALUES, FEW_VALUES)
def test_what_is_saved_goes_on_as_if_it_had_not_been(learned, before, after):
    ranks, martingale = OnlineRanks(learned, seed=8), ChangeMartingale(len(SCORE_BETS))
    for part, score in enumerate(before, 1):
        martingale.add(log_score_bets(ranks.p_value(score)), part)
    other_ranks = OnlineRanks.from_json(ranks.to_json())
    other = ChangeMartingale.from_json(martingale.to_json(), len(SCORE_BETS))
    for part, score in enumerate(after, len(before) + 1):
        p_value = ranks.p_value(score)
        assert other_ranks.p_value(score) == p_value
        martingale.add(log_score_bets(p_value), part)
        other.add(log_score_bets(p_value), part)
    assert other.log10 == martingale.log10
    assert other.to_json() == martingale.to_json()
    assert other_ranks.to_json() == ranks.to_json()


def test_before_the_first_part_there_is_no_evidence():
    new = ChangeMartingale(2)
    assert new.log10 == 0
    assert ChangeMartingale.from_json(new.to_json(), 2).log10 == 0


@pytest.mark.parametrize(
    "state",
    [
        {"seed": 1, "keys": [1, 2], "counts": [1]},
        {"seed": 1, "keys": [1], "counts": [0]},
        {"seed": 1, "keys": [1], "counts": [-3]},
        {"seed": 1, "keys": ["a"], "counts": [1]},
    ],
)
def test_damaged_ranks_are_refused(state):
    with pytest.raises(ValueError):  # noqa: PT011  # the caller names the file
        OnlineRanks.from_json(state)


@pytest.mark.parametrize(
    "state",
    [
        {"count": 1, "log_sums": [0.0], "log_peaks": [0.0, 0.0], "starts": [1, 1]},
        {"count": 1, "log_sums": [0.0, math.inf], "log_peaks": [0.0, 0.0], "starts": [1, 1]},
        {"count": 1, "log_sums": None, "log_peaks": [0.0, 0.0], "starts": [1, 1]},
    ],
)
def test_a_damaged_martingale_is_refused(state):
    with pytest.raises((ValueError, TypeError)):
        ChangeMartingale.from_json(state, 2)


def test_memory_does_not_grow_with_the_number_of_parts():
    ranks = OnlineRanks(seed=0)
    scores = np.random.default_rng(0).uniform(1.0, 1.01, 5000)
    for score in scores:
        ranks.p_value(score)
    state = ranks.to_json()
    assert len(state["keys"]) <= 0.01 * 65_536 + 2
    assert sum(state["counts"]) == 5000
