"""Laws of the Gaussians of PaDiM, and of places on grids of several shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core import gaussians
from patchbank.core.gaussians import Groups, left_out_distances, scatters
from patchbank.core.spatial.grid_cells import all_inside, nearest_cells
from tests.oracles import padim as oracle

SIDES = st.integers(1, 9)


def some_samples(seed, n, d, p=2):
    """(p, n, d) small whole numbers, so that some coincide and some directions are empty."""
    return np.random.default_rng(seed).integers(-3, 4, (p, n, d)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 6), st.sampled_from([0.01, 1.0]))
def test_distances_are_those_of_the_definition(seed, n, d, ridge):
    samples, points = some_samples(seed, n, d), some_samples(seed + 1, 1, d)[:, 0]
    learned = scatters(samples, np.ones((2, n), bool)).gaussians(ridge)
    expected = [
        oracle.mahalanobis(x, *oracle.gaussian(s, ridge))
        for s, x in zip(samples, points, strict=True)
    ]
    np.testing.assert_allclose(learned.distances(points), expected, rtol=1e-9, atol=1e-9)
    swapped = learned.distances(points[::-1], np.array([1, 0]))
    np.testing.assert_allclose(swapped, expected[::-1], rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(2, 9), st.integers(2, 6), st.data())
def test_what_is_no_sample_has_no_part(seed, n, d, data):
    samples = some_samples(seed, n, d, p=1)
    present = np.array(
        [[True, *data.draw(st.lists(st.booleans(), min_size=n - 1, max_size=n - 1))]]
    )
    learned = scatters(samples, present).gaussians(0.5)
    expected = oracle.mahalanobis(samples[0, -1], *oracle.gaussian(samples[0][present[0]], 0.5))
    found = learned.distances(samples[:, -1])
    np.testing.assert_allclose(found, [expected], rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(3, 9), st.integers(3, 6), st.integers(1, 6))
def test_fewer_directions_share_the_mean_of_the_variances_left(seed, n, d, rank):
    samples = np.random.default_rng(seed).standard_normal((1, n, d))
    point = np.random.default_rng(seed + 1).standard_normal(d)
    rank = min(rank, n - 1, d)
    learned = scatters(samples, np.ones((1, n), bool), rank)
    expected = oracle.mahalanobis(point, *oracle.cut(samples[0], rank, 0.01))
    assert learned.bases.shape == (1, d, rank)
    found = learned.gaussians(0.01).distances(point[None])
    np.testing.assert_allclose(found, [expected], rtol=1e-7)


def left_out(samples, members, points, group_of, ridge, rank=None):
    """One position, everything present."""
    present = np.ones((1, len(samples)), bool)
    learned = scatters(samples[None], present, rank)
    groups = Groups(samples[members][None], np.ones((1, *members.shape), bool))
    return left_out_distances(learned, groups, points[None], group_of[None], ridge)[0]


@settings(deadline=None)
@given(
    st.integers(0, 999),
    st.integers(2, 5),
    st.integers(1, 3),
    st.integers(1, 7),
    st.sampled_from([0.01, 1.0]),
)
def test_leaving_a_group_out_is_fitting_anew_without_it(seed, m, g, d, ridge):
    """Also with one sample left, whose Gaussian is its place and the ridge."""
    samples = some_samples(seed, m * g, d, p=1)[0]
    points = some_samples(seed + 1, m + 2, d, p=1)[0]
    points[0] = samples[0]
    members, group_of = np.arange(m * g).reshape(m, g), np.arange(m + 2) % m

    found = left_out(samples, members, points, group_of, ridge)

    expected = [
        oracle.mahalanobis(x, *oracle.gaussian(np.delete(samples, members[i], axis=0), ridge))
        for x, i in zip(points, group_of, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(4, 9), st.integers(4, 6), st.integers(1, 3))
def test_a_cut_basis_stays_when_a_group_is_left_out(seed, n, d, rank):
    samples = np.random.default_rng(seed).standard_normal((n, d))
    members = np.array([[0, 1], [2, 3]])
    if rank >= min(n - 1, d):
        rank = min(n - 1, d) - 1
    found = left_out(samples, members, samples[[0, 3]], np.array([0, 1]), 0.01, rank)
    expected = [
        oracle.left_out_of_cut(samples, members[i], samples[x], rank, 0.01)
        for i, x in ((0, 0), (1, 3))
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_members_that_are_no_samples_there_are_not_left_out():
    samples = some_samples(3, 5, 4, p=1)
    present = np.array([[True, False, True, True, True]])
    learned = scatters(samples, present)
    groups = Groups(samples[:, [[0, 1]]], present[:, [[0, 1]]])
    found = left_out_distances(learned, groups, samples[:, :1], np.array([[0]]), 0.01)
    expected = oracle.mahalanobis(samples[0, 0], *oracle.gaussian(samples[0, 2:], 0.01))
    assert found[0, 0] == pytest.approx(expected, rel=1e-6)


def test_many_positions_are_measured_in_blocks(monkeypatch):
    samples = some_samples(5, 8, 3, p=11)
    learned = scatters(samples, np.ones((11, 8), bool)).gaussians(0.1)
    points = some_samples(6, 1, 3, p=11)[:, 0]
    whole = learned.distances(points)
    monkeypatch.setattr(gaussians, "BLOCK_POSITIONS", 4)
    assert (learned.distances(points) == whole).all()
    assert (learned.distances(points[[7, 2, 7]], np.array([7, 2, 7])) == whole[[7, 2, 7]]).all()


@given(SIDES, SIDES, SIDES, SIDES)
def test_the_nearest_cell_is_that_at_the_middle(h, w, other_h, other_w):
    cells = nearest_cells((h, w), (other_h, other_w)).reshape(h, w)
    for row, column in np.ndindex(h, w):
        expected = oracle.cell_at((h, w), row, column, (other_h, other_w))
        assert divmod(int(cells[row, column]), other_w) == expected


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 999))
def test_a_cell_is_inside_where_nothing_of_it_is_outside(h, w, other_h, other_w, seed):
    inside = np.random.default_rng(seed).random((h, w)) < 0.7
    found = all_inside(inside, (other_h, other_w))
    enlarged = np.kron(inside, np.ones((other_h, other_w), bool))  # both grids divide it
    for row, column in np.ndindex(other_h, other_w):
        part = enlarged[row * h : (row + 1) * h, column * w : (column + 1) * w]
        assert found[row, column] == part.all()
