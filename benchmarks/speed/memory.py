"""What is the peak memory of selecting a bank, as a multiple of the features?

    python benchmarks/speed/memory.py                    # 600,000 x 1024 (2.5 GB), 2,000 centres
    python benchmarks/speed/memory.py --picks 60000      # a tenth of them: 22 minutes here

The peak is that of the whole process (``ru_maxrss``) less what it held before the features were
made, which are made in place.  The selection runs as `fit` runs it: with the images that the
patches come from.
"""

from __future__ import annotations

import resource

import numpy as np

from contract import Run, arguments, measured
from patchbank.core.coreset import greedy_coreset
from patchbank.types import Features

INNER_DIMS = 32
BLOCK_ROWS = 8192


def peak_bytes() -> int:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def drawn_in_place(rows: int, dims: int, *, seed: int = 0) -> Features:
    """Features of low intrinsic dimension, made with no second array.  (rows, dims)."""
    rng = np.random.default_rng(seed)
    features = np.empty((rows, dims), dtype=np.float32)
    mixing = rng.standard_normal((INNER_DIMS, dims)).astype(np.float32)
    for begin in range(0, rows, BLOCK_ROWS):
        some = features[begin : begin + BLOCK_ROWS]
        inner = rng.standard_normal((len(some), INNER_DIMS), dtype=np.float32)
        np.matmul(inner, mixing, out=some)
    return features


def main() -> None:
    """Measure and write memory.json."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--dims", type=int, default=1024)
    parser.add_argument("--picks", type=int, default=2_000)
    parser.add_argument("--patches", type=int, default=784, help="of one image")
    run = Run(__file__, __doc__, given := parser.parse_args())
    before = peak_bytes()
    features = drawn_in_place(given.rows, given.dims)
    filled = peak_bytes()
    groups = np.arange(given.rows) // given.patches
    times, _ = measured(
        lambda: greedy_coreset(features, given.picks, groups=groups), repeats=1, warm_up=0
    )
    run.write(
        {
            "features_bytes": features.nbytes,
            "peak_bytes_before": before,
            "peak_bytes_with_features": filled,
            "peak_bytes": peak_bytes(),
            "peak_over_features": (peak_bytes() - before) / features.nbytes,
            "selection": times.to_json(),
        }
    )


if __name__ == "__main__":
    main()
