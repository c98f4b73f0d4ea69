"""Shards at their edges: one tile each, ties held back, rows that are not finite, what is merged.

The truth is the loop in float64 over all rows, one centre at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.coreset import (
    ExistingCentres,
    InitialDistances,
    gemm_rows,
    greedy_coreset,
    greedy_coreset_of_shards,
    int8_rows,
    row_farthest_from_mean,
    row_nearest_to_mean,
)
from patchbank.core.coreset.gemm_rows import GemmRows
from patchbank.errors import ShapeError
from patchbank.runtime.devices import HOST
from tests.kernels import KERNELS, MARKED_KERNELS, on_kernel
from tests.laws.test_selection import small_blocks
from tests.laws.test_sharded_selection import sharded
from tests.oracles.coreset import greedy, greedy_after

CASES = {
    "n": st.integers(1, 70),
    "d": st.integers(1, 4),
    "grid": st.integers(1, 6),  # few values: ties, duplicates
    "share": st.floats(0.01, 1.0),
    "candidates": st.integers(1, 12),
    "tile_rows": st.integers(1, 13),
    "kernel": st.sampled_from(KERNELS),
    "seed": st.integers(0, 9999),
}


def of_one_tile(n, tile_rows):
    """Ends of shards of one tile each; the last one is short unless tiles divide the rows."""
    return [*range(tile_rows, n, tile_rows), n]


def to_nearest(features, centres):
    """Distance of each row to the nearest centre, infinite without one."""
    if not len(centres):
        return np.full(len(features), np.inf)
    differences = features[:, None].astype(np.float64) - np.asarray(centres, np.float64)[None]
    return np.sqrt(np.square(differences).sum(axis=2)).min(axis=1)


@settings(max_examples=250, deadline=None)
@given(**CASES, has_existing=st.booleans(), cut_off=st.floats(0.0, 1.0))
def test_shards_of_one_tile_choose_what_the_loop_over_all_rows_chooses(
    n, d, grid, share, candidates, tile_rows, kernel, seed, has_existing, cut_off
):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, grid, (n, d)).astype(np.float32)
    groups, n_keep = np.sort(rng.integers(0, 3, n)), max(1, round(n * share))
    existing, of_existing = np.empty((0, d), np.float32), np.empty(0, np.intp)
    start = int(rng.integers(n))
    if has_existing:
        existing = rng.integers(-1, grid + 1, (3, d)).astype(np.float32)
        of_existing = rng.integers(0, 3, 3)
        start = ExistingCentres(existing, of_existing)
        rows, radii, before = greedy_after(features, n_keep, existing)
    else:
        (rows, radii), before = greedy(features, n_keep, start), None
    radius = radii[int(cut_off * (n_keep - 1))] * (1 + 1e-6)
    if before is not None and before <= radius:
        rows, radii = [], []
    else:
        enough = next(i for i, r in enumerate(radii, 1) if r <= radius)
        rows, radii = rows[:enough], radii[:enough]

    with small_blocks(candidates, tile_rows, kernel):
        shards = sharded(kernel, features, of_one_tile(n, tile_rows), groups)
        found = greedy_coreset_of_shards(shards, n_keep, start=start, radius=radius)
        to_others = shards.distances_to_other_groups(len(rows))

    assert found.centres.tolist() == rows
    np.testing.assert_allclose(found.radii, radii, rtol=1e-6)
    assert found.radius_before == (None if before is None else pytest.approx(before, rel=1e-6))
    centres = np.concatenate([existing, features[rows]])
    of_centres = np.concatenate([of_existing, groups[rows]])
    for group in range(3):
        own, others = groups == group, centres[of_centres != group]
        np.testing.assert_allclose(to_others[own], to_nearest(features[own], others), atol=1e-6)


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
@pytest.mark.parametrize("candidates", range(1, 12))
def test_a_row_that_comes_down_to_a_tie_waits_for_lower_rows_that_were_held_back(
    kernel, candidates
):
    """Eight rows of the first shard tie; one of the second joins them when its neighbour is
    chosen."""
    features = np.zeros((11, 5), np.float32)
    for axis in range(4):
        features[2 * axis, axis], features[2 * axis + 1, axis] = 5, -5
    features[9, 4] = 100
    features[10, 3:] = 4, 103  # 5 away from the row before
    with small_blocks(candidates, 9, kernel):
        found = greedy_coreset_of_shards(sharded(kernel, features, [9, 11]), 11, start=8)
    assert found.centres.tolist() == greedy(features, 11, 8)[0]
    assert found.centres[-1] == 9


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    grid=st.integers(1, 4),
    most=st.integers(1, 12),
    seed=st.integers(0, 9999),
)
def test_merged_candidates_of_matrix_products_are_those_of_one_pass(lengths, grid, most, seed):
    rng = np.random.default_rng(seed)
    n, ends = sum(lengths), np.cumsum(lengths)
    distances = rng.integers(-1, grid, n).astype(np.float32)  # -1 are centres
    norms, initial = rng.random(n).astype(np.float32), rng.random(n).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gemm_rows, "CANDIDATES", most)
        whole = gemm_rows.Candidates.among(np.arange(n), distances, norms, initial)
        parts = []
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            own = (array[begin:end] for array in (distances, norms, initial))
            part = gemm_rows.Candidates.among(np.arange(end - begin), *own)
            parts.append(part.shifted(begin))
        merged = gemm_rows.Candidates.merged(parts)

    order = np.lexsort((np.arange(n), -distances))  # by distance, on ties by row
    assert merged.rows.tolist() == np.sort(order[:most]).tolist()
    for name in ("rows", "min_distances", "norms", "initial"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    if n > most:
        assert merged.outside_row == order[most]
        assert merged.outside_distance == distances[order[most]]
        others = order[most:][distances[order[most:]] >= 0]
        assert (merged.outside_limit > distances[others]).all()
        assert merged.outside_limit == whole.outside_limit
    else:
        assert (merged.outside_row, merged.outside_distance) == (-1, -np.inf)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=st.integers(0, 9999))
def test_no_row_outside_merged_candidates_of_the_kernel_comes_before_one_inside(data, seed):
    rng = np.random.default_rng(seed)
    lengths = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    wanted, grid = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 5))
    distances = [rng.integers(-1, grid, length).astype(np.float64) for length in lengths]
    parts, begin = [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8_rows, "SAMPLE", data.draw(st.integers(1, 30)))
        for of_shard in distances:
            rows = int8_rows.Int8Rows(np.zeros((len(of_shard), 1), np.float32))
            rows.min_distances = of_shard
            parts.append(rows.candidates(wanted).shifted(begin))
            begin += len(of_shard)
    merged = int8_rows.Candidates.merged(parts)
    every = np.concatenate(distances)
    np.testing.assert_array_equal(merged.min_distances, every[merged.rows])
    assert (np.diff(merged.rows) > 0).all()
    assert every.max() < 0 or every.max() in merged.min_distances
    outside = np.setdiff1d(np.arange(len(every)), merged.rows)
    assert (every[outside] <= merged.bound).all()
    ties = outside[(every[outside] == merged.bound) & (every[outside] >= 0)]
    if len(ties):  # what comes down to the bound would be chosen before them
        assert merged.has_more
        assert (merged.min_distances == merged.bound).all()
        assert merged.rows.max() < ties.min()


@settings(max_examples=150, deadline=None)
@given(**{name: CASES[name] for name in ("n", "d", "grid", "tile_rows", "kernel", "seed")})
def test_rows_nearest_and_farthest_from_the_mean_are_the_lowest_of_brute_force(
    n, d, grid, tile_rows, kernel, seed
):
    features = np.random.default_rng(seed).integers(0, grid, (n, d)).astype(np.float32)
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
    squared = np.square(features - mean).sum(axis=1)
    with small_blocks(5, tile_rows, kernel):
        shards = sharded(kernel, features, of_one_tile(n, tile_rows))
        near, far = row_nearest_to_mean(features), row_farthest_from_mean(features)
        first = greedy_coreset_of_shards(shards, 1).centres.tolist()
        rows, distances = shards.nearest_to(mean.astype(np.float32), -1.0)
    assert near == np.flatnonzero(squared <= squared.min() * (1 + 1e-9))[0]
    assert far == np.flatnonzero(squared >= squared.max() * (1 - 1e-9))[0]
    assert first == [near]
    assert far in rows
    np.testing.assert_allclose(distances, -squared[rows], rtol=1e-12)
    sums = shards.tile_sums()
    expected = [features[at : at + tile_rows].sum(axis=0) for at in range(0, n, tile_rows)]
    np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("beginning", ["mean", "row", "existing", "initial"])
def test_rows_that_are_not_finite_are_refused_in_whatever_shard(kernel, bad, beginning):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(23, 3)).astype(np.float32)
    initial = rng.random(23).astype(np.float32) if beginning == "initial" else None
    start = {"row": 0, "existing": ExistingCentres(features[:2].copy())}.get(beginning)
    with small_blocks(4, 10, kernel):
        good = greedy_coreset_of_shards(
            sharded(kernel, features, [10, 20, 23], None, initial), 3, start=start
        )
        features[22, 1] = bad
        shards = sharded(kernel, features, [10, 20, 23], None, initial)
        with pytest.raises(ShapeError, match="features: expected finite numbers, got NaN"):
            greedy_coreset_of_shards(shards, 3, start=start)
    assert len(good.centres) == 3


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
@pytest.mark.parametrize("start", [0, 7])
def test_one_row_and_one_column_and_every_row(kernel, start, monkeypatch):
    on_kernel(monkeypatch, kernel)
    one = greedy_coreset(np.array([[7.5]], np.float32), 1)
    assert (one.centres.tolist(), one.radii.tolist(), one.radius_before) == ([0], [0.0], None)
    column = np.array([[3], [3], [-2], [3], [10], [10], [0], [4], [3]], np.float32)
    every = greedy_coreset(column, 9, start=start, groups=np.arange(9))
    rows, radii = greedy(column, 9, start)
    assert every.centres.tolist() == rows
    assert every.radii.tolist() == radii
    gaps = np.abs(column - column.T) + np.where(np.eye(9), np.inf, 0)
    assert every.min_distance_to_other_groups.tolist() == gaps.min(axis=1).tolist()
    equal = greedy_coreset(np.full((6, 3), 2.5, np.float32), 4)
    assert (equal.centres.tolist(), equal.radii.tolist()) == ([0, 1, 2, 3], [0.0] * 4)


@pytest.mark.parametrize("kernel", KERNELS[:2])
def test_sizes_are_kept_where_the_selection_came_so_far_and_no_others(kernel, monkeypatch):
    on_kernel(monkeypatch, kernel)
    line = np.arange(0, 40, 2, dtype=np.float32)[:, None]
    groups = np.repeat(np.arange(4), 5)
    found = greedy_coreset(line, 18, start=0, radius=10.0, groups=groups, sizes=(1, 2, 3, 17))
    assert found.centres.tolist() == [0, 19, 9]
    assert sorted(found.min_distance_to_other_groups_at) == [1, 2, 3]
    for size, to_others in found.min_distance_to_other_groups_at.items():
        chosen = found.centres[:size]
        for group in range(4):
            expected = to_nearest(line[groups == group], line[chosen[groups[chosen] != group]])
            np.testing.assert_array_equal(to_others[groups == group], expected)
    initial = InitialDistances(np.ones(20, np.float32))
    assert greedy_coreset(line, 3, start=initial).radii is None


def test_a_shard_describes_its_rows_and_counts_its_own_from_nought():
    features = np.arange(36, dtype=np.float32).reshape(12, 3)
    rows = GemmRows(features, HOST, np.arange(12) // 5)
    values, norms, groups = rows.described(np.array([7, 2]))
    np.testing.assert_array_equal(values, features[[7, 2]])
    assert (norms, groups.tolist(), rows.width(), len(rows)) == (None, [1, 0], 3, 12)
    rows.begin(features[4], rows.centre(2))
    squared = np.square(features - features[2]).sum(axis=1)
    np.testing.assert_array_equal(rows.host_min_distances(), squared)
    _, norms, _ = rows.described(np.array([7, 2]))
    assert norms.tolist() == [3 * 9.0**2, 3 * 6.0**2]
    own = np.arange(12) < 5  # the group of the first centre
    to_others = np.where(own, np.inf, squared)
    rows.keep_distances_to_other_groups(1)
    np.testing.assert_array_equal(rows.distances_to_other_groups(1), np.sqrt(to_others, dtype="f4"))
    assert rows.distances_to_other_groups(2) is None
    rows.mark(np.arange(12))
    assert rows.largest_min_distance() == 0.0
