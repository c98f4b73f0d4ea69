"""A selection over shards is that of one machine: rows, radii and distances, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.coreset import (
    ExistingCentres,
    InitialDistances,
    feature_rows,
    greedy_coreset,
    greedy_coreset_of_shards,
)
from patchbank.core.coreset.gemm_rows import GemmRows
from patchbank.core.coreset.int8_rows import Candidates, Int8Rows
from patchbank.core.coreset.sharded import LocalShards, ShardedGemmRows, ShardedInt8Rows
from patchbank.errors import ParameterError, ShapeError
from patchbank.runtime.devices import HOST
from tests.kernels import KERNELS
from tests.laws.test_selection import small_blocks

BEGINNINGS = ("mean", "row", "existing", "existing with groups", "initial")


def cut(n: int, tile_rows: int, rng: np.random.Generator) -> list[int]:
    """Ends of shards, each at the end of a tile but for the last one."""
    tiles = -(-n // tile_rows)
    inner = rng.choice(np.arange(1, tiles), min(int(rng.integers(0, 6)), tiles - 1), replace=False)
    return [*(np.sort(inner) * tile_rows).tolist(), n]


def sharded(kernel, features, ends, groups=None, initial=None):
    """The rows in shards that end there."""
    parts = [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]

    def own(array, part):
        return None if array is None else array[part]

    kind = {"has_groups": groups is not None, "has_initial": initial is not None}
    if kernel == "gemm":
        rows = [
            GemmRows(features[part], HOST, own(groups, part), own(initial, part)) for part in parts
        ]
        return ShardedGemmRows(LocalShards(rows), **kind)
    rows = [Int8Rows(features[part], own(groups, part), own(initial, part)) for part in parts]
    return ShardedInt8Rows(LocalShards(rows), **kind)


@settings(max_examples=300, deadline=None)
@given(
    n=st.integers(1, 90),
    d=st.integers(1, 5),
    grid=st.sampled_from([1, 2, 5, 0]),  # few values make ties; 0 are real numbers
    share=st.floats(0.01, 1.0),
    candidates=st.integers(1, 25),
    tile_rows=st.integers(1, 12),
    kernel=st.sampled_from(KERNELS),
    beginning=st.sampled_from(BEGINNINGS),
    has_groups=st.booleans(),
    radius=st.sampled_from([None, 0.0, 1.0]),
    seed=st.integers(0, 9999),
)
def test_shards_give_what_one_machine_gives(
    n, d, grid, share, candidates, tile_rows, kernel, beginning, has_groups, radius, seed
):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, grid, (n, d)) if grid else rng.normal(3.0, 1.0, (n, d))
    features, n_keep = values.astype(np.float32), max(1, round(n * share))
    groups = np.sort(rng.integers(0, 4, n)) if has_groups else None
    start, initial = None, None
    if beginning == "row":
        start = int(rng.integers(n))
    elif beginning == "initial":
        initial, radius = rng.uniform(0, 2, n).astype(np.float32), None
        start = InitialDistances(initial)
    elif beginning != "mean":
        of_points = rng.integers(0, 4, 3) if beginning == "existing with groups" else None
        points = rng.normal(0, 2, (3, d)).astype(np.float32)
        start = ExistingCentres(points, of_points)
    sizes = [max(1, n_keep // 2)]
    with small_blocks(candidates, tile_rows, kernel):
        one = greedy_coreset(
            features, n_keep, start=start, radius=radius, groups=groups, sizes=sizes
        )
        rows = sharded(kernel, features, cut(n, tile_rows, rng), groups, initial)
        other = greedy_coreset_of_shards(
            rows,
            n_keep,
            start=None if initial is not None else start,
            radius=radius,
            sizes=sizes,
        )
        kept = [rows.distances_to_other_groups(size) for size in (*sizes, len(other.centres))]

    assert other.centres.tolist() == one.centres.tolist()
    assert other.radius_before == one.radius_before
    if initial is None:
        np.testing.assert_array_equal(other.radii, one.radii)
    at_size = one.min_distance_to_other_groups_at.get(sizes[0])
    for found, asked in zip(kept, (at_size, one.min_distance_to_other_groups), strict=True):
        if asked is not None:
            np.testing.assert_array_equal(found, asked)
        elif not has_groups:
            assert found is None


def test_a_selection_in_shards_says_what_it_cannot_do():
    features = np.arange(30, dtype=np.float32).reshape(10, 3)
    with pytest.raises(ParameterError, match=r"begin at a multiple of 1024 rows.*\[4, 6\]"):
        sharded("gemm", features, [4, 10])
    rows = sharded("gemm", features, [10])
    with pytest.raises(ParameterError, match="n_keep: expected 1 to 10"):
        greedy_coreset_of_shards(rows, 11)
    with pytest.raises(ParameterError, match="start: expected a row from 0 to 9"):
        greedy_coreset_of_shards(rows, 2, start=10)
    features[3, 1] = np.nan
    with pytest.raises(ShapeError, match="features"):
        greedy_coreset_of_shards(rows, 2)


def test_only_candidates_are_fetched_and_each_once(monkeypatch):
    monkeypatch.setattr(feature_rows, "TILE_ROWS", 100)
    rng = np.random.default_rng(5)
    features = rng.normal(size=(20_000, 8)).astype(np.float32)
    rows = sharded("gemm", features, [7_000, 12_000, 20_000])
    fetched: list[tuple[int, int]] = []
    call = rows._shards.call

    def counted(method, arguments):
        if method == "described":
            pairs = enumerate(own.tolist() for (own,) in arguments)
            fetched.extend((shard, row) for shard, own in pairs for row in own)
        return call(method, arguments)

    rows._shards.call = counted
    greedy_coreset_of_shards(rows, 500)
    assert len(set(fetched[1:])) == len(fetched[1:])  # the origin is fetched before its norm
    assert 500 <= len(fetched) < 10_000


def test_what_is_lowered_to_the_bound_does_not_come_before_an_equal_row_that_is_lower():
    # Row 1 is as far as row 0, and held back by its shard.
    first = Candidates(np.array([0]), np.array([5.0]), 5.0, True)
    far = Candidates(np.array([7]), np.array([9.0]), 4.0, False)
    merged = Candidates.merged([first, far])
    assert merged.rows.tolist() == [7]
    assert merged.bound > 5.0
    assert not merged.has_more
    # Where nothing is farther, equal rows are chosen many at a time.
    equal = replace(far, min_distances=np.array([5.0]))
    merged = Candidates.merged([first, equal])
    assert (merged.rows.tolist(), merged.bound, merged.has_more) == ([0], 5.0, True)
