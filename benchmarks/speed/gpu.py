"""How fast is a whole MVTec class at 10 % on a GPU: selection, search, fit and predict?

    python benchmarks/speed/gpu.py                        # needs the extra ``torch`` and a GPU
    python benchmarks/speed/gpu.py --with-anomalib        # and anomalib, for the ratio
    python benchmarks/speed/gpu.py --device cpu --rows 20000 --picks 500 --fit-images 20
                                                          # to try the script

188,160 x 1024 features (240 images of 28 x 28 patches), 18,816 centres, and the same selection by
the processors of that machine.  Fit and predict are those of the presets official and anomalib on
240 drawn photographs in memory, with Wide ResNet-50 and random weights.  The device is waited for
inside what is timed.  anomalib's selection makes one pass a centre; it is timed for
`--anomalib-picks` of them and for a quarter of these, and extrapolated by the difference per
centre, on the same points and device.  Its model predicts by the bank of our preset anomalib, one
photograph at a time and in batches.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from contract import Run, Times, arguments, measured
from patchbank import Detector, PatchCore
from patchbank.backbones.timm import describe_timm, run_timm
from patchbank.core.coreset import Coreset, greedy_coreset
from patchbank.core.neighbours import ExactIndex
from patchbank.core.spatial.patch_embedding import concatenated
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.torch_device import GPU_TILE_FACTOR, TorchDevice, full_float32
from patchbank.types import Features
from synthetic import drawn

BACKBONE = "wide_resnet50_2.tv_in1k"  # with random weights: speed does not depend on them
ARCHITECTURE = BACKBONE.partition(".")[0]
PATCHES = 784
SIDE = 256
PRESETS = ("official", "anomalib")


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
    network = timm.create_model(ARCHITECTURE, num_classes=0)
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


def selected(
    features: Features, n_picks: int, device: Device, repeats: int
) -> tuple[Times, Coreset]:
    """Seconds of the selection on a device, and what it selects."""
    groups = np.arange(len(features)) // PATCHES
    with full_float32():
        greedy_coreset(features[:20_000], 200, device=device)  # warm up
        return measured(
            lambda: greedy_coreset(features, n_picks, groups=groups, device=device),
            repeats=repeats,
            warm_up=0,
            wait=waiting(device.name),
        )


def photographs(n: int) -> list[NDArray[np.uint8]]:
    """Drawn textures, each another one: (SIDE, SIDE, 3) uint8."""
    rng = np.random.default_rng(0)
    drawings = []
    for _ in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        fine = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = fine + rng.integers(-20, 21, fine.shape)
        drawings.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return drawings


def of_detectors(
    place: str, n_learned: int, n_seen: int, weights: Path
) -> tuple[dict[str, Any], dict[str, Detector]]:
    """Seconds of a fit and photographs a second of a detector, as a whole and in memory."""
    images = photographs(n_learned + n_seen)
    learned, seen = images[:n_learned], images[n_learned:]
    found, detectors = {}, {}
    for name in PRESETS:
        recipe = PatchCore.preset(name, weights=str(weights))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few photographs in a trial of the script
            recipe.fit(learned[:8], device=place)  # warm up
            fitted, detector = measured(
                lambda recipe=recipe: recipe.fit(learned, device=place), repeats=1, warm_up=0
            )
        times, _ = measured(lambda detector=detector: list(detector.predict(seen)), repeats=3)
        found[name] = {
            "fit": fitted.to_json(),
            "bank_rows": detector.bank_sizes[-1],
            "predict": times.to_json(),
            "photographs_per_second": n_seen / times.median_s,
        }
        detectors[name] = detector
    return found, detectors


def photographs_per_second_of_anomalib(
    place: str, bank: NDArray[np.float32], n: int, batches: tuple[int, ...] = (1, 8, 32)
) -> dict[str, float]:
    """The bare model of anomalib with a bank, on decoded photographs, in batches."""
    from anomalib.models import Patchcore

    whole = Patchcore(
        backbone=ARCHITECTURE,
        pre_trained=False,
        pre_processor=False,
        post_processor=False,
        evaluator=False,
        visualizer=False,
    )
    model = whole.model.eval().to(place)
    model.memory_bank = torch.from_numpy(bank).to(place)
    images = [torch.from_numpy(image).permute(2, 0, 1) / 255 for image in photographs(n)]

    def run(batch: int) -> None:
        with torch.inference_mode():
            for begin in range(0, n, batch):
                some = torch.stack(images[begin : begin + batch]).to(place)
                found = model(some)
                found.pred_score.cpu(), found.anomaly_map.cpu()

    rates = {}
    for batch in batches:
        times, _ = measured(lambda batch=batch: run(batch), repeats=3)
        rates[str(batch)] = n / times.median_s
    return rates


def main() -> None:
    """Measure and write gpu.json."""
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--rows", type=int, default=188_160)
    parser.add_argument("--dims", type=int, default=1024)
    parser.add_argument("--picks", type=int, default=18_816)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--fit-images", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--with-anomalib", action="store_true")
    parser.add_argument("--anomalib-picks", type=int, default=400)
    given = parser.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("expected a GPU that torch can use, got none")
    run = Run(__file__, __doc__, given)
    is_gpu = given.device.startswith("cuda")
    device = TorchDevice(given.device, tile_factor=GPU_TILE_FACTOR if is_gpu else 1)
    features = drawn(given.rows, given.dims)
    peak = matrix_product_tflops(given.device)
    times, picked = selected(features, given.picks, device, given.repeats)
    of_processors, the_same = selected(features, given.picks, HOST, 1)
    with full_float32():
        rates = images_per_second(device, features[picked.centres], given.images)
    gflops = 2 * given.rows * given.dims * given.picks / times.median_s / 1e9
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if is_gpu else "cpu",
        "versions": {"torch": torch.__version__},
        "selection": times.to_json(),
        "selection_by_processors": of_processors.to_json(),
        "picks_as_of_processors": int(np.sum(picked.centres == the_same.centres)),
        "matrix_product_tflops": peak,
        "share_of_peak": gflops / 1e3 / peak,
        "images_per_second": rates,
    }
    if is_gpu:
        results["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    run.write(results)  # a machine that is lent may be gone before the end
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        save_file(timm.create_model(ARCHITECTURE).state_dict(), weights)
        fits, detectors = of_detectors(given.device, given.fit_images, given.images, weights)
    results["detectors"] = fits
    run.write(results)
    if given.with_anomalib:
        there = torch.from_numpy(features).to(given.device)
        theirs = of_anomalib(there, given.anomalib_picks, given.picks)
        del there
        bank = detectors["anomalib"].members[0].model.tensors()["bank"]
        results |= {
            "anomalib_s_scaled": theirs,
            "times_faster_than_anomalib": theirs / times.median_s,
            "anomalib_photographs_per_second": photographs_per_second_of_anomalib(
                given.device, bank, given.images
            ),
        }
    run.write(results)


if __name__ == "__main__":
    main()
