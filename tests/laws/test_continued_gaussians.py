"""Gaussians that learn further samples are those of all samples together."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from patchbank.core.gaussians import Gaussians, scatters, with_more_samples
from patchbank.errors import ShapeError

RIDGE = 0.01


def drawn(seed, p, n, d):
    """Samples (p, n, d), and which of them are there: (p, n), at least one at each position."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(p, n, d)) * rng.uniform(0.1, 3, d) + rng.normal(size=d)
    present = rng.random((p, n)) < 0.8
    present[:, 0] = True
    return samples.astype(np.float32), present


def in_single_precision(gaussians):
    """The Gaussians as a file holds them."""
    names = ("means", "bases", "variances", "rests")
    return Gaussians(*(getattr(gaussians, name).astype(np.float32) for name in names))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    n_old=st.integers(1, 9),
    n_new=st.integers(1, 6),
    d=st.integers(1, 7),
)
def test_old_and_new_samples_give_the_gaussians_of_all(seed, n_old, n_new, d):
    samples, present = drawn(seed, 3, n_old + n_new, d)
    present[:, n_old:] &= np.random.default_rng(seed + 1).random((3, n_new)) < 0.7
    old = scatters(samples[:, :n_old], present[:, :n_old])
    whole = scatters(samples, present)
    more = with_more_samples(
        in_single_precision(old.gaussians(RIDGE)),
        old.counts,
        samples[:, n_old:],
        present[:, n_old:],
        RIDGE,
    )
    np.testing.assert_array_equal(more.counts, whole.counts)
    np.testing.assert_allclose(more.means, whole.means, rtol=1e-5, atol=1e-5)
    assert more.bases.shape == whole.bases.shape
    points = np.random.default_rng(seed + 2).normal(size=(3, d)) * 3
    found, expected = (each.gaussians(RIDGE).distances(points) for each in (more, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), weight=st.integers(1, 5), d=st.integers(1, 5))
def test_a_weight_counts_a_sample_as_often(seed, weight, d):
    samples, present = drawn(seed, 2, 6, d)
    old = scatters(samples[:, :5], present[:, :5])
    learned, new = old.gaussians(RIDGE), samples[:, 5:]
    there = np.ones((2, 1), dtype=bool)
    once = with_more_samples(learned, old.counts, new, there, RIDGE, weight=weight)
    often = with_more_samples(
        learned,
        old.counts,
        np.repeat(new, weight, axis=1),
        np.repeat(there, weight, axis=1),
        RIDGE,
    )
    np.testing.assert_array_equal(once.counts, often.counts)
    points = np.random.default_rng(seed + 2).normal(size=(2, d)) * 3
    found, expected = (each.gaussians(RIDGE).distances(points) for each in (once, often))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 3))
def test_with_a_rank_the_sum_of_all_variances_is_kept(seed, rank):
    d = 5
    samples, present = drawn(seed, 2, 12, d)
    old, whole = scatters(samples[:, :8], present[:, :8], rank), scatters(samples, present)
    assume((present[:, 8:].sum(axis=1) > 0).all())
    more = with_more_samples(
        old.gaussians(RIDGE), old.counts, samples[:, 8:], present[:, 8:], RIDGE, rank
    )
    assert more.bases.shape == (2, d, rank)
    total = more.sums.sum(axis=1) + more.outside
    np.testing.assert_allclose(total, whole.sums.sum(axis=1) + whole.outside, rtol=1e-6)
    products = more.bases.swapaxes(1, 2) @ more.bases
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(rank), (2, rank, rank)), atol=1e-9)


def test_positions_without_a_new_sample_stay():
    samples, present = drawn(3, 2, 8, 4)
    old = scatters(samples[:, :6], present[:, :6])
    there = np.array([[True, True], [False, False]])
    more = with_more_samples(old.gaussians(RIDGE), old.counts, samples[:, 6:], there, RIDGE)
    assert more.counts[1] == old.counts[1]
    np.testing.assert_allclose(more.means[1], old.means[1])
    points = np.random.default_rng(4).normal(size=(2, 4))
    before, after = (each.gaussians(RIDGE).distances(points) for each in (old, more))
    assert after[1] == pytest.approx(before[1], rel=1e-9)
    assert abs(after[0] - before[0]) > 1e-3


def test_a_sample_that_is_not_finite_is_refused():
    samples, present = drawn(5, 1, 4, 2)
    old = scatters(samples, present)
    broken = np.full((1, 1, 2), np.nan, dtype=np.float32)
    with pytest.raises(ShapeError, match="finite"):
        with_more_samples(
            old.gaussians(RIDGE), old.counts, broken, np.ones((1, 1), dtype=bool), RIDGE
        )
