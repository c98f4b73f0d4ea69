"""Laws of the greedy selection, on whole numbers so that ties happen and are exact."""

from contextlib import contextmanager
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.random_projection import johnson_lindenstrauss_min_dim

from patchbank.core import coreset
from patchbank.core.coreset import gemm as greedy_products
from patchbank.core.coreset import (
    greedy_coreset,
    random_coreset,
    random_projection,
    row_nearest_to_mean,
)
from patchbank.core.coreset import int8 as int8_greedy
from patchbank.core.int8 import search as int8
from patchbank.errors import ParameterError, ShapeError
from tests.kernels import KERNELS, MARKED_KERNELS, on_kernel
from tests.oracles.coreset import greedy

CASES = {
    "n": st.integers(1, 60),
    "d": st.integers(1, 4),
    "grid": st.integers(1, 5),  # few values: many ties and duplicates
    "share": st.floats(0.01, 1.0),
    "candidates": st.integers(1, 25),
    "tile_rows": st.integers(1, 30),
    "kernel": st.sampled_from(KERNELS),
    "seed": st.integers(0, 9999),
}


@contextmanager
def small_blocks(candidates, tile_rows, kernel):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greedy_products, "CANDIDATES", candidates)
        patch.setattr(greedy_products, "TILE_ROWS", tile_rows)
        patch.setattr(int8_greedy, "FEWEST", candidates)
        patch.setattr(int8_greedy, "SAMPLE", tile_rows)
        patch.setattr(int8, "PART_ROWS", tile_rows)
        patch.setattr(int8, "_level", lambda: kernel)
        yield


def drawn(n, d, grid, share, seed):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, grid, size=(n, d)).astype(np.float32)
    return features, max(1, round(n * share)), int(rng.integers(n))


@settings(max_examples=300, deadline=None)
@given(**CASES)
def test_blocks_pick_what_the_one_at_a_time_loop_picks(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, start = drawn(n, d, grid, share, seed)
    with small_blocks(candidates, tile_rows, kernel):
        picked = greedy_coreset(features, n_keep, start=start)

    rows, radii = greedy(features, n_keep, start)
    assert picked.rows.tolist() == rows
    np.testing.assert_allclose(picked.radii, radii, rtol=1e-6)


@settings(deadline=None)
@given(**CASES)
def test_a_radius_stops_at_the_first_pick_that_reaches_it(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, _, start = drawn(n, d, grid, share, seed)
    rows, radii = greedy(features, n, start)
    radius = radii[min(len(radii) - 1, candidates)]
    with small_blocks(candidates, tile_rows, kernel):
        picked = greedy_coreset(features, n, start=start, radius=radius * (1 + 1e-6))

    enough = next(i for i, r in enumerate(radii) if r <= radius * (1 + 1e-6)) + 1
    assert picked.rows.tolist() == rows[:enough]
    assert picked.radii[-1] <= radius * (1 + 1e-5)


@settings(deadline=None)
@given(
    n=st.integers(1, 8),
    share=st.floats(0.01, 1.0),
    seed=st.integers(0, 999),
    grid=st.integers(1, 4),
)
def test_the_radius_is_at_most_twice_the_best_possible(n, share, seed, grid):
    features, n_keep, start = drawn(n, 2, grid, share, seed)

    def radius_of(rows):
        return max(min(np.linalg.norm(f - features[r]) for r in rows) for f in features)

    picked = greedy_coreset(features, n_keep, start=start)

    best = min(radius_of(rows) for rows in combinations(range(n), n_keep))
    assert radius_of(picked.rows) <= 2 * best + 1e-6
    assert radius_of(picked.rows) == pytest.approx(picked.radii[-1], abs=1e-6)
    assert len(set(picked.rows.tolist())) == n_keep


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
def test_real_numbers_in_many_blocks_give_the_picks_of_the_loop(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    basis = rng.standard_normal((6, 40)) * np.linspace(3, 0.5, 6)[:, None]
    features = (rng.standard_normal((6000, 6)) @ basis).astype(np.float32) + 100
    start = row_nearest_to_mean(features)
    steps = []
    picked = greedy_coreset(features, 500, on_progress=steps.append)

    rows, radii = greedy(features, 500, start)
    assert picked.rows.tolist() == rows
    np.testing.assert_allclose(picked.radii, radii, rtol=1e-5)
    assert sum(steps) == 500
    assert 2 < len(steps) < 50  # blocks, not single picks


def test_rounding_decides_nothing(rng, monkeypatch):
    """Blurred products, as another machine might round them, do not move a single pick."""
    features = rng.standard_normal((3000, 30)).astype(np.float32)
    features[1500:] = features[:1500] + rng.normal(0, 3e-6, (1500, 30)).astype(np.float32)
    start = row_nearest_to_mean(features)
    on_kernel(monkeypatch, 0)  # the products
    matmul = np.matmul

    def blurred(left, right, out):
        result = matmul(left, right, out=out)
        out *= 1 + rng.uniform(-3e-7, 3e-7, out.shape).astype(np.float32)
        return result

    monkeypatch.setattr(greedy_products.np, "matmul", blurred)
    picked = greedy_coreset(features, 900)
    assert picked.rows.tolist() == greedy(features, 900, start)[0]


@settings(deadline=None)
@given(**CASES)
def test_the_distance_to_the_picks_of_other_groups_falls_out(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, start = drawn(n, d, grid, share, seed)
    groups = np.sort(np.random.default_rng(seed).integers(0, 4, n))
    with small_blocks(candidates, tile_rows, kernel):
        picked = greedy_coreset(features, n_keep, start=start, groups=groups)

    assert picked.rows.tolist() == greedy(features, n_keep, start)[0]
    for row, found in enumerate(picked.to_others):
        others = [p for p in picked.rows if groups[p] != groups[row]]
        expected = min(
            (np.linalg.norm(features[row] - features[p]) for p in others), default=np.inf
        )
        assert found == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(**CASES)
def test_distances_to_others_are_those_of_the_smaller_selection(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, start = drawn(n, d, grid, share, seed)
    groups = np.sort(np.random.default_rng(seed).integers(0, 4, n))
    sizes = [size for size in (1, 2, 5, n_keep, n_keep + 1) if size != n]
    with small_blocks(candidates, tile_rows, kernel):
        picked = greedy_coreset(features, n_keep, start=start, groups=groups, sizes=sizes)
        alone = {
            size: greedy_coreset(features, size, start=start, groups=groups).to_others
            for size in sizes
            if size <= n_keep
        }

    assert picked.rows.tolist() == greedy(features, n_keep, start)[0]
    assert picked.to_others_at.keys() == alone.keys()
    for size, expected in alone.items():
        np.testing.assert_allclose(picked.to_others_at[size], expected, rtol=1e-6, atol=1e-6)


def test_the_bank_is_nested(rng):
    features = rng.standard_normal((500, 8)).astype(np.float32)
    large, small = greedy_coreset(features, 90), greedy_coreset(features, 30)
    assert large.rows[:30].tolist() == small.rows.tolist()
    np.testing.assert_allclose(large.radii[:30], small.radii, rtol=1e-6)


def test_the_start_is_the_row_nearest_the_mean():
    features = np.array([[0.0, 9.0], [4.0, 4.0], [8.0, 0.0], [3.0, 3.0]], np.float32)
    assert row_nearest_to_mean(features) == 1
    assert greedy_coreset(features, 1).rows.tolist() == [1]


def test_the_features_are_left_as_they_were(rng):
    features = rng.standard_normal((200, 5)).astype(np.float32)
    before = features.copy()
    greedy_coreset(features, 20)
    assert (features == before).all()


def test_a_random_selection_is_drawn_by_its_generator_alone():
    first = random_coreset(100, 20, rng=np.random.default_rng(5))
    again = random_coreset(100, 20, rng=np.random.default_rng(5))
    other = random_coreset(100, 20, rng=np.random.default_rng(6))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 20


@pytest.mark.parametrize("n_keep", [0, 11])
def test_more_rows_than_there_are_is_an_error(n_keep):
    features = np.zeros((10, 2), np.float32)
    with pytest.raises(ParameterError, match=r"expected 1 to 10 .* got"):
        greedy_coreset(features, n_keep)
    with pytest.raises(ParameterError, match=r"expected 1 to 10 .* got"):
        random_coreset(10, n_keep, rng=np.random.default_rng())


@settings(deadline=None)
@given(**CASES)
def test_distances_before_the_first_pick_stay_in_the_minimum(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, _ = drawn(n, d, grid, share, seed)
    points = np.random.default_rng(seed).choice(n, min(3, n), replace=False)
    initial = coreset.mean_distances(features, points)
    with small_blocks(candidates, tile_rows, kernel):
        picked = greedy_coreset(features, n_keep, initial=initial)

    gap, rows = np.square(initial, dtype=np.float64), []
    for _ in range(n_keep):
        rows.append(int(gap.argmax()))
        to_pick = np.square(features - features[rows[-1]]).sum(axis=1, dtype=np.float64)
        gap = np.minimum(gap, to_pick)
        gap[rows] = -1.0
    assert picked.rows.tolist() == rows
    assert len(picked.radii) == 0


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
@pytest.mark.parametrize("distance", [1e3, 1e5])
def test_an_outlier_spoils_nothing(distance, kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    features = rng.standard_normal((3000, 20)).astype(np.float32)
    features[17] = 0
    features[17, 0] = distance
    start = coreset.row_farthest_from_mean(features)
    assert start == 17
    picked = greedy_coreset(features, 300, start=start)
    rows, radii = greedy(features, 300, start)
    assert picked.rows.tolist() == rows
    np.testing.assert_allclose(picked.radii, radii, rtol=1e-5)


def test_the_farthest_row_is_that_of_the_matrix_of_distances(rng):
    features = rng.standard_normal((300, 7)).astype(np.float32)
    points = features.astype(np.float64)
    matrix = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert coreset.row_farthest_from_mean(features) == np.linalg.norm(matrix, axis=1).argmax()


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "sparse"])
def test_projections_keep_distances_but_for_a_factor(kind, rng):
    features = rng.standard_normal((60, 400)).astype(np.float32)
    matrix = random_projection.projection_matrix(kind, 400, 200, rng=rng)
    projected = random_projection.project(features, matrix)
    assert projected.shape == (60, 200)
    upper = np.triu_indices(60, 1)
    ratios = [np.linalg.norm(f[upper[0]] - f[upper[1]], axis=1) for f in (projected, features)]
    ratio = ratios[0] / ratios[1]
    expected = {"gaussian": 1.0, "uniform": np.sqrt(200 / 400 / 3), "sparse": 1.0}[kind]
    assert ratio.mean() == pytest.approx(expected, rel=0.05)
    assert ratio.std() < 0.1 * expected
    if kind == "sparse":
        assert (matrix != 0).mean() == pytest.approx(1 / np.sqrt(400), rel=0.1)


def test_dimensions_are_those_of_scikit_learn():
    for n in (100, 1568, 163_840):
        assert random_projection.johnson_lindenstrauss_dims(n) == johnson_lindenstrauss_min_dim(
            n, eps=0.9
        )


def test_wrong_arguments_are_named():
    features = np.zeros((10, 2), np.float32)
    with pytest.raises(ParameterError, match="start: expected a row from 0 to 9, got 10"):
        greedy_coreset(features, 2, start=10)
    with pytest.raises(ShapeError, match=r"initial: expected \(10,\), one a row, got \(9,\)"):
        greedy_coreset(features, 2, initial=np.zeros(9, np.float32))
    with pytest.raises(ParameterError, match="initial: expected without start and radius"):
        greedy_coreset(features, 2, initial=np.zeros(10, np.float32), start=0)
    with pytest.raises(ParameterError, match="radius: expected 0 or more, got -1"):
        greedy_coreset(features, 2, radius=-1)
    with pytest.raises(ShapeError, match=r"expected \(n, d\), got \(10, 2, 1\)"):
        greedy_coreset(features[..., None], 2)
