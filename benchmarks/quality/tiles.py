"""Small defects in large photographs: what tiles find, and their time and memory.

    python benchmarks/quality/tiles.py ../shared/data/mtd

*Photographs* of 4000 x 3000 pixels, each of 12 solar cells (package elpv-dataset, functional
mono-crystalline ones) or of 12 magnetic tiles (if their folder is given; the middle square of good
ones), enlarged to 984 x 984, with dark gaps of 16 pixels between them, smoothed by 1.5 pixels as by
a lens, and the noise of a sensor (sd 3 of 255) added.  No cell or tile is in two photographs, so
that new ones differ from the learned ones as those do from each other.  *Specks*: a disc of 6
pixels, 0.25 of the range of grey lighter or darker, smoothed by 0.7 pixels, anywhere; three draws
in each tested photograph, one at a time.  Each tested photograph is inspected without a speck and
with each of them; tiles that a speck does not reach have the scores that they had without it, and
are not computed again but for the first one, where this is checked.  *Default*: the same fit
without tiles.

*Large*: photographs of 100 megapixels of solar cells, 2 learned and 1 inspected, with few rows in
the bank, which has no part in memory but saves time.  *Remainder*: how
far features at the borders of tiles are from those of the whole photograph.

Each fit and each inspection is a process of its own, whose peak memory is measured.  Writes
tiles.json and tiles.md.  It takes about an hour on two cores; with `--keep FOLDER`, what an earlier
run has done there is not done again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiles_photographs import (
    CONTRAST,
    DRAWS,
    NOISE,
    SIDE_PX,
    SPECK_PX,
    magnetic_tiles,
    make,
    solar_cells,
)

from environment import environment
from patchbank import PatchCore, load
from patchbank.backbones import open_backbone
from patchbank.core.spatial.regions import find_regions
from patchbank.datasets import good_images
from patchbank.detector.inspection import Inspection
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.preprocessing import extract
from patchbank.detector.tiling import MARGIN_CELLS, Tiling, photograph_scores
from patchbank.images.source import read_image
from patchbank.methods import TileScorer
from patchbank.types import Image

HERE = Path(__file__).parent
RATE = 0.05
GRID, LARGE_GRID = (3, 4), (10, 10)
STEPS = ("fit", "inspect")
MARGINS = (16, 32, 48, 64, 96, 128, 160, 192)
LAYERS = [
    (backbone, layer)
    for backbone in ("efficientnet_lite0", "efficientnet_lite2")
    for layer in ("blocks.2", "blocks.4")
]
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "tiles": {"tiles": True},
    "default": {},
    "large": {"tiles": True, "bank_rows": 500},
}


def fit(folder: Path, variant: str) -> dict[str, Any]:
    """Fit and save, in this process."""
    warnings.simplefilter("ignore")
    detector = PatchCore(**VARIANTS[variant], false_alarm_rate=RATE).fit(
        good_images(folder / "fit")
    )
    detector.save(folder / f"{variant}.patchbank")
    return {"threshold": detector.calibration.threshold}


def inspect(folder: Path, variant: str) -> dict[str, Any]:
    """Inspect the tested photographs, in this process."""
    detector = load(folder / f"{variant}.patchbank")
    threshold = detector.calibration.threshold
    good: list[float] = []
    speck: list[float] = []
    placed: list[bool] = []
    took_s = 0.0
    n_draws = DRAWS if (folder / "speck").exists() else 0
    places = json.loads((folder / "specks.json").read_text())
    for path in sorted((folder / "good").iterdir()):
        began = time.perf_counter()
        inspection = detector.predict(path)
        took_s += time.perf_counter() - began
        good.append(inspection.score)
        for draw in range(n_draws):
            name = f"{path.stem}-{draw}.png"
            image = folder / "speck" / name
            prediction = _with_speck(detector.members[0], inspection, image)
            if not speck and detector.predict(image).score != prediction.image_score:
                raise RuntimeError(f"{name}: the tiles that a speck reaches are not all it changes")
            speck.append(prediction.image_score)
            placed.append(
                prediction.image_score > threshold
                and _is_placed(prediction, detector.calibration.pixel_threshold, places[name])
            )
    result = {"good": good, "seconds_a_photograph": took_s / len(good)}
    if not speck:
        return result
    found = np.array(speck) > threshold
    return result | {
        "speck": speck,
        "false_alarms": float(np.mean(np.array(good) > threshold)),
        "found": float(np.mean(found)),
        "found_by_draw": found.reshape(len(good), DRAWS).mean(axis=0).tolist(),
        "found_in_place": float(np.mean(placed)),
    }


def _is_placed(prediction: MemberPrediction, threshold: float, at: Sequence[int]) -> bool:
    """Whether a region covers a place (row, column)."""
    regions = find_regions(prediction.anomaly_map(), threshold)
    row, column = at
    return any(
        r.top <= row < r.top + r.height and r.left <= column < r.left + r.width for r in regions
    )


def _with_speck(member: Member, inspection: Inspection, path: Path) -> MemberPrediction:
    """The prediction for a photograph that differs from an inspected one by its speck."""
    image, known, model = read_image(path), inspection.predictions[0], member.model
    if not isinstance(model, TileScorer) or not member.settings.tiles:
        return member.predict(image)
    rows, columns = np.nonzero((image != inspection.pixels).any(axis=2))
    grid, stride = known.scores.patch_scores.copy(), known.scores.stride
    tiling = Tiling.of(member.extractor, member.settings, known.geometry.photograph)
    for number in range(len(tiling.tiles)):
        down, across = tiling.seen(number)
        is_reached = (rows >= down.begin) & (rows < down.end)
        is_reached &= (columns >= across.begin) & (columns < across.end)
        if is_reached.any():
            tile = tiling.tile(number)
            own = model.score_tile(tiling.features(image, number), tile)
            grid[tile.own_patches(stride)] = own
    changed, geometry = replace(known.scores, patch_scores=grid), known.geometry
    scores = photograph_scores(member.extractor, member.settings, changed, geometry)
    return replace(known, scores=scores)


def in_child(step: str, folder: Path, variant: str) -> dict[str, Any]:
    """Run a step in a process of its own, with its time and peak memory, unless it was run."""
    kept = folder / f"{variant}.{step}.json"
    if not kept.exists():
        command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
        done = subprocess.run([*command, "--variant", variant], stdout=subprocess.PIPE, check=True)
        kept.write_bytes(done.stdout)
    result: dict[str, Any] = json.loads(kept.read_bytes())
    print(step, folder.name, variant, result, file=sys.stderr, flush=True)
    return result


def child(step: str, folder: Path, variant: str) -> None:
    """Run a step, and print its result with what it took."""
    began = time.perf_counter()
    result = (fit if step == "fit" else inspect)(folder, variant)
    used = resource.getrusage(resource.RUSAGE_SELF)
    result |= {
        "seconds": time.perf_counter() - began,
        "core_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }
    print(json.dumps(result))


def remainder(backbone: str, layer: str, image: Image) -> dict[str, list[float]]:
    """Differences of features of tiles from those of the whole photograph, by margin.

    For each margin the largest and the mean distance of the patches next to a border between tiles,
    as a share of the mean distance of patches to their mean.
    """
    height, width = (side // 64 * 64 for side in image.shape)
    whole = np.ascontiguousarray(np.repeat(image[:height, :width, None], 3, axis=2))
    extractor = open_backbone(backbone, (layer,))
    settings = PatchCore(backbone=backbone, tiles=True)
    seen = PatchCore(backbone=backbone, image_size=(height, width), scales=settings.scales)
    planes = [np.concatenate(maps) for maps in _by_grid(extract(extractor, seen, whole)[0])]
    found = {}
    for margin in MARGINS:
        tiling = Tiling.of(extractor, settings, (height, width), tile_px=448, margin_px=margin)
        differences = list(_at_borders(tiling, whole, planes))
        found[str(margin)] = [float(np.max(differences)), float(np.mean(differences))]
    return found


def _by_grid(maps: Sequence[Image]) -> list[list[Image]]:
    grids: dict[tuple[int, ...], list[Image]] = {}
    for each in maps:
        grids.setdefault(each.shape[1:], []).append(np.asarray(each))
    return list(grids.values())


def _at_borders(tiling: Tiling, whole: Image, planes: Sequence[Image]) -> Iterator[float]:
    """Differences of the cells that are outermost in their tile, but not in the photograph."""
    for number, (rows, columns) in enumerate(tiling.tiles):
        maps = [np.concatenate(m) for m in _by_grid(tiling.features(whole, number))]
        covered = tiling.covered(number)
        for mine, all_cells in zip(maps, planes, strict=True):
            cell = whole.shape[0] // all_cells.shape[1]
            top, left = covered[0].begin // cell, covered[1].begin // cell
            theirs = all_cells[:, top : top + mine.shape[1], left : left + mine.shape[2]]
            spread = np.linalg.norm(all_cells - all_cells.mean(axis=(1, 2), keepdims=True), axis=0)
            distances = np.linalg.norm(mine - theirs, axis=0) / spread.mean()
            own = distances[
                rows.begin // cell - top : rows.end // cell - top,
                columns.begin // cell - left : columns.end // cell - left,
            ]
            if rows.begin > 0:
                yield from own[0]
            if columns.begin > 0:
                yield from own[:, 0]


def table(result: Mapping[str, Any]) -> str:
    """The results as a page."""
    settings, place = result["settings"], result["environment"]
    n_fit, n_test = settings["n_fit"], settings["n_test"]
    lines = [
        "# Tiles: small defects in large photographs",
        "",
        f"Made by `{result['command']}` on {place['processor']}, {place['cores']} cores, commit "
        f"{place['commit']}, load average {place['load_average']:.1f} (others computed at the same "
        "time: core seconds are those of this work alone).",
        "",
        f"{n_fit} photographs of {settings['size']} learned, {n_test} inspected without and with a "
        f"speck of {SPECK_PX} pixels and contrast {CONTRAST}, of which each has {DRAWS} draws; "
        f"{RATE:.0%} false alarms asked. How they are made stands in the script. In brackets: the "
        "draws by themselves. *Margin*: the speck that scores lowest, and the tested good "
        "photograph that scores highest, relative to the threshold.",
        "",
        "| | found | found where it is | false alarms | margin | fit, s a photograph | core s | "
        "inspection, s a photograph | peak MB, fit | peak MB, inspection |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for goods, variants in result["results"]["specks"].items():
        for name, one in variants.items():
            fitted, seen = one["fit"], one["inspect"]
            draws = ", ".join(f"{share:.2f}" for share in seen["found_by_draw"])
            least, most = (
                value / fitted["threshold"] for value in (min(seen["speck"]), max(seen["good"]))
            )
            lines.append(
                f"| {goods}, {name} | {seen['found']:.2f} ({draws}) | "
                f"{seen['found_in_place']:.2f} | {seen['false_alarms']:.2f} | {least:.2f}, "
                f"{most:.2f} | {fitted['seconds'] / n_fit:.2f} | "
                f"{fitted['core_seconds'] / n_fit:.2f} | {seen['seconds_a_photograph']:.2f} | "
                f"{fitted['peak_mb']:.0f} | {seen['peak_mb']:.0f} |"
            )
    lines += [*_large_lines(result["results"].get("large")), *_remainder_lines(result["results"])]
    return "\n".join(lines) + "\n"


def _large_lines(large: Mapping[str, Any] | None) -> list[str]:
    if large is None:
        return []
    fitted, seen = large["fit"], large["inspect"]
    return [
        "",
        f"Photographs of {large['size']}, 2 learned and 1 inspected, with "
        f"{VARIANTS['large']['bank_rows']} rows in the bank to save time: peak "
        f"{fitted['peak_mb']:.0f} MB in the fit, {seen['peak_mb']:.0f} MB in the inspection; "
        f"{fitted['core_seconds'] / 2:.0f} core seconds a photograph in the fit, "
        f"{seen['seconds_a_photograph']:.0f} seconds an inspection.",
    ]


def _remainder_lines(results: Mapping[str, Any]) -> list[str]:
    remainders = results["remainder"]
    lines = [
        "",
        "## What the margin leaves",
        "",
        "Distance of features next to a border between tiles from those of the whole photograph, "
        f"as a share of the spread of features; {MARGIN_CELLS} cells of the layer are in use, 96 "
        "pixels for blocks.2 (the default with tiles), 192 for blocks.4.",
        "",
        "| margin, pixels of the network's input | "
        + " | ".join(f"{name}: largest | mean" for name in remainders)
        + " |",
        "|--:|" + "--:|--:|" * len(remainders),
    ]
    for margin in map(str, MARGINS):
        cells = [f"{value:.4f}" for found in remainders.values() for value in found[margin]]
        lines.append(f"| {margin} | {' | '.join(cells)} |")
    return lines


def run(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """All fits and inspections, in a folder for what is between them."""
    goods = {"solar cells": solar_cells}
    if given.magnetic_tiles is not None:
        goods["magnetic tiles"] = magnetic_tiles(given.magnetic_tiles)
    found: dict[str, Any] = {"specks": {}}
    for name, chosen in goods.items():
        part = folder / name.replace(" ", "-")
        make(part, chosen, given.n_fit, given.n_test, GRID)
        found["specks"][name] = {
            variant: {step: in_child(step, part, variant) for step in STEPS}
            for variant in ("tiles", "default")
        }
    kept = folder / "remainder.json"
    if not kept.exists():
        first = np.asarray(pillow.open(folder / "solar-cells" / "fit" / "00.png"))[:1280, :1600]
        remainders = {f"{name} {layer}": remainder(name, layer, first) for name, layer in LAYERS}
        kept.write_text(json.dumps(remainders))
    found["remainder"] = json.loads(kept.read_text())
    if not given.no_large:
        make(folder / "large", solar_cells, 2, 1, LARGE_GRID, n_draws=0)
        found["large"] = {step: in_child(step, folder / "large", "large") for step in STEPS}
        found["large"]["size"] = _pixels(LARGE_GRID)
    return found


def _pixels(grid: tuple[int, int]) -> str:
    return f"{grid[1] * SIDE_PX} x {grid[0] * SIDE_PX}"


def main() -> None:
    """Run everything, or one step of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("magnetic_tiles", type=Path, nargs="?", help="folder of the data set")
    parser.add_argument("--n-fit", type=int, default=24)
    parser.add_argument("--n-test", type=int, default=24)
    parser.add_argument("--no-large", action="store_true", help="leave the 100 megapixels out")
    parser.add_argument("--keep", type=Path, help="folder for photographs, detectors and figures")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        child(given.step, given.folder, given.variant)
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        found = run(given.keep or Path(name), given)
    result = {
        "question": "what do tiles find of small defects in large photographs, at what cost?",
        "command": "python " + " ".join(["benchmarks/quality/tiles.py", *sys.argv[1:]]),
        "environment": environment(),
        "settings": {
            "n_fit": given.n_fit,
            "n_test": given.n_test,
            "size": _pixels(GRID),
            "speck_px": SPECK_PX,
            "contrast": CONTRAST,
            "draws": DRAWS,
            "noise_sd": NOISE,
            "false_alarm_rate": RATE,
        },
        "results": found,
    }
    (given.out / "tiles.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    (given.out / "tiles.md").write_text(table(result))


if __name__ == "__main__":
    main()
