"""Laws of distances at the ends of the range of numbers: as in float64, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core import int8, patch_graph
from patchbank.core.coreset import (
    ExistingCentres,
    InitialDistances,
    greedy_coreset,
    mean_distances,
    row_farthest_from_mean,
    row_nearest_to_mean,
)
from patchbank.core.finite import LARGEST, require_finite
from patchbank.core.gaussians import Gaussians, Groups, left_out_distances, scatters
from patchbank.core.neighbours import ExactIndex
from patchbank.errors import ShapeError
from tests.kernels import INT8_KERNELS, KERNELS, on_kernel
from tests.oracles.graph import max_relative
from tests.oracles.neighbours import nearest

UNDERFLOW = 1e-19  # distances whose squares float32 cannot hold come as 0 from matrix products


@st.composite
def rows_of_any_size(draw, largest=LARGEST):
    """(n, d): rows that differ by many orders of magnitude; constant columns, zeros of both signs,
    subnormal numbers, repeated rows, clusters far from each other."""
    n, d = draw(st.integers(1, 24)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    low, high = -44.0, np.log10(largest)
    rows = rng.standard_normal((n, d))
    if draw(st.booleans()):  # one magnitude for all
        rows *= 10.0 ** rng.uniform(low, high)
    if draw(st.booleans()):
        rows *= 10.0 ** rng.uniform(low, high, (n, 1))
    if draw(st.booleans()):
        rows *= 10.0 ** rng.uniform(low, high, d)
    if draw(st.booleans()):
        rows += rng.choice([0.0, 1.0, -1.0], (n, 1)) * 10.0 ** rng.uniform(low, high)
    rows[:, rng.random(d) < 0.2] = draw(st.sampled_from([0.0, 1.0, largest / 2]))
    rows = rows.clip(-largest, largest).astype(np.float32).clip(-largest, largest)
    rows[rng.random((n, d)) < 0.1] = draw(st.sampled_from([0.0, -0.0, 1e-45, -1e-38]))
    return rows[rng.integers(0, n, n)]


@settings(deadline=None, max_examples=300)
@given(
    bank=rows_of_any_size(LARGEST / 2), seed=st.integers(0, 999), kernel=st.sampled_from(KERNELS)
)
def test_the_nearest_rows_are_those_of_double_precision(bank, seed, kernel):
    rng = np.random.default_rng(seed)
    queries = bank[rng.permutation(len(bank))]
    queries = queries * rng.choice([1.0, 1.0, 1.001, -1.0, 0.5], (len(bank), 1)).astype(np.float32)
    k = int(rng.integers(1, min(len(bank), 4) + 1))
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        distances, rows = ExactIndex(bank).nearest(queries, k)
    expected = nearest(bank, queries, k)
    if kernel == "gemm":
        np.testing.assert_allclose(distances, expected, rtol=0.02, atol=UNDERFLOW * 9)
    else:
        np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-45)
    found = bank[rows].astype(np.float64) - queries[:, None]
    again = np.sqrt(np.square(found).sum(axis=2))
    np.testing.assert_allclose(distances, again, rtol=1e-6, atol=UNDERFLOW * 9)


@pytest.mark.kernel
@settings(deadline=None, max_examples=300)
@given(
    rows=rows_of_any_size(largest=float(np.finfo(np.float32).max)),
    kernel=st.sampled_from(INT8_KERNELS or ["gemm"]),
    k=st.integers(1, 3),
)
def test_the_kernel_is_right_for_every_finite_number(rows, kernel, k):
    """Without the border: distances beyond 1.8e19 and differences beyond 3.4e38 too."""
    k = min(k, len(rows))
    squared, found = np.full((len(rows), k), np.inf), np.zeros((len(rows), k), np.int64)
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        on_kernel(patch, kernel)
        quantized = int8.Quantization.fit(rows).quantize(rows)
        int8.update_nearest(quantized, int8.PackedRows(quantized), squared, nearest=found)
        to_first = int8.squared_distances_to(rows, rows[0] + 0)
        centres, before = int8.select_centres(
            quantized, to_first.copy(), len(rows), outside=-1.0, stop=-1.0
        )
    wide = rows.astype(np.float64)
    truth = np.square(wide[:, None] - wide).sum(axis=2)
    np.testing.assert_allclose(squared, np.sort(truth, axis=1)[:, :k], rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(truth, found, axis=1), squared, rtol=1e-12)
    np.testing.assert_allclose(to_first, truth[0], rtol=1e-12)
    min_distances = truth[0].copy()
    assert len(centres) == len(rows)
    for centre, distance in zip(centres, before, strict=True):
        assert distance == pytest.approx(min_distances.max(), rel=1e-12)
        assert min_distances[centre] == pytest.approx(distance, rel=1e-12)
        min_distances = np.minimum(min_distances, truth[centre])
        min_distances[centre] = -1


@pytest.mark.kernel
@settings(deadline=None, max_examples=200)
@given(rows=rows_of_any_size(), kernel=st.sampled_from(INT8_KERNELS or ["gemm"]))
def test_every_centre_is_the_farthest_row_in_double_precision(rows, kernel):
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        found = greedy_coreset(rows, len(rows), start=0)
    check_greedy(rows, found)


def test_a_tie_in_double_precision_may_be_broken_either_way():
    """What the last two rows differ by, double precision cannot see next to their distance."""
    rows = np.array([[0, 9e7, 0], [9e7, 0, 0], [0, 0, 1], [0, 0, 0]], np.float32)
    for kernel in INT8_KERNELS:
        with pytest.MonkeyPatch.context() as patch:
            on_kernel(patch, kernel)
            check_greedy(rows, greedy_coreset(rows, 4, start=0))


def check_greedy(rows, found):
    """Each centre is the farthest row, by distances in double precision and their rounding."""
    wide = rows.astype(np.float64)
    centres, least = list(found.centres), np.full(len(rows), np.inf)
    assert centres[0] == 0
    assert sorted(centres) == list(range(len(rows)))
    for number, centre in enumerate(centres):
        if number:
            assert least[centre] >= least.max() * (1 - 1e-12)
        least = np.minimum(least, np.square(wide - wide[centre]).sum(axis=1))
        least[centre] = -1
        radius = np.sqrt(max(least.max(), 0))
        np.testing.assert_allclose(found.radii[number], radius, rtol=1e-6, atol=1e-45)


@settings(deadline=None, max_examples=100)
@given(
    rows=rows_of_any_size(),
    kernel=st.sampled_from(KERNELS),
)
def test_radii_are_exact_relative_to_the_size_of_the_rows(rows, kernel):
    """The rounding that `core.coreset.gemm` documents: of squares, relative to squared norms."""
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        found = greedy_coreset(rows, len(rows), start=0)
    assert sorted(found.centres.tolist()) == list(range(len(rows)))
    wide = rows.astype(np.float64)
    min_distances = np.full(len(rows), np.inf)
    norms = np.square(wide - wide[row_nearest_to_mean(rows)]).sum(axis=1).max()
    for centre, radius in zip(found.centres, found.radii, strict=True):
        min_distances = np.minimum(min_distances, np.square(wide - wide[centre]).sum(axis=1))
        error = 1e-5 * (norms + min_distances.max()) + UNDERFLOW**2 * 9
        assert abs(float(radius) ** 2 - min_distances.max()) <= error


@settings(deadline=None, max_examples=100)
@given(
    rows=rows_of_any_size(),
    exponent=st.integers(-30, 30),
    seed=st.integers(0, 999),
)
def test_a_graph_does_not_depend_on_the_scale_of_its_nodes(rows, exponent, seed):
    rng = np.random.default_rng(seed)
    nodes = rng.standard_normal((11, 5)).astype(np.float32)
    scaled = nodes * np.float32(2.0**exponent) ** np.float32(1.5)
    np.testing.assert_array_equal(
        patch_graph.nearest_nodes(scaled, 4), patch_graph.nearest_nodes(nodes, 4)
    )
    highest = patch_graph.max_relative(rows, 3)
    assert np.isfinite(highest).all()
    assert (highest >= 0).all()


def test_a_graph_of_tiny_nodes_is_that_of_their_directions(rng):
    nodes = rng.standard_normal((12, 4)).astype(np.float32)
    tiny = nodes * np.float32(2.0**-100)
    expected = max_relative(nodes, 3) * 2.0**-100
    np.testing.assert_allclose(patch_graph.max_relative(tiny, 3), expected, rtol=1e-5)


BORDERS = {
    "bank": lambda rows, good: ExactIndex(rows),
    "queries": lambda rows, good: ExactIndex(good).nearest(rows),
    "features": lambda rows, good: greedy_coreset(rows, 2),
    "existing centres": lambda rows, good: greedy_coreset(good, 2, start=ExistingCentres(rows)),
    "initial distances": lambda rows, good: greedy_coreset(
        good, 2, start=InitialDistances(rows[:, 0] * 1e4)
    ),
    "nodes": lambda rows, good: patch_graph.nearest_nodes(rows, 2),
    "samples": lambda rows, good: scatters(rows[None], np.ones((1, len(rows)), bool)),
    "points": lambda rows, good: (
        scatters(good[None], np.ones((1, len(good)), bool)).gaussians(0.1).distances(rows[:1])
    ),
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.01e15, -3e38])
@pytest.mark.parametrize("name", BORDERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_numbers_that_nothing_can_be_computed_with_are_refused(name, value, kernel, monkeypatch):
    on_kernel(monkeypatch, kernel)
    good = np.arange(12, dtype=np.float32).reshape(4, 3)
    for rows in (np.where(good == 0, value, good), np.full_like(good, value)):
        rows = rows.astype(np.float32)
        reason = "finite numbers, got NaN or infinity"
        if name == "initial distances":
            reason = "(finite numbers, got NaN or infinity|numbers of at most 1e.18, got 1.01e.19)"
        elif np.isfinite(value):
            reason = r"numbers of at most 1e\+15, got (1.01e\+15|3e\+38)"
        with (
            pytest.raises(ShapeError, match=f"^{name}: expected {reason}"),
            np.errstate(all="ignore"),
        ):
            BORDERS[name](rows, good)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_mean_of_what_is_not_finite_is_refused(value, kernel, monkeypatch):
    on_kernel(monkeypatch, kernel)
    rows = np.full((5, 3), 1, np.float32)
    rows[4, 2] = value
    for distance in (row_nearest_to_mean, row_farthest_from_mean):
        with pytest.raises(ShapeError, match="features: expected finite numbers"):
            distance(rows)
    with pytest.raises(ShapeError, match="distances: expected finite numbers"):
        mean_distances(rows, np.array([0]))


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 999),
    rank=st.sampled_from([None, 1, 2]),
    sizes=st.tuples(st.floats(-20, 15), st.floats(-20, 15), st.floats(-20, 0)),
)
def test_distances_from_a_gaussian_are_those_of_double_precision(seed, rank, sizes):
    """Squares beyond 3e38, variances near the ridge, ridges down to 1e-20."""
    rng = np.random.default_rng(seed)
    spread, far, ridge = (10.0**size for size in sizes)
    samples = (rng.standard_normal((3, 6, 4)) * spread).clip(-LARGEST, LARGEST)
    learned = scatters(samples, np.ones((3, 6), bool), rank).gaussians(ridge)
    points = (rng.standard_normal((3, 4)) * far).clip(-LARGEST, LARGEST).astype(np.float32)
    single = Gaussians.empty(3, 4, learned.bases.shape[2])
    single.put(slice(0, 3), learned)
    wide = Gaussians(
        *(
            getattr(single, name).astype(np.float64)
            for name in ("means", "bases", "variances", "rests")
        )
    )
    expected = wide.distances(points.astype(np.float64))
    found = single.distances(points)
    assert np.isfinite(found).all()
    centre = np.abs(single.means).max(axis=1) + np.abs(points).max(axis=1)
    smallest = np.minimum(single.variances.min(axis=1), single.rests)
    error = 1e-4 * expected + 4e-6 * centre / np.sqrt(smallest.astype(np.float64))
    assert (np.abs(found - expected) <= error).all()


def test_leaving_out_what_is_not_finite_is_refused():
    rows = np.random.default_rng(0).standard_normal((5, 3))
    learned = scatters(rows[None], np.ones((1, 5), bool))
    groups = Groups(rows[None, :, None], np.ones((1, 5, 1), bool))
    broken = np.where(np.arange(3) == 1, np.nan, rows)
    with pytest.raises(ShapeError, match="points: expected finite numbers"):
        left_out_distances(learned, groups, broken[None], np.arange(5)[None], 0.1)


@given(st.integers(1, 400), st.integers(1, 5), st.integers(0, 3999), st.sampled_from([-1, 1]))
def test_a_number_is_found_wherever_it_is(n, d, place, sign):
    array = np.zeros((n, d), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("patchbank.core.finite.BLOCK_NUMBERS", 7)
        assert require_finite("rows", array) is array
        array.flat[place % array.size] = sign * 2e15
        with pytest.raises(
            ShapeError, match=r"rows: expected numbers of at most 1e\+15, got 2e\+15"
        ):
            require_finite("rows", array)
        array.flat[place % array.size] = sign * LARGEST
        assert require_finite("rows", array) is array
    assert require_finite("rows", array[:0]).shape == (0, d)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_centre_of_large_norm_is_not_chosen_again(kernel):
    """The rounding of its min-distance is larger than all distances that are left."""
    far = 499999993495552.0
    same = [far, -1.2361537475057191e-22, 0.0]
    rows = np.array([[far, -3.5360772e-22, 0.0], [0.0, 9.198529e-23, 2.8e-45], same, same])
    rows = rows.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        found = greedy_coreset(rows, len(rows), start=0)
    assert sorted(found.centres.tolist()) == [0, 1, 2, 3]
    assert found.centres[:2].tolist() == [0, 1]
