"""What memory and time do the pixel metrics of a thousand maps of 1024 x 1024 take?

    python benchmarks/speed/pixel_metrics.py --cases 0 1
    python benchmarks/speed/pixel_metrics.py --cases 2 --maps 500

Maps are made on demand from 64 x 64 patch scores, as `evaluate` makes them; good ones lie around
8, defect ones around 11.  The third case takes their eighth power, which spreads the maps over more
distinct scores.  Each case runs in a process of its own; the peak is that of the whole process
(``ru_maxrss``).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from contract import Run, arguments
from patchbank.core.spatial.anomaly_map import anomaly_map
from patchbank.evaluation.metrics import PixelCounter
from patchbank.types import AnomalyMap, Mask

PATCHES = 64
CASES = ((0.05, 1), (0.3, 1), (0.3, 8))
"""Share of defect pixels, and power of the patch scores."""


def images(count: int, side: int, share: float, power: int) -> Iterator[tuple[AnomalyMap, Mask]]:
    """Make maps with masks; a square of `share` of the pixels is defective."""
    for number in range(count):
        rng = np.random.default_rng(number)
        scores = rng.gamma(16.0, 0.5, (PATCHES, PATCHES)).astype(np.float32)
        inside = round(PATCHES * share**0.5)
        top, left = rng.integers(0, PATCHES - inside + 1, 2)
        scores[top : top + inside, left : left + inside] += 3
        cell = side // PATCHES
        mask = np.zeros((side, side), dtype=np.bool_)
        mask[top * cell : (top + inside) * cell, left * cell : (left + inside) * cell] = True
        scores **= power
        yield anomaly_map(scores, (side, side), (side, side), sigma=4 * side / 224), mask


def measure(count: int, side: int, share: float, power: int) -> dict[str, Any]:
    """Compute the metrics in this process."""
    passes = 0

    def counted() -> Iterator[tuple[AnomalyMap, Mask]]:
        nonlocal passes
        passes += 1
        yield from images(count, side, share, power)

    began = time.perf_counter()
    for _ in images(count, side, share, power):
        pass
    maps_s = time.perf_counter() - began
    began = time.perf_counter()
    metrics = PixelCounter(counted).metrics()
    seconds = time.perf_counter() - began
    return {
        "maps": count,
        "side": side,
        "defect_share": share,
        "power": power,
        "auroc": metrics.auroc,
        "average_precision": metrics.average_precision,
        "f1_max": metrics.f1_max,
        "aupro": metrics.aupro,
        "passes": passes,
        "seconds": seconds,
        "seconds_without_making_maps": seconds - passes * maps_s,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    """Measure the cases and write pixel_metrics.json."""
    parser = arguments(__doc__)
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(len(CASES))))
    parser.add_argument("--one", type=int, metavar="NUMBER", help="one case, in this process")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.maps, given.side, *CASES[given.one])))
        return
    run = Run(__file__, __doc__, given)
    results = {}
    for number in given.cases:
        sizes = ["--maps", str(given.maps), "--side", str(given.side)]
        command = [sys.executable, __file__, "--one", str(number), *sizes]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[f"case {number}"] = json.loads(done.stdout)
    run.write(results)


if __name__ == "__main__":
    main()
