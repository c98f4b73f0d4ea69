"""Nearest neighbours against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core import neighbours
from patchbank.core.neighbours import ExactIndex, build_index, recall
from patchbank.errors import ParameterError, ShapeError
from tests.kernels import KERNELS, MARKED_KERNELS, on_kernel
from tests.oracles.neighbours import nearest


@settings(max_examples=150, deadline=None)
@given(
    m=st.integers(1, 40),
    n=st.integers(1, 20),
    d=st.integers(1, 4),
    k=st.integers(1, 9),
    grid=st.integers(1, 5),
    tile_rows=st.integers(1, 20),
    tile_queries=st.integers(1, 20),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 999),
)
def test_exact_search_finds_the_nearest(m, n, d, k, grid, tile_rows, tile_queries, kernel, seed):
    rng = np.random.default_rng(seed)
    bank = rng.integers(0, grid, (m, d)).astype(np.float32)
    queries = rng.integers(0, grid, (n, d)).astype(np.float32)
    k = min(k, m)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "TILE_BANK_ROWS", tile_rows)
        patch.setattr(neighbours, "TILE_QUERIES", tile_queries)
        on_kernel(patch, kernel)
        distances, rows = ExactIndex(bank).nearest(queries, k)

    np.testing.assert_allclose(distances, nearest(bank, queries, k), atol=1e-5)
    again = np.linalg.norm(bank[rows] - queries[:, None], axis=2)
    np.testing.assert_allclose(distances, again, atol=1e-5)  # the rows have these distances
    assert all(len(set(r)) == k for r in rows.tolist())


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
def test_distances_are_exact_far_from_the_origin(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    bank = (rng.standard_normal((300, 20)) + 1000).astype(np.float32)
    queries = bank[:50] + np.float32(1e-2)
    distances, rows = ExactIndex(bank).nearest(queries)
    assert (rows[:, 0] == np.arange(50)).all()
    expected = np.linalg.norm(queries.astype(np.float64) - bank[:50], axis=1)
    np.testing.assert_allclose(distances[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
def test_excluded_rows_are_no_neighbours(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    bank = rng.standard_normal((60, 5)).astype(np.float32)
    exclude = np.arange(60) % 3 == 0
    distances, rows = ExactIndex(bank).nearest(bank, 2, exclude=exclude)
    assert not exclude[rows].any()
    np.testing.assert_allclose(distances, nearest(bank[~exclude], bank, 2), atol=1e-5)


@pytest.mark.approximate
@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_approximate_indexes_report_true_distances_and_their_recall(kind, rng):
    bank = rng.standard_normal((3000, 16)).astype(np.float32)
    queries = rng.standard_normal((400, 16)).astype(np.float32)
    index, exact = build_index(bank, kind), ExactIndex(bank)

    distances, rows = index.nearest(queries, 3)

    again = np.linalg.norm(bank[rows] - queries[:, None], axis=2)
    np.testing.assert_allclose(distances, again, rtol=1e-5)
    truth = exact.nearest(queries)[0][:, 0]
    share = (distances[:, 0] <= truth * (1 + 1e-5)).mean()
    assert recall(index, exact, queries) == pytest.approx(share)
    assert share > 0.5
    assert (build_index(bank, kind).nearest(queries, 3)[1] == rows).all()  # not by luck


@pytest.mark.approximate
def test_neighbours_that_an_inverted_file_misses_are_searched_exactly(rng, monkeypatch):
    bank = rng.standard_normal((400, 6)).astype(np.float32)
    queries = rng.standard_normal((30, 6)).astype(np.float32)
    built = []
    init = ExactIndex.__init__

    def counted(self, *given):
        built.append(1)
        init(self, *given)

    monkeypatch.setattr(ExactIndex, "__init__", counted)
    index = build_index(bank, "ivf")
    index.nearest(queries)
    assert built == []
    for _ in range(2):  # as many as the bank has rows: more than the searched cells hold
        distances, rows = index.nearest(queries, 400)
        np.testing.assert_allclose(distances, nearest(bank, queries, 400), atol=1e-5)
        np.testing.assert_array_equal(np.sort(rows, axis=1)[:, [0, -1]], [[0, 399]] * 30)
    assert built == [1]


def test_recall_of_the_exact_index_is_one(rng):
    bank = rng.standard_normal((100, 4)).astype(np.float32)
    assert recall(ExactIndex(bank), ExactIndex(bank), bank) == 1.0


@pytest.mark.parametrize(
    "kind",
    ["exact", *(pytest.param(k, marks=pytest.mark.approximate) for k in ("hnsw", "ivf"))],
)
def test_wrong_queries_are_named(kind, rng):
    index = build_index(rng.standard_normal((50, 4)).astype(np.float32), kind)
    with pytest.raises(ShapeError, match=r"expected \(n, 4\), got \(3, 5\)"):
        index.nearest(np.zeros((3, 5), np.float32))
    with pytest.raises(ParameterError, match="expected 1 to 50 .* got 51"):
        index.nearest(np.zeros((3, 4), np.float32), 51)


def test_an_empty_bank_and_an_unknown_index_are_named():
    with pytest.raises(ShapeError, match="at least one row"):
        ExactIndex(np.zeros((0, 4), np.float32))
    with pytest.raises(ParameterError, match="expected 'exact', 'hnsw' or 'ivf', got 'kd'"):
        build_index(np.zeros((2, 4), np.float32), "kd")
