"""Laws of the greedy selection, mostly on small integers, so that ties happen and are exact."""

from contextlib import contextmanager
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.random_projection import johnson_lindenstrauss_min_dim

from patchbank.core import coreset
from patchbank.core.coreset import (
    ContinuedSelection,
    ExistingCentres,
    InitialDistances,
    feature_rows,
    gemm,
    gemm_rows,
    greedy_coreset,
    int8_rows,
    random_coreset,
    random_projection,
    row_nearest_to_mean,
)
from patchbank.core.coreset import int8 as int8_greedy
from patchbank.core.coreset.greedy_state import GreedyState
from patchbank.core.int8 import binding
from patchbank.errors import ParameterError, ShapeError
from tests.kernels import KERNELS, MARKED_KERNELS, on_kernel
from tests.oracles.coreset import greedy, greedy_after

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
        patch.setattr(gemm, "CANDIDATES", candidates)
        patch.setattr(gemm_rows, "CANDIDATES", candidates)
        patch.setattr(gemm, "TILE_ROWS", tile_rows)
        patch.setattr(feature_rows, "TILE_ROWS", tile_rows)
        patch.setattr(int8_greedy, "MIN_CANDIDATES", candidates)
        patch.setattr(int8_greedy, "SENT_CANDIDATES", candidates)
        patch.setattr(int8_rows, "SAMPLE", tile_rows)
        patch.setattr(binding, "PART_ROWS", tile_rows)
        on_kernel(patch, kernel)
        yield


def drawn(n, d, grid, share, seed):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, grid, size=(n, d)).astype(np.float32)
    return features, max(1, round(n * share)), int(rng.integers(n))


@settings(max_examples=300, deadline=None)
@given(**CASES)
def test_blocks_choose_the_centres_of_the_one_at_a_time_loop(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, start = drawn(n, d, grid, share, seed)
    with small_blocks(candidates, tile_rows, kernel):
        chosen = greedy_coreset(features, n_keep, start=start)

    rows, radii = greedy(features, n_keep, start)
    assert chosen.centres.tolist() == rows
    np.testing.assert_allclose(chosen.radii, radii, rtol=1e-6)


@settings(deadline=None)
@given(**CASES)
def test_a_radius_stops_at_the_first_centre_that_reaches_it(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, _, start = drawn(n, d, grid, share, seed)
    rows, radii = greedy(features, n, start)
    radius = radii[min(len(radii) - 1, candidates)]
    with small_blocks(candidates, tile_rows, kernel):
        chosen = greedy_coreset(features, n, start=start, radius=radius * (1 + 1e-6))

    enough = next(i for i, r in enumerate(radii) if r <= radius * (1 + 1e-6)) + 1
    assert chosen.centres.tolist() == rows[:enough]
    assert chosen.radii[-1] <= radius * (1 + 1e-5)


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

    chosen = greedy_coreset(features, n_keep, start=start)

    best = min(radius_of(rows) for rows in combinations(range(n), n_keep))
    assert radius_of(chosen.centres) <= 2 * best + 1e-6
    assert radius_of(chosen.centres) == pytest.approx(chosen.radii[-1], abs=1e-6)
    assert len(set(chosen.centres.tolist())) == n_keep


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
def test_many_blocks_of_real_numbers_give_the_centres_of_the_loop(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    basis = rng.standard_normal((6, 40)) * np.linspace(3, 0.5, 6)[:, None]
    features = (rng.standard_normal((6000, 6)) @ basis).astype(np.float32) + 100
    start = row_nearest_to_mean(features)
    steps = []
    chosen = greedy_coreset(features, 500, on_progress=steps.append)

    rows, radii = greedy(features, 500, start)
    assert chosen.centres.tolist() == rows
    np.testing.assert_allclose(chosen.radii, radii, rtol=1e-5)
    assert sum(steps) == 500
    assert 2 < len(steps) < 50  # blocks, not single centres


def test_rounding_decides_nothing(rng, monkeypatch):
    """Perturbed products, as another machine might round them, do not change a single centre."""
    features = rng.standard_normal((3000, 30)).astype(np.float32)
    features[1500:] = features[:1500] + rng.normal(0, 3e-6, (1500, 30)).astype(np.float32)
    start = row_nearest_to_mean(features)
    on_kernel(monkeypatch, "gemm")
    matmul = np.matmul

    def perturbed(left, right, out):
        result = matmul(left, right, out=out)
        out *= 1 + rng.uniform(-3e-7, 3e-7, out.shape).astype(np.float32)
        return result

    monkeypatch.setattr(gemm.np, "matmul", perturbed)
    chosen = greedy_coreset(features, 900)
    assert chosen.centres.tolist() == greedy(features, 900, start)[0]


@settings(deadline=None)
@given(**CASES)
def test_distances_to_the_centres_of_other_groups_are_those_of_brute_force(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, start = drawn(n, d, grid, share, seed)
    groups = np.sort(np.random.default_rng(seed).integers(0, 4, n))
    with small_blocks(candidates, tile_rows, kernel):
        chosen = greedy_coreset(features, n_keep, start=start, groups=groups)

    assert chosen.centres.tolist() == greedy(features, n_keep, start)[0]
    for row, found in enumerate(chosen.min_distance_to_other_groups):
        others = [p for p in chosen.centres if groups[p] != groups[row]]
        expected = min(
            (np.linalg.norm(features[row] - features[p]) for p in others), default=np.inf
        )
        assert found == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(**CASES)
def test_distances_to_other_groups_are_those_of_the_smaller_selection(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, start = drawn(n, d, grid, share, seed)
    groups = np.sort(np.random.default_rng(seed).integers(0, 4, n))
    sizes = [size for size in (1, 2, 5, n_keep, n_keep + 1) if size != n]
    with small_blocks(candidates, tile_rows, kernel):
        chosen = greedy_coreset(features, n_keep, start=start, groups=groups, sizes=sizes)
        alone = {
            size: greedy_coreset(
                features, size, start=start, groups=groups
            ).min_distance_to_other_groups
            for size in sizes
            if size <= n_keep
        }

    assert chosen.centres.tolist() == greedy(features, n_keep, start)[0]
    at = chosen.min_distance_to_other_groups_at
    assert at.keys() == alone.keys()
    for size, expected in alone.items():
        np.testing.assert_allclose(at[size], expected, rtol=1e-6, atol=1e-6)


def test_coresets_are_nested(rng):
    features = rng.standard_normal((500, 8)).astype(np.float32)
    large, small = greedy_coreset(features, 90), greedy_coreset(features, 30)
    assert large.centres[:30].tolist() == small.centres.tolist()
    np.testing.assert_allclose(large.radii[:30], small.radii, rtol=1e-6)


def test_the_start_is_the_row_nearest_the_mean():
    features = np.array([[0.0, 9.0], [4.0, 4.0], [8.0, 0.0], [3.0, 3.0]], np.float32)
    assert row_nearest_to_mean(features) == 1
    assert greedy_coreset(features, 1).centres.tolist() == [1]


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
def test_distances_before_the_first_centre_stay_in_the_minimum(
    n, d, grid, share, candidates, tile_rows, kernel, seed
):
    features, n_keep, _ = drawn(n, d, grid, share, seed)
    points = np.random.default_rng(seed).choice(n, min(3, n), replace=False)
    initial = coreset.mean_distances(features, points)
    with small_blocks(candidates, tile_rows, kernel):
        chosen = greedy_coreset(features, n_keep, start=InitialDistances(initial))

    min_distances, rows = np.square(initial, dtype=np.float64), []
    for _ in range(n_keep):
        rows.append(int(min_distances.argmax()))
        to_row = np.square(features - features[rows[-1]]).sum(axis=1, dtype=np.float64)
        min_distances = np.minimum(min_distances, to_row)
        min_distances[rows] = -1.0
    assert chosen.centres.tolist() == rows
    assert chosen.radii is None


@settings(deadline=None, max_examples=200)
@given(**CASES, n_existing=st.integers(1, 30), at_rows=st.booleans())
def test_a_selection_after_existing_centres_is_that_of_the_loop(
    n, d, grid, share, candidates, tile_rows, kernel, seed, n_existing, at_rows
):
    features, n_keep, _ = drawn(n, d, grid, share, seed)
    rng = np.random.default_rng(seed)
    existing = rng.integers(-1, grid + 1, (n_existing, d)).astype(np.float32)
    if at_rows:
        existing = features[rng.integers(0, n, n_existing)]
    groups = np.sort(rng.integers(0, 4, n))
    with small_blocks(candidates, tile_rows, kernel):
        chosen = greedy_coreset(features, n_keep, start=ExistingCentres(existing), groups=groups)

    rows, radii, before = greedy_after(features, n_keep, existing)
    assert chosen.centres.tolist() == rows
    np.testing.assert_allclose(chosen.radii, radii, rtol=1e-6)
    assert chosen.radius_before == pytest.approx(before, rel=1e-6)
    to_existing = np.linalg.norm(features[:, None] - existing[None], axis=2).min(axis=1)
    for row, found in enumerate(chosen.min_distance_to_other_groups):
        others = [features[c] for c in rows if groups[c] != groups[row]]
        to_others = [np.linalg.norm(features[row] - other) for other in others]
        assert found == pytest.approx(min([to_existing[row], *to_others]), abs=1e-6)


@settings(deadline=None, max_examples=200)
@given(**CASES, share_first=st.floats(0, 1))
def test_selecting_m_rows_and_then_k_more_is_selecting_them_at_once(
    n, d, grid, share, candidates, tile_rows, kernel, seed, share_first
):
    features, n_keep, start = drawn(n, d, grid, share, seed)
    n_keep = min(n_keep, len(np.unique(features, axis=0)))  # copies of centres come in any order
    m = max(1, round(share_first * (n_keep - 1)))
    assume(m < n_keep)
    groups = np.sort(np.random.default_rng(seed).integers(0, 4, n))
    with small_blocks(candidates, tile_rows, kernel):
        at_once = greedy_coreset(features, n_keep, start=start, groups=groups)
        first = greedy_coreset(features, m, start=start)
        existing = ExistingCentres(features[first.centres], groups[first.centres])
        more = greedy_coreset(features, n_keep - m, start=existing, groups=groups)

    assert [*first.centres, *more.centres] == at_once.centres.tolist()
    np.testing.assert_allclose([*first.radii, *more.radii], at_once.radii, rtol=1e-6)
    assert more.radius_before == pytest.approx(first.radii[-1], rel=1e-6)
    np.testing.assert_allclose(
        more.min_distance_to_other_groups, at_once.min_distance_to_other_groups, rtol=1e-6
    )


@settings(deadline=None, max_examples=100)
@given(**CASES, n_existing=st.integers(1, 30), steps=st.lists(st.integers(0, 40), max_size=3))
def test_a_selection_that_goes_on_in_steps_is_that_of_the_loop(
    n, d, grid, share, candidates, tile_rows, kernel, seed, n_existing, steps
):
    features, n_keep, _ = drawn(n, d, grid, share, seed)
    rng = np.random.default_rng(seed)
    existing = rng.integers(-1, grid + 1, (n_existing, d)).astype(np.float32)
    groups, sizes = np.sort(rng.integers(0, 4, n)), (1, 1 + n_existing // 2)
    with small_blocks(candidates, tile_rows, kernel):
        selection = ContinuedSelection(features, existing, n_keep, groups=groups, sizes=sizes)
        for size in sorted(min(step, n_keep) for step in steps):
            selection.go_on(size)
        selection.go_on(n_keep)
        found = selection.coreset
    rows, radii, before = greedy_after(features, n_keep, existing)
    assert found.centres.tolist() == rows
    np.testing.assert_allclose(found.radii, radii, rtol=1e-6)
    assert found.radius_before == pytest.approx(before, rel=1e-6)
    distances = np.linalg.norm(features[:, None] - existing[None], axis=2)
    assert list(selection.distances_to_first) == sorted({*sizes, n_existing})
    for size, to_first in selection.distances_to_first.items():
        np.testing.assert_allclose(to_first, distances[:, :size].min(axis=1), atol=1e-6)
    for row, to_others in enumerate(found.min_distance_to_other_groups):
        others = [features[c] for c in rows if groups[c] != groups[row]]
        expected = [np.linalg.norm(features[row] - other) for other in others]
        assert to_others == pytest.approx(min([distances[row].min(), *expected]), abs=1e-6)


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
def test_real_numbers_continue_as_if_selected_at_once(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    features = (rng.standard_normal((4000, 23)) * np.linspace(3, 0.1, 23)).astype(np.float32)
    groups = np.arange(4000) // 70
    at_once = greedy_coreset(features, 420, groups=groups)
    first = at_once.centres[:150]
    existing = ExistingCentres(features[first], groups[first])
    more = greedy_coreset(features, 270, start=existing, groups=groups)
    assert more.centres.tolist() == at_once.centres[150:].tolist()
    np.testing.assert_allclose(more.radii, at_once.radii[150:], rtol=1e-5)
    np.testing.assert_allclose(
        more.min_distance_to_other_groups, at_once.min_distance_to_other_groups, rtol=1e-5
    )


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
def test_a_radius_that_existing_centres_cover_adds_no_row(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    features = rng.standard_normal((300, 6)).astype(np.float32)
    far_away = features[:40] + np.float32(1e-3)
    _, radii, before = greedy_after(features, 20, far_away)
    start = ExistingCentres(far_away)
    none = greedy_coreset(features, 20, start=start, radius=before * 1.001)
    assert none.centres.tolist() == []
    assert none.radii.tolist() == []
    assert none.radius_before == pytest.approx(before, rel=1e-6)
    some = greedy_coreset(features, 20, start=start, radius=radii[4] * 1.001)
    assert len(some.centres) == next(i for i, r in enumerate(radii, 1) if r <= radii[4] * 1.001)


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
@pytest.mark.parametrize("distance", [1e3, 1e5])
def test_an_outlier_spoils_nothing(distance, kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    features = rng.standard_normal((3000, 20)).astype(np.float32)
    features[17] = 0
    features[17, 0] = distance
    start = coreset.row_farthest_from_mean(features)
    assert start == 17
    chosen = greedy_coreset(features, 300, start=start)
    rows, radii = greedy(features, 300, start)
    assert chosen.centres.tolist() == rows
    np.testing.assert_allclose(chosen.radii, radii, rtol=1e-5)


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
    with pytest.raises(ShapeError, match=r"initial distances: expected \(10,\), .* got \(9,\)"):
        greedy_coreset(features, 2, start=InitialDistances(np.zeros(9, np.float32)))
    initial = InitialDistances(np.zeros(10, np.float32))
    with pytest.raises(ParameterError, match="radius: expected none with initial distances"):
        greedy_coreset(features, 2, start=initial, radius=1.0)
    for wrong in (np.zeros((3, 4), np.float32), np.zeros((0, 2), np.float32)):
        with pytest.raises(ShapeError, match=r"existing centres: expected \(m, 2\) with at least"):
            greedy_coreset(features, 2, start=ExistingCentres(wrong))
    with pytest.raises(ShapeError, match=r"groups of existing centres: expected \(2,\)"):
        greedy_coreset(features, 2, start=ExistingCentres(features[:2], np.zeros(3, np.intp)))
    with pytest.raises(ShapeError, match=r"groups: expected \(10,\), one a row, got \(9,\)"):
        greedy_coreset(features, 2, groups=np.zeros(9, np.intp))
    with pytest.raises(ParameterError, match="radius: expected 0 or more, got -1"):
        greedy_coreset(features, 2, radius=-1)
    with pytest.raises(ShapeError, match=r"expected \(n, d\), got \(10, 2, 1\)"):
        greedy_coreset(features[..., None], 2)


def test_a_selection_that_lacks_a_step_cannot_begin():
    class Unfinished(GreedyState):
        def _update(self, rows):
            pass

    with pytest.raises(TypeError, match="_select_block.*add_existing"):
        Unfinished()
