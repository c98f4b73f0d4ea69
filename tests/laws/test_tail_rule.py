"""The rule of threshold and p-values: ranks refined by a tail model, against its formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.left_out import LeftOutScores
from patchbank.core.scores.student_t import upper_quantile, upper_tail
from patchbank.core.scores.tail_model import TailModel

SCORES = st.lists(
    st.one_of(st.floats(1e-3, 1e3), st.integers(0, 5).map(float)), min_size=2, max_size=40
).map(np.array)
RATES = st.floats(1e-4, 0.9)


def left_out(scores, groups=None):
    calibration = Calibration(scores, scores, 0.1, rule="tail", groups=groups)
    return LeftOutScores(scores, calibration._weights)


def threshold_by_formulas(s, a):
    """The rule as it is written in docs/methods/threshold.md, for photographs without groups."""
    n, y = len(s), np.log(np.maximum(s, 1e-9 * s.max()))
    m, half = np.median(y), (n - 1) / 2
    u, dof = np.maximum(y - m, 0), 2 + half
    rough = 1.4826 * np.median(u[u > 0]) if (u > 0).any() else 0
    first = np.sqrt((2 * 0.1**2 + half * rough**2) / dof)
    kept = np.minimum(u, 3 * first)
    spread = np.sqrt((2 * 0.1**2 + half * 2 * np.mean(kept**2)) / dof * (1 + 1.5 / n))
    model = np.exp(m + stats.t.isf(a, dof) * spread)
    k = a * (n + 1)
    f = math.floor(k * (1 + 1e-12))
    descending = np.sort(s)[::-1]
    high = descending[f - 1] if f else np.inf
    at = f + 2 if f < 2 else f + 1
    low = descending[at - 1] if at <= n else -np.inf
    return min(max(model, low), high)


@given(scores=SCORES.filter(lambda s: s.max() > 0), rate=RATES)
def test_the_threshold_is_that_of_the_formulas(scores, rate):
    expected = threshold_by_formulas(scores, rate)
    assert left_out(scores).threshold(rate) == pytest.approx(expected, rel=1e-9)


@given(scores=SCORES, rate=RATES, new=st.floats(0, 2e3), data=st.data())
@settings(max_examples=300)
def test_a_score_is_above_the_threshold_exactly_when_its_p_value_is_at_most_the_rate(
    scores, rate, new, data
):
    labels = data.draw(st.none() | st.lists(st.integers(0, 6), min_size=len(scores)))
    groups = None if labels is None else np.array(labels[: len(scores)], np.int32)
    calibration = Calibration(scores, scores, rate, rule="tail", groups=groups)
    threshold = calibration.threshold
    assert math.isfinite(threshold)
    tried = (new, threshold, math.nextafter(threshold, math.inf), *scores.tolist())
    for score in tried:
        p_value = calibration.p_value(score)
        assert 0 < p_value <= 1
        assert (score > threshold) == (p_value <= rate)
        # The agreement is that of the formulas, not of the correction for rounding.
        assert p_value == pytest.approx(calibration.left_out_scores.p_value(score), rel=1e-8)


@given(scores=SCORES, news=st.lists(st.floats(0, 2e3), min_size=2, max_size=10))
def test_a_p_value_does_not_rise_with_the_score(scores, news):
    calibration = Calibration(scores, scores, 0.05, rule="tail")
    values = [calibration.p_value(score) for score in sorted(news)]
    assert values == sorted(values, reverse=True)


@given(scores=SCORES, rates=st.lists(RATES, min_size=2, max_size=6))
def test_a_threshold_does_not_rise_with_the_rate(scores, rates):
    thresholds = [left_out(scores).threshold(rate) for rate in sorted(rates)]
    assert thresholds == sorted(thresholds, reverse=True)


@given(scores=SCORES.filter(lambda s: s.max() > 0), rate=RATES, factor=st.floats(1e-3, 1e3))
def test_a_threshold_has_the_unit_of_the_scores(scores, rate, factor):
    expected = factor * left_out(scores).threshold(rate)
    assert left_out(factor * scores).threshold(rate) == pytest.approx(expected, rel=1e-9)


@given(scores=SCORES, rate=RATES, copies=st.integers(2, 5))
def test_photographs_that_are_there_several_times_count_once_as_a_group(scores, rate, copies):
    groups = np.repeat(np.arange(len(scores), dtype=np.int32), copies)
    repeated = left_out(np.repeat(scores, copies), groups)
    assert repeated.n_groups == len(scores)
    assert repeated.threshold(rate) == pytest.approx(left_out(scores).threshold(rate), rel=1e-9)


@given(scores=SCORES, rate=RATES)
def test_groups_of_unequal_size_count_once_each(scores, rate):
    times = 1 + np.arange(len(scores)) % 4
    groups = np.repeat(np.arange(len(scores), dtype=np.int32), times)
    repeated = left_out(np.repeat(scores, times), groups)
    assert repeated.threshold(rate) == pytest.approx(left_out(scores).threshold(rate), rel=1e-9)


@given(scores=SCORES, rate=RATES, origin=st.floats(-5, 5))
def test_standardised_scores_have_the_threshold_of_the_scores_themselves(scores, rate, origin):
    moved = LeftOutScores(scores + origin, np.ones(len(scores)), origin)
    expected = left_out(scores).threshold(rate) + origin
    assert moved.threshold(rate) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "rate", "bound"),
    [(31, 0.05, 3 / 32), (60, 0.05, 4 / 61), (150, 0.05, 8 / 151), (8, 0.01, 2 / 9), (2, 0.9, 1.0)],
)
def test_the_guaranteed_rate_is_one_or_two_ranks_above_the_rate(n, rate, bound):
    scores = np.arange(1.0, n + 1)
    calibration = Calibration(scores, scores, rate, rule="tail")
    assert calibration.guaranteed_rate == pytest.approx(bound)


@pytest.mark.parametrize("draw", ["exponential", "standard_cauchy", "uniform"])
@pytest.mark.parametrize(("n", "rate"), [(5, 0.01), (9, 0.15), (31, 0.05), (60, 0.1)])
def test_false_alarms_stay_below_the_guaranteed_rate_whatever_the_distribution(n, rate, draw):
    rng = np.random.default_rng(n)
    flagged, trials = 0, 1500
    for _ in range(trials):
        scores = np.abs(getattr(rng, draw)(size=n + 1))
        flagged += scores[-1] > left_out(scores[:-1]).threshold(rate)
    calibration = Calibration(np.ones(n), np.ones(n), rate, rule="tail")
    bound = calibration.guaranteed_rate
    assert flagged / trials <= bound + 3 * math.sqrt(bound * (1 - bound) / trials)


def test_photographs_of_a_new_group_are_flagged_at_most_at_the_guaranteed_rate():
    """A group shares most of its score: left out one at a time the rate would be several times."""
    rng = np.random.default_rng(3)
    rate, trials, flagged = 0.1, 1500, 0
    groups = np.repeat(np.arange(12, dtype=np.int32), [1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9])
    for _ in range(trials):
        shared = rng.standard_cauchy(13)
        scores = np.exp(np.clip(shared[groups] + 0.1 * rng.normal(size=len(groups)), -20, 20))
        new = math.exp(np.clip(shared[12] + 0.1 * rng.normal(), -20, 20))
        flagged += new > left_out(scores, groups).threshold(rate)
    bound = left_out(scores, groups).guaranteed_rate(rate)
    assert bound < 0.25
    assert flagged / trials <= bound + 3 * math.sqrt(bound / trials)


def test_one_odd_photograph_does_not_set_the_threshold():
    """31 regular scores and one ten times as high: ranks alone would flag nothing below it."""
    regular = np.exp(stats.norm.ppf((np.arange(30) + 0.5) / 30) * 0.1 + 3.8)
    odd = Calibration(np.append(regular, 450.0), np.append(regular, 450.0), 0.05)
    assert odd.threshold == 450.0
    refined = odd.with_false_alarm_rate(0.05)
    assert refined.threshold < 1.05 * regular.max()
    assert refined.unlike_others == [30]
    assert refined.above_threshold[0] == 30


@pytest.mark.parametrize("n", [2, 3, 8])
def test_equal_scores_have_a_threshold_at_or_above_them(n):
    same = np.full(n, 7.0)
    calibration = Calibration(same, same, 0.01, rule="tail")
    assert 7.0 < calibration.threshold < 20.0
    assert calibration.unlike_others == []
    resolved = Calibration(same, same, 1 / (n + 1) + 1e-9, rule="tail")
    assert resolved.threshold == 7.0


def test_scores_of_zero_have_a_threshold_of_zero():
    zeros = np.zeros(6)
    calibration = Calibration(zeros, zeros, 0.01, rule="tail")
    assert calibration.threshold == 0.0
    assert calibration.p_value(1e-9) <= 0.01
    assert calibration.p_value(0.0) == 1.0


def test_a_threshold_set_by_hand_has_the_rate_that_the_rule_gives_it():
    scores = np.arange(1.0, 100.0)
    calibration = Calibration(scores, scores, 0.05, rule="tail")
    by_hand = calibration.with_threshold(calibration.threshold_at(0.2))
    assert by_hand.threshold == calibration.threshold_at(0.2)
    assert by_hand.expected_rate == pytest.approx(0.2, abs=1e-6)
    assert by_hand.pixel_threshold == calibration.pixel_threshold
    assert by_hand.with_false_alarm_rate(0.05).threshold == calibration.threshold


def test_scores_and_maps_have_an_origin_each():
    """An ensemble standardises both, by other numbers."""
    scores = np.array([3.0, 4.0, 5.0, 7.0])
    moved = Calibration(
        scores - 2, scores - 9, 0.1, rule="tail", score_origin=-2.0, map_origin=-9.0
    )
    expected = Calibration(scores, scores, 0.1, rule="tail").threshold
    assert moved.threshold == pytest.approx(expected - 2, rel=1e-9)
    assert moved.pixel_threshold == pytest.approx(expected - 9, rel=1e-9)


@given(t=st.floats(-50, 50), dof=st.floats(0.5, 1e4))
def test_the_tail_of_the_t_distribution_is_that_of_scipy(t, dof):
    assert upper_tail(t, dof) == pytest.approx(stats.t.sf(t, dof), rel=1e-9, abs=1e-300)


@given(rate=st.floats(1e-9, 1 - 1e-9), dof=st.floats(0.5, 1e4))
def test_the_quantile_of_the_t_distribution_is_that_of_scipy(rate, dof):
    assert upper_quantile(rate, dof) == pytest.approx(stats.t.isf(rate, dof), rel=1e-8, abs=1e-12)


def test_a_tail_beyond_all_numbers_stays_finite():
    model = TailModel(0.0, 0.0, 300.0, 2.5)
    assert math.isfinite(model.quantile(1e-12))
