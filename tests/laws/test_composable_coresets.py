"""Composable coresets are two greedy selections, with a radius that is measured and bounded."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.coreset import composable, composable_coreset_of_shards, greedy_coreset
from patchbank.errors import ParameterError, ShapeError
from tests.kernels import KERNELS
from tests.laws.test_selection import small_blocks
from tests.laws.test_sharded_selection import cut, sharded


def distances(features):
    """(n, n) Euclidean, in float64."""
    values = features.astype(np.float64)
    return np.sqrt(np.square(values[:, None] - values[None]).sum(axis=2))


def drawn(rng, n, d, grid):
    values = rng.integers(0, grid, (n, d)) if grid else rng.normal(3.0, 1.0, (n, d))
    return values.astype(np.float32)


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 4),
    grid=st.sampled_from([2, 5, 0]),
    share=st.floats(0.01, 1.0),
    tile_rows=st.integers(1, 9),
    a_pass=st.integers(1, 12),
    kernel=st.sampled_from(KERNELS),
    start=st.sampled_from([None, "row"]),
    has_groups=st.booleans(),
    seed=st.integers(0, 9999),
)
def test_the_rows_are_those_of_two_selections_and_all_else_is_measured(
    n, d, grid, share, tile_rows, a_pass, kernel, start, has_groups, seed
):
    rng = np.random.default_rng(seed)
    features, n_keep = drawn(rng, n, d, grid), max(1, round(n * share))
    groups = np.sort(rng.integers(0, 4, n)) if has_groups else None
    first = None if start is None else int(rng.integers(n))
    ends, seen = cut(n, tile_rows, rng), []
    with (
        small_blocks(20, tile_rows, kernel),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(composable, "CENTRES_A_PASS", a_pass)
        rows = sharded(kernel, features, ends, groups)
        found = composable_coreset_of_shards(rows, n_keep, start=first, on_progress=seen.append)
        to_others = rows.distances_to_other_groups(n_keep)
        begin = greedy_coreset(features, 1).centres[0] if first is None else first
        union = {int(begin)}
        for low, high in zip([0, *ends[:-1]], ends, strict=True):
            own = greedy_coreset(features[low:high], min(n_keep, high - low))
            union |= set((own.centres + low).tolist())
        numbers = np.array(sorted(union))
        again = greedy_coreset(
            features[numbers], n_keep, start=int(np.searchsorted(numbers, begin))
        )

    assert found.coreset.centres.tolist() == numbers[again.centres].tolist()
    assert sum(seen) == n_keep
    to_centres = distances(features)[:, found.coreset.centres]
    true = np.minimum.accumulate(to_centres, axis=1).max(axis=0)
    at_ends = sorted({0, n_keep - 1, *range(a_pass, n_keep, a_pass)})
    np.testing.assert_allclose(found.coreset.radii[at_ends], true[at_ends], rtol=1e-4, atol=3e-3)
    assert np.all(found.coreset.radii >= true - 3e-3)
    assert np.all(np.diff(found.coreset.radii) <= 0)
    if groups is None:
        assert to_others is None
        return
    is_own = groups[:, None] == groups[found.coreset.centres][None]
    expected = np.where(is_own, np.inf, to_centres).min(axis=1)
    np.testing.assert_allclose(to_others, expected, rtol=1e-4, atol=3e-3)


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(2, 10),
    n_keep=st.integers(1, 4),
    grid=st.sampled_from([4, 0]),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 9999),
)
def test_the_radius_is_at_most_four_times_the_best_and_none_is_below_the_limit(
    n, n_keep, grid, kernel, seed
):
    rng, n_keep = np.random.default_rng(seed), min(n_keep, n)
    features = drawn(rng, n, 2, grid)
    with small_blocks(20, 1, kernel):
        rows = sharded(kernel, features, cut(n, 1, rng))
        found = composable_coreset_of_shards(rows, n_keep)
    to_all = distances(features)
    best = min(to_all[:, list(some)].min(axis=1).max() for some in combinations(range(n), n_keep))
    assert found.coreset.radii[-1] <= 4 * best + 3e-3
    assert found.least_radius <= best + 3e-3


def test_shards_that_need_more_rows_than_they_have_give_all_of_them():
    features = np.array([[0.0], [1.0], [5.0], [9.0]], dtype=np.float32)
    with small_blocks(20, 1, "gemm"):
        found = composable_coreset_of_shards(sharded("gemm", features, [1, 4]), 4)
    assert sorted(found.coreset.centres.tolist()) == [0, 1, 2, 3]
    assert found.coreset.radii[-1] == found.least_radius == 0


def test_what_cannot_be_composed_is_an_error():
    features = np.arange(30, dtype=np.float32).reshape(10, 3)
    rows = sharded("gemm", features, [10])
    with pytest.raises(ParameterError, match="n_keep: expected 1 to 10"):
        composable_coreset_of_shards(rows, 11)
    with pytest.raises(ParameterError, match="start: expected a row from 0 to 9"):
        composable_coreset_of_shards(rows, 2, start=10)
    features[3, 1] = np.nan
    with pytest.raises(ShapeError, match="features"):
        composable_coreset_of_shards(rows, 2, start=0)
