"""Edges of the selection, the search and the embedding that random cases seldom reach."""

import numpy as np
import pytest
from scipy import sparse

from patchbank.core.coreset import gemm, greedy_coreset, random_coreset
from patchbank.core.coreset.gemm_rows import Candidates
from patchbank.core.neighbours import ExactIndex, build_index
from patchbank.core.spatial.patch_embedding import _same
from patchbank.core.spatial.resampling import apply, resize
from tests.kernels import INT8_KERNELS, on_kernel
from tests.oracles.neighbours import nearest


def test_distances_to_other_groups_are_kept_at_the_sizes_that_were_asked_for_alone():
    line = np.array([[0.0], [1.0], [10.0], [12.0]], np.float32)
    chosen = greedy_coreset(line, 3, start=0, groups=np.array([0, 0, 1, 1]), sizes=(2, 9))
    assert chosen.centres.tolist() == [0, 3, 2]
    assert chosen.min_distance_to_other_groups_at.keys() == {2}
    # The centres are then 0 (of the first group) and 12 (of the second).
    np.testing.assert_array_equal(chosen.min_distance_to_other_groups_at[2], [12, 11, 10, 12])


@pytest.mark.parametrize("n_keep", [1, 10])
def test_a_random_selection_may_have_one_row_or_all(n_keep):
    chosen = random_coreset(10, n_keep, rng=np.random.default_rng(0))
    assert len(set(chosen.tolist())) == n_keep
    assert (np.diff(chosen) > 0).all()


@pytest.mark.parametrize("n", [gemm.MAX_TIES, gemm.MAX_TIES + 1])
def test_near_ties_are_settled_up_to_a_number_of_them(n):
    distances = np.full(n, 1.0, np.float32)
    distances[3] += 1e-6  # the farthest, but for rounding
    norms = np.full(n, 3.0, np.float32)
    points = np.zeros((n, 2), np.float32), norms
    candidates = Candidates.among(np.arange(n), distances, norms, None)
    block = gemm._Block(candidates, points, np.empty(0, np.intp))
    near = block.near_ties(3)
    assert near.tolist() == (list(range(n)) if n == gemm.MAX_TIES else [3])


@pytest.mark.parametrize(
    "kernel", [pytest.param(k, marks=pytest.mark.kernel) for k in INT8_KERNELS]
)
def test_queries_of_double_precision_find_what_rounded_ones_find(kernel, monkeypatch):
    on_kernel(monkeypatch, kernel)
    rng = np.random.default_rng(0)
    bank = rng.standard_normal((50, 6)).astype(np.float32)
    queries = rng.standard_normal((7, 6))
    distances, rows = ExactIndex(bank).nearest(queries, 3)
    expected, expected_rows = ExactIndex(bank).nearest(queries.astype(np.float32), 3)
    np.testing.assert_array_equal(distances, expected)
    np.testing.assert_array_equal(rows, expected_rows)


@pytest.mark.approximate
def test_only_the_queries_that_an_inverted_file_misses_are_searched_again():
    rng = np.random.default_rng(0)
    centres = np.array([0, 1000, 2000, 3000, 4000], np.float32)  # one cell each
    bank = np.repeat(centres, [100, 90, 10, 6, 4])[:, None] + rng.standard_normal((210, 3))
    queries = np.array([[0.5] * 3, [3000.5] * 3], np.float32)
    index, k = build_index(bank.astype(np.float32), "ivf"), 30
    found = index._index.search(queries, k)[1]
    assert (found < 0).any(axis=1).tolist() == [False, True]
    distances, rows = index.nearest(queries, k)
    assert sorted(rows[0]) == sorted(found[0])  # as approximate as before
    np.testing.assert_allclose(distances[1], nearest(bank, queries[1:], k)[0], atol=1e-2)


def test_poolings_that_differ_by_rounding_are_the_same():
    one = sparse.csr_array([[1.0, 0.0]])
    assert _same(one, one)
    assert _same(one, sparse.csr_array([[1.0 + 1e-14, 0.0]]))
    assert not _same(one, sparse.csr_array([[1.0 + 1e-6, 0.0]]))


def test_an_enlarged_axis_ends_with_its_outer_samples():
    planes = np.array([[1, 5], [3, 5]], np.float32)
    enlarged = apply(resize(2, 4), resize(2, 2), planes)
    np.testing.assert_allclose(enlarged, [[1, 5], [1.5, 5], [2.5, 5], [3, 5]])
