"""Does the threshold keep its false-alarm rate where photographs come in series?

    python benchmarks/quality/series.py ../shared/data/screw ../shared/data/mtd --solar-cells

From good photographs of a set some are drawn, and made into series (`KINDS`); a detector learns
them, with the groups that `fit` finds by itself, and with ``groups="none"`` beside.  Other good
photographs of the set, in no series, are unseen good parts: how many of them are called anomalous
where 5 % was asked?  A single draw of 31 photographs has 0 to 20 %, whatever is done; so the
originals alone, in no series, are learned too.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import SPADE, GraphCore, PaDiM, PatchCore, SimpleNet
from patchbank.datasets import find_dataset, good_images
from patchbank.datasets.elpv import solar_cells
from patchbank.images.source import image_source
from patchbank.training.recipes import Recipe
from patchbank.types import Image

HERE = Path(__file__).parent
RATE = 0.05
N_ORIGINALS, N_UNSEEN = 31, 60
METHODS: dict[str, Callable[..., Recipe]] = {
    "patchcore fast": lambda **chosen: PatchCore.preset("fast", **chosen),
    "padim": PaDiM,
    "spade": SPADE,
    "graphcore": GraphCore,
    "simplenet": SimpleNet,  # needs the extra torch
}


def bursts(images: Sequence[Image], rng: np.random.Generator) -> Iterator[Image]:
    """Each photograph, and four that are slightly shifted, brightened and compressed again."""
    for image in images:
        yield image
        for _ in range(4):
            yield _edited(image, rng)


def bursts_of_any_length(images: Sequence[Image], rng: np.random.Generator) -> Iterator[Image]:
    """The same with one to eight frames of each photograph."""
    for image in images:
        yield image
        for _ in range(int(rng.integers(0, 8))):
            yield _edited(image, rng)


def panning(images: Sequence[Image], rng: np.random.Generator) -> Iterator[Image]:
    """Five frames of a window that moves over each photograph."""
    for image in images:
        height, width = image.shape[:2]
        for step in range(5):
            left = step * int(0.3 * width) // 4
            yield image[height // 8 : height - height // 8, left : left + int(0.7 * width)]


def _edited(image: Image, rng: np.random.Generator) -> Image:
    down, across = rng.integers(-3, 4, 2)
    moved = np.roll(image, (int(down), int(across)), (0, 1)).astype(np.float32)
    moved = moved * rng.uniform(0.96, 1.04) + rng.uniform(-4, 4)
    file = io.BytesIO()
    quality = int(rng.integers(80, 95))
    pillow.fromarray(moved.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(pillow.open(file).convert("RGB"))


def window(image: Image) -> Image:
    """An unseen photograph as a film that pans shows it: the middle frame."""
    height, width = image.shape[:2]
    left = 2 * int(0.3 * width) // 4
    return image[height // 8 : height - height // 8, left : left + int(0.7 * width)]


Make = Callable[[Sequence[Image], np.random.Generator], Iterator[Image]]
KINDS: dict[str, tuple[Make, Callable[[Image], Image], tuple[str, ...]]] = {
    "bursts": (bursts, lambda image: image, tuple(METHODS)),
    "bursts of any length": (bursts_of_any_length, lambda image: image, ("patchcore fast",)),
    "panning": (panning, window, ("patchcore fast",)),
    "no series": (lambda images, rng: iter(images), lambda image: image, ("patchcore fast",)),
}


def run(paths: Sequence[Path], kind: str, method: str, size: int, draw: int) -> dict[str, Any]:
    """One draw: both ways of leaving photographs out."""
    make, unseen_view, _ = KINDS[kind]
    rng = np.random.default_rng(draw)
    order = rng.permutation(len(paths))
    n = N_ORIGINALS if kind != "no series" else 4 * N_ORIGINALS
    learned, unseen = order[:n], order[n : n + N_UNSEEN]
    images = list(make([image_source(paths[i]).read() for i in learned], rng))
    new = [unseen_view(image_source(paths[i]).read()) for i in unseen]
    found: dict[str, Any] = {"photographs": len(images), "unseen": len(new)}
    alone = [unseen_view(image_source(paths[i]).read()) for i in learned]
    ways = {"auto": ("auto", images), "none": ("none", images), "originals": ("none", alone)}
    for way, (groups, photographs) in ways.items():
        recipe = METHODS[method](image_size=size, false_alarm_rate=RATE)
        began = time.process_time()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            detector = recipe.fit(photographs, groups=groups)
        scores = np.array([seen.score for seen in detector.predict_each(new)])
        found[way] = {
            "false_alarms": float((scores > detector.calibration.threshold).mean()),
            "groups": detector.calibration.n_groups,
            "fit_cpu_s": round(time.process_time() - began, 1),
            "said": [str(one.message)[:160] for one in said],
        }
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The results as a table of Markdown, means over the draws."""
    lines = [
        "| series | method | set | draws | groups | false alarms | with groups none | "
        "originals alone |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    cells: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["kind"], row["method"], row["set"]), []).append(row)
    for names, some in cells.items():
        alarms = [
            np.mean([row[way]["false_alarms"] for row in some])
            for way in ("auto", "none", "originals")
        ]
        groups = np.mean([row["auto"]["groups"] for row in some])
        shown = " | ".join(f"{share:.0%}" for share in alarms)
        lines.append(f"| {' | '.join(names)} | {len(some)} | {groups:.0f} | {shown} |")
    return "\n".join(lines)


def write(rows: Sequence[dict[str, Any]], image_size: int) -> None:
    """Write all results so far as series.json and series.md beside this file."""
    about = {"command": " ".join(["python", *sys.argv]), "environment": environment()}
    content = {**about, "asked": RATE, "image_size": image_size, "rows": rows}
    (HERE / "series.json").write_text(json.dumps(content, indent=1) + "\n")
    (HERE / "series.md").write_text(
        f"# Photographs in series\n\n{(__doc__ or '').split(chr(10) * 2, 2)[2].strip()}\n\n"
        f"Input of {image_size} pixels, {N_ORIGINALS} originals; asked {RATE:.0%}. "
        f"`{about['command']}`\n\n{table(rows)}\n"
    )


def main() -> None:
    """Measure, and write the results after each of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--solar-cells", action="store_true")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--keep", action="store_true", help="the results of other methods stay")
    chosen = parser.parse_args()
    pools: dict[str, list[Path]] = {}
    for root in chosen.sets:
        good = [Path(str(path)) for path in good_images(root)]
        good += [s.path for s in find_dataset(root).samples if not s.is_defect]
        pools[root.name] = good
    if chosen.solar_cells:
        learned, dataset = solar_cells()
        pools["solar cells"] = [*learned, *(s.path for s in dataset.samples if not s.is_defect)]
    rows: list[dict[str, Any]] = []
    if chosen.keep:
        before = json.loads((HERE / "series.json").read_text())["rows"]
        rows = [row for row in before if row["method"] not in chosen.methods]
    for draw in range(chosen.draws):  # the outer loop: an interrupted run has all cells
        for kind in chosen.kinds:
            for method in (m for m in KINDS[kind][2] if m in chosen.methods):
                for name, paths in pools.items():
                    found = run(paths, kind, method, chosen.image_size, draw)
                    rows.append({"kind": kind, "method": method, "set": name, **found})
                    print(json.dumps(rows[-1]), flush=True)
                    write(rows, chosen.image_size)


if __name__ == "__main__":
    main()
