"""The block selection against the one-at-a-time loop: same picks, how much faster.

    python benchmarks/speed/selection.py                 # 160,000 x 152, 4,000 picks

Against three loops, in one process on the same points: the oracle of the tests (differences in
float64; timed for a few picks and scaled, since every pick costs the same); the fastest form of
the loop (one float32 matrix-vector product a pick, with the norms kept), run whole for its time;
and that form in float64, run whole for its picks.  The matrix-product peak of the machine stands
beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
from tests.oracles.coreset import greedy

from environment import environment
from patchbank.core.coreset import greedy_coreset


def points(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Hard but seeded: features of low intrinsic dimension, with noise."""
    rng = np.random.default_rng(seed)
    inner = rng.standard_normal((n, 24)) * np.linspace(3, 0.3, 24)
    mixed = inner @ rng.standard_normal((24, d)) + 0.3 * rng.standard_normal((n, d))
    return mixed.astype(np.float32)


def one_at_a_time(features: np.ndarray, n_keep: int, start: int) -> np.ndarray:
    """The loop of Gonzalez (1985), one matrix-vector product a pick."""
    norms = np.einsum("nd,nd->n", features, features)
    gap = np.full(len(features), np.inf, dtype=features.dtype)
    rows, row = np.empty(n_keep, dtype=np.intp), start
    for i in range(n_keep):
        rows[i] = row
        distance = norms + norms[row] - 2 * (features @ features[row])
        np.minimum(gap, distance, out=gap)
        gap[row] = -1.0
        row = int(gap.argmax())
    return rows


def matrix_product_gflops(seconds: float = 1.0) -> float:
    """The float32 matrix-product speed of this machine, now."""
    a = np.random.default_rng(0).standard_normal((4096, 512)).astype(np.float32)
    b = a.T.copy()
    a @ b
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        a @ b
        count += 1
    return count * 2 * 4096 * 4096 * 512 / (time.perf_counter() - began) / 1e9


def main() -> None:
    """Measure and write selection.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=160_000)
    parser.add_argument("--dims", type=int, default=152)
    parser.add_argument("--picks", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    features = points(given.rows, given.dims)
    peak = matrix_product_gflops()
    greedy_coreset(features, 200)  # warm up
    ours_s = []
    for _ in range(given.repeats):
        began = time.perf_counter()
        picked = greedy_coreset(features, given.picks)
        ours_s.append(time.perf_counter() - began)
    began = time.perf_counter()
    rows = one_at_a_time(features, given.picks, int(picked.rows[0]))
    loop_s = time.perf_counter() - began
    exact = one_at_a_time(features.astype(np.float64), given.picks, int(picked.rows[0]))
    few = 12
    began = time.perf_counter()
    by_differences, _ = greedy(features, few, int(picked.rows[0]))
    oracle_s = (time.perf_counter() - began) * given.picks / few
    median = float(np.median(ours_s))
    work = 2 * given.rows * given.dims * given.picks / 1e9
    record = {
        "command": " ".join(sys.argv),
        "environment": environment(),
        "rows": given.rows,
        "dims": given.dims,
        "picks": given.picks,
        "ours_s": ours_s,
        "oracle_s_scaled": oracle_s,
        "times_faster_than_oracle": oracle_s / median,
        "first_picks_of_oracle_equal": by_differences == picked.rows[:few].tolist(),
        "one_at_a_time_s": loop_s,
        "times_faster_than_one_at_a_time": loop_s / median,
        "picks_of_float64_loop_equal_in_order": int((exact == picked.rows).sum()),
        "picks_of_float32_loop_equal_in_order": int((rows == picked.rows).sum()),
        "same_set_as_float64_loop": set(exact.tolist()) == set(picked.rows.tolist()),
        "gflops": work / median,
        "matrix_product_gflops": peak,
        "share_of_peak": work / median / peak,
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({k: v for k, v in record.items() if k != "environment"}, indent=1))


if __name__ == "__main__":
    main()
