"""How far is the map of a SPADE model from one whose layers are enlarged one by one?

    python benchmarks/quality/spade_fusion.py ../shared/data/screw

The published code enlarges the distances of each layer to pixels and averages those maps; a model
here averages them on the first layer's grid, and enlarges once.  Both maps are made of white noise
on grids of many shapes (the worst case), and of photographs: every third of the test photographs,
against a gallery of every fifth good one.  A difference is a share of the range of the published
map.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import SPADE
from patchbank.core.spatial import anomaly_map
from patchbank.detector.preprocessing import extract
from patchbank.evaluation.metrics.curves import auroc, count_images
from patchbank.images.source import read_image
from patchbank.methods.spade.gallery import ImageFeatures
from patchbank.methods.spade.model import fused, pixel_distances
from patchbank.types import AnomalyMap, PatchGrid

RESULTS = Path(__file__).with_suffix(".json")
N_SHAPES, SIDES, LAYERS, STRIDES = 300, (8, 61), (2, 5), (4, 8)
EVERY_GOOD, EVERY_TEST = 5, 3


def maps_of(grids: list[PatchGrid], size: tuple[int, int]) -> tuple[AnomalyMap, AnomalyMap]:
    """The map of a model, and that of the published code.  -> (H, W) each."""
    sigma = anomaly_map.scaled_sigma(4.0, size)
    ours = anomaly_map.anomaly_map(fused(grids, grids[0].shape), size, sigma=sigma)
    each = [anomaly_map.anomaly_map(grid, size, sigma=sigma) for grid in grids]
    return ours, np.mean(each, axis=0)


def summary(pairs: list[tuple[AnomalyMap, AnomalyMap]]) -> dict[str, float]:
    """Largest difference of each pair of maps, and the lowest correlation."""
    largest = [float(np.abs(a - b).max() / np.ptp(b)) for a, b in pairs]
    return {
        "maps": len(pairs),
        "largest_difference_max": max(largest),
        "largest_difference_median": float(np.median(largest)),
        "correlation_min": min(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairs),
    }


def of_noise() -> dict[str, float]:
    """White noise on two to four layers, each of half the side of the one before."""
    rng, pairs = np.random.default_rng(0), []
    for _ in range(N_SHAPES):
        h, w = rng.integers(*SIDES, 2)
        stride = int(rng.choice(STRIDES))
        sides = [(-(-h // 2**n), -(-w // 2**n)) for n in range(int(rng.integers(*LAYERS)))]
        grids = [rng.normal(5, 1, side).astype(np.float32) for side in sides]
        pairs.append(maps_of(grids, (int(h) * stride, int(w) * stride)))
    return summary(pairs)


def of_photographs(data: Path) -> dict[str, float]:
    """Photographs of a category in the layout of MVTec AD, with the default settings."""
    good = sorted((data / "train" / "good").iterdir())[EVERY_GOOD - 1 :: EVERY_GOOD]
    member = SPADE().fit(good).members[0]
    pairs, masks = [], []
    for path in sorted(data.glob("test/*/*.png"))[::EVERY_TEST]:
        maps, geometry = extract(member.extractor, member.settings, read_image(path))
        features = ImageFeatures.of(member.settings, maps)
        similar, _ = member.model.gallery.similar(features.pooled, member.settings.n_images)
        grids = [
            pixel_distances(plane, member.model.gallery.pixels(number, similar), 1)
            for number, plane in enumerate(features.planes)
        ]
        pairs.append(maps_of(grids, geometry.input_size))
        masks.append(_mask(data, path, geometry.input_size))
    truth = np.concatenate([mask.ravel() for mask in masks])
    ours, published = (np.concatenate([pair[n].ravel() for pair in pairs]) for n in (0, 1))
    areas = {
        "pixel_auroc": auroc(count_images(ours, truth)),
        "pixel_auroc_published": auroc(count_images(published, truth)),
    }
    return {**summary(pairs), **areas}


def _mask(data: Path, path: Path, size: tuple[int, int]) -> Any:
    """The mask of a test photograph at the network's input, (H, W); all false for a good one."""
    file = data / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
    if not file.exists():
        return np.zeros(size, bool)
    whole = read_image(file)[..., 0] > 0
    rows, columns = (np.arange(n) * side // n for n, side in zip(size, whole.shape, strict=True))
    return whole[np.ix_(rows, columns)]


def main() -> None:
    """Measure both, and write the results next to the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a category in the layout of MVTec AD")
    data = parser.parse_args().data
    record = {
        "question": __doc__.splitlines()[0],
        "command": f"python benchmarks/quality/spade_fusion.py {data}",
        "environment": environment(),
        "settings": {"shapes": N_SHAPES, "every_good": EVERY_GOOD, "every_test": EVERY_TEST},
        "results": {"noise": of_noise(), data.name: of_photographs(data)},
    }
    RESULTS.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print(json.dumps(record["results"], indent=2))


if __name__ == "__main__":
    main()
