"""What the kernel passes over could not matter: rows that codes tell apart worst of all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.coreset import greedy_coreset
from patchbank.core.coreset import int8 as int8_greedy
from patchbank.core.int8 import search as int8
from patchbank.core.int8.search import Groups, PackedRows, Quantization, QuantizedRows
from tests.kernels import KERNELS, on_kernel
from tests.oracles.coreset import greedy

NATIVE = [kernel for kernel in KERNELS if kernel]
pytestmark = pytest.mark.kernel

ASIDE = (31 / 64, -31 / 64, 1 / 4, 1 / 64)  # sums of their squares are exact: so are ties

CASES = {
    "n": st.integers(1, 50),
    "m": st.integers(1, 140),
    "d": st.integers(1, 70),
    "reach": st.sampled_from([1, 3, 200]),  # codes go to 127: beyond, they are cut off
    "share": st.sampled_from([0.0, 0.5, 1.0]),  # of the columns that the screen must look at
    "kernel": st.sampled_from(NATIVE or [1]),
    "seed": st.integers(0, 9999),
}


def between_codes(rng, n, d, reach):
    """Rows that lie half-way between codes: twins may differ by one in every dimension.

    All that a row loses points to the same side, as the bounds must allow for.
    """
    along = rng.integers(-reach, reach + 1, (n, 1)) + rng.choice(ASIDE, (n, 1))
    aside = rng.integers(0, 2, (n, d)) * (rng.random((n, 1)) < 0.2)
    return (along * rng.choice([-1, 1], d) + aside).astype(np.float32)


def scale(rows, share):
    """Of step 1 from 0, whose limit leaves a share of the rows beyond it."""
    errors = np.sort(
        QuantizedRows.of(
            rows, Quantization(np.zeros(rows.shape[1], np.float32), 1.0, np.inf)
        ).errors
    )
    limit = errors[int((1 - share) * (len(errors) - 1))]
    return Quantization(np.zeros(rows.shape[1], np.float32), 1.0, float(limit))


def squared(rows, columns):
    differences = rows[:, None].astype(np.float64) - columns[None].astype(np.float64)
    return np.square(differences).sum(axis=2)


@settings(deadline=None, max_examples=300)
@given(**CASES, k=st.integers(1, 4))
def test_the_nearest_are_found(n, m, d, reach, share, kernel, seed, k):
    rng = np.random.default_rng(seed)
    rows, columns = between_codes(rng, n, d, reach), between_codes(rng, m, d, reach)
    skipped = rng.random(m) < 0.2
    chosen = scale(columns, share)
    k = min(k, int((~skipped).sum()))
    if k == 0:
        return
    best, places = np.full((n, k), np.inf), np.zeros((n, k), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        packed = PackedRows(QuantizedRows.of(columns, chosen))
        int8.lower(
            QuantizedRows.of(rows, chosen), packed, best, best_columns=places, skipped=skipped
        )
    truth = np.where(skipped, np.inf, squared(rows, columns))
    order = np.lexsort((np.broadcast_to(np.arange(m), truth.shape), truth), axis=1)[:, :k]
    np.testing.assert_allclose(best, np.take_along_axis(truth, order, axis=1), rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(truth, places, axis=1), best, rtol=1e-12)


@settings(deadline=None, max_examples=200)
@given(**CASES)
def test_those_of_other_groups_are_found_too(n, m, d, reach, share, kernel, seed):
    rng = np.random.default_rng(seed)
    rows, columns = between_codes(rng, n, d, reach), between_codes(rng, m, d, reach)
    of_rows, of_columns = (rng.integers(0, 3, size).astype(np.int32) for size in (n, m))
    chosen = scale(columns, share)
    known = np.where(rng.random(n) < 0.5, np.inf, rng.uniform(0, d, n))
    best, others = known.copy(), np.full(n, np.inf)
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        groups = Groups(of_rows, of_columns, others)
        int8.lower(
            QuantizedRows.of(rows, chosen),
            PackedRows(QuantizedRows.of(columns, chosen)),
            best,
            groups=groups,
        )
    truth = squared(rows, columns)
    np.testing.assert_allclose(best, np.minimum(known, truth.min(axis=1)), rtol=1e-12)
    truth[of_rows[:, None] == of_columns] = np.inf
    np.testing.assert_allclose(others, truth.min(axis=1), rtol=1e-12)


@settings(deadline=None, max_examples=200)
@given(**CASES)
def test_candidates_are_picked_as_the_loop_picks_them(n, m, d, reach, share, kernel, seed):
    rng = np.random.default_rng(seed)
    rows = between_codes(rng, m, d, reach)
    gaps = squared(rows, rows[:1])[:, 0]
    expected, radii = greedy(rows, min(n, m), 0)
    gaps[0] = -1.0
    with pytest.MonkeyPatch.context() as patch:
        on_kernel(patch, kernel)
        coded = QuantizedRows.of(rows, scale(rows, share))
        places, before = int8.pick(coded, gaps, min(n, m) - 1, outside=-1.0, stop=-1.0)
    assert places.tolist() == expected[1:]
    np.testing.assert_allclose(np.sqrt(before), radii[:-1], rtol=1e-12)


@pytest.mark.parametrize("kernel", NATIVE)
def test_no_pick_is_made_below_what_lies_outside_or_at_the_stop(kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    rows = rng.standard_normal((300, 7)).astype(np.float32)
    gaps = squared(rows, rows[:1])[:, 0]
    coded = QuantizedRows.of(rows, Quantization.of(rows))
    _, all_before = int8.pick(coded, gaps.copy(), 100, outside=-1.0, stop=-1.0)
    assert (np.diff(all_before) <= 0).all()
    for bounds in (
        {"outside": all_before[40], "stop": -1.0},
        {"outside": -1.0, "stop": all_before[41]},
    ):
        _, before = int8.pick(coded, gaps.copy(), 100, **bounds)
        assert before.tolist() == all_before[:41].tolist()


def test_rows_of_many_numbers_are_left_to_the_products():
    assert int8.is_available(int8.MOST_DIMS)
    assert not int8.is_available(int8.MOST_DIMS + 1)


def test_a_library_of_another_system_or_version_is_left_alone(tmp_path, monkeypatch):
    foreign = tmp_path / "screen.so"
    foreign.write_bytes(b"not for this system")
    monkeypatch.setattr(int8, "_path", lambda: foreign)
    assert int8._level.__wrapped__() == 0
    monkeypatch.undo()
    monkeypatch.setattr(int8, "INTERFACE", -1)
    assert int8._level.__wrapped__() == 0


@pytest.mark.parametrize("kernel", NATIVE)
@pytest.mark.parametrize("rows", ["nearly all", "in steps of the sample"])
def test_no_pass_is_spent_on_a_single_pick(rows, kernel, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    monkeypatch.setattr(int8_greedy, "FEWEST", 64)
    monkeypatch.setattr(int8_greedy, "SAMPLE", 100)
    features = rng.standard_normal((3000, 5)).astype(np.float32)
    if rows == "in steps of the sample":  # which sees small gaps only
        features[::30] *= 0.01
    n_keep = 2990 if rows == "nearly all" else 500
    steps = []
    picked = greedy_coreset(features, n_keep, on_progress=steps.append)
    assert picked.rows.tolist() == greedy(features, n_keep, int(picked.rows[0]))[0]
    assert len(steps) < 120
