"""Peak memory of selecting a bank, as a multiple of the features.

    python benchmarks/speed/memory.py                    # 600,000 x 1024 (2.5 GB), 2,000 picks
    python benchmarks/speed/memory.py --picks 60000      # a tenth of them: 22 minutes here

The peak is that of the whole process (``ru_maxrss``) less what it held before the features were
made, which are made in place.  The selection runs as `fit` runs it: with the images that the
patches come from.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank.core.coreset import greedy_coreset


def peak_bytes() -> int:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure and write memory.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--dims", type=int, default=1024)
    parser.add_argument("--picks", type=int, default=2_000)
    parser.add_argument("--patches", type=int, default=784, help="of one image")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    before = peak_bytes()
    rng = np.random.default_rng(0)
    features = np.empty((given.rows, given.dims), dtype=np.float32)
    mixing = rng.standard_normal((32, given.dims)).astype(np.float32)
    for begin in range(0, given.rows, 8192):
        some = features[begin : begin + 8192]
        inner = rng.standard_normal((len(some), 32), dtype=np.float32)
        np.matmul(inner, mixing, out=some)
    filled = peak_bytes()
    began = time.perf_counter()
    picked = greedy_coreset(features, given.picks, groups=np.arange(given.rows) // given.patches)
    record = {
        "command": " ".join(sys.argv),
        "environment": environment(),
        "rows": given.rows,
        "dims": given.dims,
        "picks": len(picked.rows),
        "features_bytes": features.nbytes,
        "peak_bytes_before": before,
        "peak_bytes_with_features": filled,
        "peak_bytes": peak_bytes(),
        "peak_over_features": (peak_bytes() - before) / features.nbytes,
        "seconds": time.perf_counter() - began,
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
