"""How near does the selection come to the matrix-product peak, at the size of a whole data set?

    python benchmarks/speed/large_selection.py                    # 597,000 x 152, 59,700 centres
    python benchmarks/speed/large_selection.py --photographs ../shared/data/mtd

The rate counts the 2 n m d operations of the loop, divided by the seconds; the peak is that of
numpy's float32 products, the larger of before and after.  Once without groups, and once with the
photographs that the patches come from, as `fit` selects, which also gives leave-one-out distances.
With --photographs the same for all patches of its good ones, at 224 pixels with the small backbone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from contract import Run, arguments, matrix_product_gflops, measured
from patchbank import PatchCore
from patchbank.core.coreset import greedy_coreset
from patchbank.datasets import good_images
from patchbank.types import Features, Indices
from synthetic import drawn, photographed

RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=224, scales=(1.0,), patch_stride=1)
PATCHES = 784


def rates(features: Features, groups: Indices, picks: int, repeats: int) -> dict[str, Any]:
    """Seconds and share of the peak, without and with groups."""
    n, d = features.shape
    found: dict[str, Any] = {"rows": n, "dims": d, "picks": picks}
    for name, of_rows in (("without_groups", None), ("with_groups", groups)):
        peak = matrix_product_gflops()
        greedy_coreset(features[:20_000], 200)  # warm up: the whole would take minutes
        times, _ = measured(
            lambda of_rows=of_rows: greedy_coreset(features, picks, groups=of_rows),
            repeats=repeats,
            warm_up=0,
        )
        peak = max(peak, matrix_product_gflops())
        gflops = 2 * n * picks * d / times.median_s / 1e9
        found[name] = {
            **times.to_json(),
            "gflops": gflops,
            "matrix_product_gflops": peak,
            "share_of_peak": gflops / peak,
        }
    return found


def main() -> None:
    """Measure and write large_selection.json."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=597_000)
    parser.add_argument("--dims", type=int, default=152)
    parser.add_argument("--share", type=float, default=0.1, help="of the rows that is selected")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--photographs", type=Path, help="a data set in MVTec layout")
    run = Run(__file__, __doc__, given := parser.parse_args())
    features, groups = drawn(given.rows, given.dims), np.arange(given.rows) // PATCHES
    picks = int(given.rows * given.share)
    results = {"drawn": rates(features, groups, picks, given.repeats)}
    if given.photographs:
        features, groups = photographed(good_images(given.photographs), RECIPE)
        picks = int(len(features) * given.share)
        results["photographed"] = rates(features, groups, picks, given.repeats)
    run.write(results)


if __name__ == "__main__":
    main()
