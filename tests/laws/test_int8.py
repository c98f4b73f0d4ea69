"""What the int8 bound prunes cannot matter: on rows for which the bound is as loose as it gets."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core import int8
from patchbank.core.coreset import greedy_coreset, int8_rows
from patchbank.core.coreset import int8 as int8_greedy
from patchbank.core.int8 import OtherGroups, PackedRows, Quantization, binding
from patchbank.errors import ParameterError
from patchbank.runtime.devices import HOST
from tests.kernels import INT8_KERNELS, NATIVE, on_kernel
from tests.oracles.coreset import greedy

pytestmark = pytest.mark.kernel

OFFSETS = (31 / 64, -31 / 64, 1 / 4, 1 / 64)  # sums of their squares are exact: so are ties

CASES = {
    "n": st.integers(1, 50),
    "m": st.integers(1, 140),
    "d": st.integers(1, 70),
    "reach": st.sampled_from([1, 3, 200]),  # codes go to 63 or 127: larger values are clipped
    "share": st.sampled_from([0.0, 0.5, 1.0]),  # of the candidates that are never pruned
    "kernel": st.sampled_from(INT8_KERNELS or ["gemm"]),
    "seed": st.integers(0, 9999),
}


def between_codes(rng, n, d, reach):
    """Rows half-way between codes: the codes of equal rows may differ by one in every dimension.

    The errors of a row all have the same sign, which the bound must allow for.
    """
    along = rng.integers(-reach, reach + 1, (n, 1)) + rng.choice(OFFSETS, (n, 1))
    aside = rng.integers(0, 2, (n, d)) * (rng.random((n, 1)) < 0.2)
    return (along * rng.choice([-1, 1], d) + aside).astype(np.float32)


def of_step_one(rows, share):
    """A quantization of step 1 from the origin, whose error limit a share of the rows exceeds."""
    origin = np.zeros(rows.shape[1], np.float32)
    errors = np.sort(Quantization(origin, 1.0, np.inf).quantize(rows).errors)
    limit = errors[int((1 - share) * (len(errors) - 1))]
    return Quantization(origin, 1.0, float(limit))


def squared(rows, others):
    differences = rows[:, None].astype(np.float64) - others[None].astype(np.float64)
    return np.square(differences).sum(axis=2)


@settings(deadline=None, max_examples=300)
@given(**CASES, k=st.integers(1, 4))
def test_the_nearest_candidates_are_found(n, m, d, reach, share, kernel, seed, k):
    rng = np.random.default_rng(seed)
    queries, candidates = between_codes(rng, n, d, reach), between_codes(rng, m, d, reach)
    exclude = rng.random(m) < 0.2
    k = min(k, int((~exclude).sum()))
    if k == 0:
        return
    distances, nearest = np.full((n, k), np.inf), np.zeros((n, k), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        quantization = of_step_one(candidates, share)
        packed = PackedRows(quantization.quantize(candidates))
        quantized = quantization.quantize(queries)
        int8.update_nearest(quantized, packed, distances, nearest=nearest, exclude=exclude)
    truth = np.where(exclude, np.inf, squared(queries, candidates))
    order = np.lexsort((np.broadcast_to(np.arange(m), truth.shape), truth), axis=1)[:, :k]
    np.testing.assert_allclose(distances, np.take_along_axis(truth, order, axis=1), rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(truth, nearest, axis=1), distances, rtol=1e-12)


@settings(deadline=None, max_examples=100)
@given(**{name: CASES[name] for name in ("n", "m", "kernel", "seed")})
def test_on_ties_the_candidate_of_lower_index_is_the_nearest(n, m, kernel, seed):
    rng = np.random.default_rng(seed)
    queries, candidates = (rng.integers(0, 2, (rows, 2)).astype(np.float32) for rows in (n, m))
    distances, nearest = np.full((n, 1), np.inf), np.full((n, 1), -1)
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        quantization = Quantization.fit(candidates)
        packed = PackedRows(quantization.quantize(candidates))
        int8.update_nearest(quantization.quantize(queries), packed, distances, nearest=nearest)
    assert nearest[:, 0].tolist() == squared(queries, candidates).argmin(axis=1).tolist()


@settings(deadline=None, max_examples=200)
@given(**CASES)
def test_the_nearest_of_another_group_is_found_too(n, m, d, reach, share, kernel, seed):
    rng = np.random.default_rng(seed)
    queries, candidates = between_codes(rng, n, d, reach), between_codes(rng, m, d, reach)
    of_queries, of_candidates = (rng.integers(0, 3, size).astype(np.int32) for size in (n, m))
    known = np.where(rng.random(n) < 0.5, np.inf, rng.uniform(0, d, n))
    distances, to_others = known.copy(), np.full(n, np.inf)
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        quantization = of_step_one(candidates, share)
        int8.update_nearest(
            quantization.quantize(queries),
            PackedRows(quantization.quantize(candidates)),
            distances,
            groups=OtherGroups(of_queries, of_candidates, to_others),
        )
    truth = squared(queries, candidates)
    np.testing.assert_allclose(distances, np.minimum(known, truth.min(axis=1)), rtol=1e-12)
    truth[of_queries[:, None] == of_candidates] = np.inf
    np.testing.assert_allclose(to_others, truth.min(axis=1), rtol=1e-12)


@settings(deadline=None, max_examples=200)
@given(**CASES)
def test_centres_are_those_of_the_one_at_a_time_loop(n, m, d, reach, share, kernel, seed):
    rng = np.random.default_rng(seed)
    rows = between_codes(rng, m, d, reach)
    min_distances = squared(rows, rows[:1])[:, 0]
    expected, radii = greedy(rows, min(n, m), 0)
    min_distances[0] = -1.0
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        quantized = of_step_one(rows, share).quantize(rows)
        centres, distances_before = int8.select_centres(
            quantized, min_distances, min(n, m) - 1, outside=-1.0, stop=-1.0
        )
    assert centres.tolist() == expected[1:]
    np.testing.assert_allclose(np.sqrt(distances_before), radii[:-1], rtol=1e-12)


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_no_centre_is_nearer_than_the_rows_outside_or_the_stop(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    rows = rng.standard_normal((300, 7)).astype(np.float32)
    start = squared(rows, rows[:1])[:, 0]
    quantized = Quantization.fit(rows).quantize(rows)
    _, before = int8.select_centres(quantized, start.copy(), 100, outside=-1.0, stop=-1.0)
    assert (np.diff(before) <= 0).all()
    for limits in ({"outside": before[40], "stop": -1.0}, {"outside": -1.0, "stop": before[41]}):
        _, limited = int8.select_centres(quantized, start.copy(), 100, **limits)
        assert limited.tolist() == before[:41].tolist()


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_the_kernel_is_used_for_arrays_of_the_host_up_to_its_most_dimensions(kernel, monkeypatch):
    on_kernel(monkeypatch, kernel)
    widest, wider = (np.zeros((2, d), np.float32) for d in (binding.MAX_DIMS, binding.MAX_DIMS + 1))
    assert int8.is_usable_for(widest, HOST)
    assert not int8.is_usable_for(wider, HOST)
    assert not int8.is_usable_for(widest, object())
    assert not int8.is_usable_for([[0.0, 1.0]], HOST)
    on_kernel(monkeypatch, "gemm")
    assert not int8.is_usable_for(widest, HOST)


def test_a_library_of_another_system_or_version_is_refused_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.delenv(binding.VARIABLE, raising=False)
    find = binding._level_and_status.__wrapped__
    monkeypatch.setattr(binding, "LIBRARY", tmp_path / "kernel.so")
    assert find() == (
        0,
        "not used: it was not compiled (no C compiler at installation, or neither x86 nor ARM)",
    )
    binding.LIBRARY.write_bytes(b"not for this system")
    assert find() == (0, "not used: it was compiled for another system")
    monkeypatch.setenv(binding.VARIABLE, "avx2")
    with pytest.raises(
        ParameterError, match=r"one of none .*'avx2'; .* compiled for another system"
    ):
        find()
    monkeypatch.undo()
    monkeypatch.delenv(binding.VARIABLE, raising=False)
    if binding.LIBRARY.exists():
        monkeypatch.setattr(binding, "INTERFACE", -1)
        assert find() == (0, "not used: it was compiled from another version of patchbank")


def test_the_environment_names_the_instructions(monkeypatch):
    find = binding._level_and_status.__wrapped__
    monkeypatch.delenv(binding.VARIABLE, raising=False)
    best = find()
    for level in binding.supported()[0]:
        monkeypatch.setenv(binding.VARIABLE, NATIVE[level])
        assert find() == (level, binding.LEVELS[level])
    assert best[0] == max(binding.supported()[0], default=0)
    monkeypatch.setenv(binding.VARIABLE, "none")
    assert find() == (0, "not used: PATCHBANK_KERNEL is none")
    absent = set(NATIVE) - set(binding.supported()[0])
    for name in ("AVX2", "sse", *(NATIVE[level] for level in absent)):
        monkeypatch.setenv(binding.VARIABLE, name)
        with pytest.raises(ParameterError, match=rf"^PATCHBANK_KERNEL: expected .*none.*'{name}'"):
            find()


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_no_sum_of_extreme_codes_overflows(kernel, monkeypatch):
    """A sum that saturated would prune the one candidate that matters."""
    on_kernel(monkeypatch, kernel)
    largest = binding.library().int8_largest_code(binding.level())
    signs = np.array(list(itertools.product([-1, 1], repeat=8)), np.float32)
    rows = np.tile(largest * signs, (1, 3))  # without an error, so that the bound is tight
    quantized = of_step_one(rows, 1.0).quantize(rows)
    assert (quantized.codes[: len(rows)] == rows).all()
    distances, nearest = np.full((len(rows), 1), np.inf), np.zeros((len(rows), 1), np.int64)
    int8.update_nearest(quantized, PackedRows(quantized), distances, nearest=nearest)
    assert nearest[:, 0].tolist() == list(range(len(rows)))
    assert not distances.any()


@pytest.mark.parametrize("kernel", INT8_KERNELS)
@pytest.mark.parametrize("rows", ["nearly all", "in steps of the sample"])
def test_no_pass_is_spent_on_a_single_centre(rows, kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    monkeypatch.setattr(int8_greedy, "MIN_CANDIDATES", 64)
    monkeypatch.setattr(int8_rows, "SAMPLE", 100)
    features = rng.standard_normal((3000, 5)).astype(np.float32)
    if rows == "in steps of the sample":  # which then has small min-distances only
        features[::30] *= 0.01
    n_keep = 2990 if rows == "nearly all" else 500
    steps = []
    chosen = greedy_coreset(features, n_keep, on_progress=steps.append)
    assert chosen.centres.tolist() == greedy(features, n_keep, int(chosen.centres[0]))[0]
    assert len(steps) < 120
