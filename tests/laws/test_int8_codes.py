"""Codes of the native kernel: as large as its instructions allow, at every width, for any row."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core import int8
from patchbank.core.int8 import PackedRows, Quantization, binding
from patchbank.core.int8.binding import LEVELS, MAX_DIMS, SPARE_ROWS, STEP
from patchbank.errors import ParameterError
from tests.kernels import INT8_KERNELS, on_kernel
from tests.laws.test_int8 import of_step_one, squared

KERNEL = st.sampled_from(INT8_KERNELS or ["gemm"])
SEVEN_BITS = {"avx2", "neon"}


def nearest_of(quantization, queries, candidates, k=1):
    """Squared distances to the k nearest candidates, and which they are; -1 where none is."""
    distances = np.full((len(queries), k), np.inf)
    nearest = np.full((len(queries), k), -1)
    packed = PackedRows(quantization.quantize(candidates))
    int8.update_nearest(quantization.quantize(queries), packed, distances, nearest=nearest)
    return distances, nearest


@pytest.mark.kernel
@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(1, 40),
    d=st.integers(1, 70),
    kernel=KERNEL,
    scale=st.sampled_from([1e-15, 1.0, 1e12]),
    seed=st.integers(0, 9999),
)
def test_codes_keep_within_their_bits_and_errors_are_never_told_too_small(
    n, d, kernel, scale, seed
):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((n, d)) ** 3 * scale).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        found = Quantization.fit(rows).quantize(rows)
        largest = binding.library().int8_largest_code(binding.level())
    own = found.quantization
    assert largest == (63 if kernel in SEVEN_BITS else 127)
    assert found.codes.shape == (n + SPARE_ROWS, -(-d // STEP) * STEP)
    assert np.abs(found.codes.astype(int)).max() <= largest
    assert not found.codes[n:].any()
    assert not found.codes[:, d:].any()
    codes = found.codes[:n, :d].astype(np.int64)
    assert found.norms.tolist() == np.square(codes).sum(axis=1).tolist()
    assert found.sums.tolist() == codes.sum(axis=1).tolist()
    steps = (rows - own.origin.astype(np.float64)) / own.step
    assert (np.sqrt(np.square(steps - codes).sum(axis=1)) <= found.errors).all()
    inside = np.abs(steps) < largest
    assert (np.abs(steps - codes)[inside] < 0.501).all()  # the nearest code
    assert (codes[~inside] == np.sign(steps[~inside]) * largest).all()  # clipped
    some = found.take(np.array([n - 1, 0]))
    np.testing.assert_array_equal(some.codes[:2], found.codes[[n - 1, 0]])
    np.testing.assert_array_equal(some.values, rows[[n - 1, 0]])


@pytest.mark.parametrize("kernel", INT8_KERNELS)
@pytest.mark.parametrize("d", [1, 7, 8, 9, 513, MAX_DIMS - 3, MAX_DIMS])
def test_sums_of_the_widest_rows_of_largest_codes_do_not_overflow(kernel, d, monkeypatch):
    on_kernel(monkeypatch, kernel)
    largest = binding.library().int8_largest_code(binding.level())
    rows = np.full((5, d), largest, np.float32)
    rows[1] *= -1
    rows[2, ::2] *= -1
    rows[3, : d // 2] *= -1
    rows[4] = 0
    distances, nearest = nearest_of(of_step_one(rows, 1.0), rows, rows[::-1].copy(), k=2)
    truth = squared(rows, rows[::-1])
    np.testing.assert_array_equal(distances, np.sort(truth, axis=1)[:, :2])
    np.testing.assert_array_equal(np.take_along_axis(truth, nearest, axis=1), distances)
    quantized = of_step_one(rows, 1.0).quantize(rows)
    to_first = truth[0, ::-1].copy()
    to_first[0] = -1
    centres, before = int8.select_centres(quantized, to_first, 1, outside=-1.0, stop=-1.0)
    assert (centres.tolist(), before.tolist()) == ([1], [4.0 * d * largest**2])
    expected = np.minimum(truth[0, ::-1], truth[1, ::-1])
    expected[:2] = -1
    np.testing.assert_array_equal(to_first, expected)


@pytest.mark.kernel
@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(1, 30),
    m=st.integers(1, 70),
    d=st.integers(1, 40),
    kernel=KERNEL,
    seed=st.integers(0, 9999),
)
def test_rows_that_are_not_finite_change_nothing_for_the_others(n, m, d, kernel, seed):
    rng = np.random.default_rng(seed)
    queries, candidates = (rng.standard_normal((k, d)).astype(np.float32) for k in (n, m))
    bad, bad_candidates = rng.random(n) < 0.3, rng.random(m) < 0.3
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        quantization = Quantization.fit(candidates)
        for rows, which in ((queries, bad), (candidates, bad_candidates)):
            at = np.flatnonzero(which)
            rows[at, rng.integers(0, d, len(at))] = rng.choice([np.nan, np.inf, -np.inf], len(at))
        distances, nearest = nearest_of(quantization, queries, candidates)
        quantized = quantization.quantize(candidates)
        start = np.where(bad_candidates, np.nan, rng.random(m))
        chosen, _ = int8.select_centres(quantized, start, m, outside=-1.0, stop=-1.0)
    assert (np.isinf(distances[:, 0]) | (distances[:, 0] >= 0)).all()
    truth = squared(queries[~bad], candidates[~bad_candidates])
    expected = truth.min(axis=1, initial=np.inf)
    np.testing.assert_allclose(distances[~bad, 0], expected, rtol=1e-12)
    found = nearest[~bad, 0]
    assert not bad_candidates[found[found >= 0]].any()
    assert ((found < 0) == np.isinf(expected)).all()
    assert set(chosen.tolist()) <= set(range(m))


@pytest.mark.kernel
@settings(deadline=None, max_examples=150)
@given(
    n=st.integers(1, 50),
    d=st.integers(1, 60),
    kernel=KERNEL,
    power=st.integers(-20, 18),
    seed=st.integers(0, 9999),
)
def test_distances_to_a_point_are_those_of_double_precision(n, d, kernel, power, seed):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((n, d)) * 10.0**power).astype(np.float32)
    point = rows[rng.integers(n)] * np.float32(rng.choice([1.0, 0.5]))
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        patch.setattr(binding, "PART_ROWS", int(rng.integers(1, 20)))
        found = int8.squared_distances_to(rows, point)
    np.testing.assert_allclose(found, squared(rows, point[None])[:, 0], rtol=1e-13)


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_an_outlier_whose_codes_are_clipped_is_found_nevertheless(kernel, monkeypatch, rng):
    on_kernel(monkeypatch, kernel)
    rows = rng.standard_normal((900, 11)).astype(np.float32)
    rows[[5, 700]] *= 1e4
    quantization = Quantization.fit(rows[6:600])  # which knows of no outlier
    quantized = quantization.quantize(rows)
    assert (quantized.errors[[5, 700]] > 100 * quantization.error_limit).all()
    queries = rows + np.float32(0.01)
    distances, nearest = nearest_of(quantization, queries, rows)
    assert nearest[:, 0].tolist() == list(range(900))
    np.testing.assert_allclose(distances[:, 0], np.diag(squared(queries, rows)), rtol=1e-12)


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_a_range_too_small_for_a_step_is_quantized_to_nought(kernel, monkeypatch):
    on_kernel(monkeypatch, kernel)
    for rows in (np.full((9, 3), 4.5, np.float32), np.array([[1e-30], [3e-30]], np.float32)):
        quantization = Quantization.fit(rows)
        assert np.isfinite([quantization.step, quantization.error_limit]).all()
        assert quantization.step > 0
        assert not quantization.quantize(rows).codes.any()
        distances, nearest = nearest_of(quantization, rows, rows)
        assert not distances.any()
        assert nearest[:, 0].tolist() == ([0] * 9 if len(rows) == 9 else [0, 1])


@pytest.mark.parametrize(
    ("found", "asked", "expected"),
    [
        ([5, 4, 3], "avx-512", "avx512-vnni, avx-vnni, avx2, none"),
        ([3], "avx512-vnni", "avx2, none"),
        ([2, 1], "avx2", "neon-dot, neon, none"),
        ([], "AVX2", "none"),
    ],
)
def test_a_kernel_that_is_not_there_is_refused_with_those_that_are(
    found, asked, expected, monkeypatch
):
    reason = "" if found else "no compiler"
    monkeypatch.setattr(binding, "supported", lambda: (found, reason))
    find = binding._level_and_status.__wrapped__
    monkeypatch.setenv(binding.VARIABLE, asked)
    with pytest.raises(ParameterError) as caught:
        find()
    why = "" if found else "; the native kernel cannot be used: no compiler"
    assert str(caught.value) == (
        f"PATCHBANK_KERNEL: expected one of {expected} (what this machine can run), "
        f"got {asked!r}{why}"
    )
    monkeypatch.setenv(binding.VARIABLE, "  ")  # as if it were not set
    best = (found[0], LEVELS[found[0]]) if found else (0, "not used: no compiler")
    assert find() == best
    for name, level in binding.CHOICES.items():
        if level in found:
            monkeypatch.setenv(binding.VARIABLE, f" {name} ")
            assert find() == (level, LEVELS[level])


@pytest.mark.parametrize("name", ["none", "sse"])
def test_a_process_obeys_the_variable_that_it_starts_with(name):
    program = (
        "import numpy as np\n"
        "from patchbank.core.coreset import greedy_coreset\n"
        "from patchbank.core.int8 import status\n"
        "rows = np.array([[0], [1], [5], [3]], np.float32)\n"
        "print(greedy_coreset(rows, 3, start=0).centres.tolist(), status())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, binding.VARIABLE: name},
        capture_output=True,
        text=True,
        check=False,
    )
    if name == "none":
        assert done.stdout == "[0, 2, 3] not used: PATCHBANK_KERNEL is none\n"
    else:
        assert "PATCHBANK_KERNEL: expected one of" in done.stderr.splitlines()[-1]
        assert done.returncode == 1
