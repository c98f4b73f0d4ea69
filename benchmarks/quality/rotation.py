"""How far features change when the photograph turns: plain, rotated-bank and graph features.

    python benchmarks/quality/rotation.py ../shared/data/screw ../shared/data/mtd

For each of some good photographs, the bank holds all its patches (and those of its turned copies,
where the method learns them).  The photograph is turned, and each patch that still shows it is
searched in that bank.  The median distance is divided by that of the patches of *another*
good photograph from the same bank: 0 is no change, 1 is as far as another part.
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
from patchbank.backbones import open_backbone
from patchbank.datasets import good_images
from patchbank.detector.preprocessing import extract
from patchbank.images.augment import Augmentation
from patchbank.images.source import read_image
from patchbank.methods import METHODS, Settings, TrainingImage
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.types import Image

HERE = Path(__file__).parent
ANGLES = (90.0, 180.0, 270.0, 22.5, 45.0, 7.5, 30.0, 100.0)
FEATURES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("patchcore", {}),
    "rotated bank, 8": ("patchcore", {"rotations": 8}),
    "rotated bank, 24": ("patchcore", {"rotations": 24}),
    "graph beside features": ("graphcore", {}),
}


def shares_of(
    method: str, changes: dict[str, Any], photograph: Image, other: Image
) -> dict[float, float]:
    """The change that turning a photograph makes, by angle, as a share of another part's."""
    settings: Settings = METHODS[method].settings.from_mapping({"selection": "all", **changes})
    extractor = open_backbone(settings.backbone, settings.layers)

    def looked_at(copy: Augmentation) -> TrainingImage:
        maps, geometry = extract(extractor, settings, copy.of(photograph))
        inside = copy.inside(photograph.shape[:2], geometry.feature_grid, geometry.crop_shares)
        return TrainingImage(maps, 0, None if copy.is_original else inside)

    examples = [looked_at(copy) for copy in settings.copies]
    learner = METHODS[method].learner(settings, len(examples), NullProgress(), HOST)
    for example in examples:
        learner.add(example)
    model = learner.fit().model
    far = np.median(model.score(extract(extractor, settings, other)[0]).patch_scores)
    shares = {}
    for angle in ANGLES:
        turned = looked_at(Augmentation(angle))
        scored = model.score(turned.maps)
        seen = turned.cells_inside(scored.patch_scores.shape, scored.stride)
        shares[angle] = float(np.median(scored.patch_scores.ravel()[seen]) / far)
    return shares


def main() -> None:
    """Measure all features at all angles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--photographs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "rotation")
    given = parser.parse_args()
    results = []
    for root in given.roots:
        photographs = [read_image(path) for path in good_images(root)[: given.photographs]]
        for name, (method, changes) in FEATURES.items():
            found = [
                shares_of(method, changes, photograph, photographs[number - 1])
                for number, photograph in enumerate(photographs)
            ]
            for angle in ANGLES:
                shares = [of_one[angle] for of_one in found]
                results.append(
                    {"dataset": root.name, "features": name, "angle": angle, "shares": shares}
                )
                print(f"{root.name} {name} {angle}: {np.median(shares):.2f}", flush=True)
    record = {"command": " ".join(sys.argv), "environment": environment(), "results": results}
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    given.out.with_suffix(".md").write_text(_page(record, given.roots))


def _page(record: dict[str, Any], roots: list[Path]) -> str:
    where = record["environment"]
    lines = [
        "# What turning the photograph does to features",
        "",
        f"Made by `python {record['command']}` on {where['processor']}, commit {where['commit']}. "
        "Median over photographs (range) of the median distance of a turned photograph's patches "
        "to the bank of the same photograph, as a share of the distance of another part's patches.",
    ]
    for root in roots:
        lines += ["", f"## {root.name}", "", "| angle | " + " | ".join(FEATURES) + " |"]
        lines += ["|--:|" + "--:|" * len(FEATURES)]
        for angle in ANGLES:
            cells = []
            for name in FEATURES:
                shares = next(
                    r["shares"]
                    for r in record["results"]
                    if (r["dataset"], r["features"], r["angle"]) == (root.name, name, angle)
                )
                cells.append(f"{np.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")
            lines.append(f"| {angle:g}° | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
