"""How fast is a whole MVTec class at 10 % on a GPU: selection, search, Wide ResNet-50 features?

    python benchmarks/speed/gpu.py                        # needs the extra ``torch`` and a GPU
    python benchmarks/speed/gpu.py --with-anomalib        # and anomalib, for the ratio
    python benchmarks/speed/gpu.py --device cpu --rows 20000 --picks 500     # to try the script

188,160 x 1024 features (240 images of 28 x 28 patches), 18,816 centres.  The device is waited for
inside what is timed.  anomalib's selection makes one pass a centre; it is timed for
`--anomalib-picks` of them and for a quarter of these, and extrapolated by the difference per
centre, on the same points and device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import timm
import torch

from contract import Run, arguments, measured
from patchbank.backbones.timm import describe_timm, run_timm
from patchbank.core.coreset import greedy_coreset
from patchbank.core.neighbours import ExactIndex
from patchbank.core.spatial.patch_embedding import concatenated
from patchbank.runtime.torch_device import GPU_TILE_FACTOR, TorchDevice, full_float32
from synthetic import drawn

BACKBONE = "wide_resnet50_2.tv_in1k"  # with random weights: speed does not depend on them
PATCHES = 784


def waiting(place: str) -> Callable[[], Any]:
    """What waits until a device has nothing left to do."""
    return torch.cuda.synchronize if place.startswith("cuda") else lambda: None


def matrix_product_tflops(place: str) -> float:
    """The float32 matrix-product speed of the device, without TF32."""
    side = 8192 if place.startswith("cuda") else 1024
    a = torch.randn(side, side, device=place)
    with full_float32():
        times, _ = measured(lambda: a @ a, repeats=5, wait=waiting(place))
    return 2 * side**3 / min(times.all_s) / 1e12


def of_anomalib(features: torch.Tensor, picks: int, of: int) -> float:
    """Seconds that anomalib's selection would take: a line through those of fewer centres."""
    from anomalib.models.components.sampling import KCenterGreedy

    def seconds(count: int) -> float:
        run = KCenterGreedy(features, sampling_ratio=(count + 0.5) / len(features))
        wait = waiting(str(features.device))
        return measured(run.select_coreset_idxs, repeats=1, warm_up=0, wait=wait)[0].median_s

    seconds(8)  # warm up
    short, long = seconds(picks // 4), seconds(picks)
    slope = (long - short) / (picks - picks // 4)
    return long + slope * (of - picks)


def images_per_second(device: TorchDevice, bank: np.ndarray, count: int) -> dict[str, float]:
    """Extraction alone, and with embedding and search, of decoded 224 x 224 images."""
    network = timm.create_model(BACKBONE.partition(".")[0], num_classes=0)
    extractor = run_timm(describe_timm(BACKBONE), network, None, device)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    width = concatenated(extractor(images[0])).shape[2]
    index = ExactIndex(np.resize(bank, (len(bank), width)), device)

    def whole(image: np.ndarray) -> None:
        embedding = concatenated(extractor(image))
        index.nearest(embedding.reshape(-1, width))

    rates = {}
    for name, run in (("features", extractor), ("features_and_search", whole)):
        run(images[0])
        times, _ = measured(
            lambda run=run: [run(images[i % len(images)]) for i in range(count)],
            repeats=1,
            warm_up=0,
            wait=waiting(device.name),
        )
        rates[name] = count / times.median_s
    return rates


def main() -> None:
    """Measure and write gpu.json."""
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--rows", type=int, default=188_160)
    parser.add_argument("--dims", type=int, default=1024)
    parser.add_argument("--picks", type=int, default=18_816)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--with-anomalib", action="store_true")
    parser.add_argument("--anomalib-picks", type=int, default=400)
    given = parser.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("expected a GPU that torch can use, got none")
    run = Run(__file__, __doc__, given)
    factor = GPU_TILE_FACTOR if given.device.startswith("cuda") else 1
    device = TorchDevice(given.device, tile_factor=factor)
    features = drawn(given.rows, given.dims)
    groups = np.arange(given.rows) // PATCHES
    peak = matrix_product_tflops(given.device)
    with full_float32():
        greedy_coreset(features[:20_000], 200, device=device)  # warm up
        times, picked = measured(
            lambda: greedy_coreset(features, given.picks, groups=groups, device=device),
            repeats=given.repeats,
            warm_up=0,
            wait=waiting(given.device),
        )
    with full_float32():
        rates = images_per_second(device, features[picked.centres], given.images)
    gflops = 2 * given.rows * given.dims * given.picks / times.median_s / 1e9
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if given.device.startswith("cuda") else "cpu",
        "versions": {"torch": torch.__version__},
        "selection": times.to_json(),
        "matrix_product_tflops": peak,
        "share_of_peak": gflops / 1e3 / peak,
        "images_per_second": rates,
    }
    if given.device.startswith("cuda"):
        results["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    if given.with_anomalib:
        there = torch.from_numpy(features).to(given.device)
        theirs = of_anomalib(there, given.anomalib_picks, given.picks)
        results |= {
            "anomalib_s_scaled": theirs,
            "times_faster_than_anomalib": theirs / times.median_s,
        }
    run.write(results)


if __name__ == "__main__":
    main()
