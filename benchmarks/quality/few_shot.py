"""Image AUROC of the preset few-shot on one to eight photographs, and whether parts are turned.

    python benchmarks/quality/few_shot.py ../shared/data/screw ../shared/data/mtd --solar

Draw s learns from the first k photographs of `numpy.random.default_rng(s).permutation(n)`, as
`patchbank benchmark` does.  Where the photographs decline the canonical position, the settings are
those of the preset without it, so nothing is fitted: `methods/shots` has their figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import PatchCore
from patchbank.datasets import Dataset, find_dataset, good_images
from patchbank.datasets.elpv import solar_cells
from patchbank.evaluation.evaluate import evaluate
from patchbank.images.pose import find_pose
from patchbank.images.source import image_source
from patchbank.methods import METHODS
from patchbank.runtime.progress import NullProgress
from patchbank.training.photographs import Remarks
from patchbank.training.position import with_position

HERE = Path(__file__).parent
SHOTS = (1, 2, 4, 8)
RATE = 0.05
SINGLE = 200
"""Photographs of a data set, at least, that are judged one by one."""


class Photographs(NamedTuple):
    """A data set with its good photographs to learn from."""

    name: str
    good: Sequence[Path]
    tested: Dataset


def run(data: Photographs, shots: int, draw: int) -> dict[str, Any]:
    """Decide, and where parts are turned also fit and test, one draw of the photographs."""
    order = np.random.default_rng(draw).permutation(len(data.good))
    chosen = [data.good[number] for number in sorted(order[:shots])]
    recipe = PatchCore.preset("few-shot", seed=draw, false_alarm_rate=RATE)
    remarks = Remarks()
    [(_, settings)] = with_position(
        [(METHODS["patchcore"], recipe)],
        [image_source(path) for path in chosen],
        remarks,
        NullProgress(),
    )
    result: dict[str, Any] = {
        "dataset": data.name,
        "shots": shots,
        "draw": draw,
        "position": settings.position,
        "decision": remarks.decisions[0].rpartition(": ")[2],
    }
    if settings.position != "canonical":
        return result
    began = time.perf_counter()
    detector = recipe.fit(chosen)
    fitted = time.perf_counter()
    tested = Dataset(data.name, tuple(replace(sample, mask=None) for sample in data.tested.samples))
    found = evaluate(detector, tested, per_defect=False, find_learned=False)
    return result | {
        "part_size": settings.part_size,
        "image_auroc": found.image_auroc,
        "detection_rate": found.detection_rate,
        "false_alarm_rate": found.false_alarm_rate,
        "position_notes": sum(
            any(difference.kind == "position" for difference in inspection.unlike)
            for _, inspection in found.inspections
        ),
        "fit_s": fitted - began,
        "test_s": time.perf_counter() - fitted,
    }


def alone(data: Photographs) -> dict[str, Any]:
    """Number of good photographs that would be turned if each was the only one."""
    step = max(1, len(data.good) // SINGLE)
    poses = [find_pose(image_source(path).read()) for path in data.good[::step]]
    turned = sum(pose is not None and pose.unclear is None for pose in poses)
    return {"dataset": data.name, "photographs": len(poses), "turned": turned}


def main() -> None:
    """Run all draws, and write few_shot.json and few_shot.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--solar", action="store_true", help="solar cells of elpv-dataset, too")
    parser.add_argument("--shots", nargs="+", type=int, default=SHOTS)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "few_shot")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    sets = [Photographs(root.name, good_images(root), find_dataset(root)) for root in given.roots]
    if given.solar:
        sets.append(Photographs("solar cells", *solar_cells()))
    results = []
    for data in sets:
        for shots in given.shots:
            for draw in range(given.draws):
                results.append(run(data, shots, draw))
                print(json.dumps(results[-1]), flush=True)
    record = {
        "question": "Where does the preset few-shot turn parts, and how well does it do there?",
        "command": " ".join(sys.argv),
        "environment": environment(),
        "settings": {"preset": "few-shot", "false_alarm_rate": RATE, "draws": given.draws},
        "results": results,
        "alone": [alone(data) for data in sets],
    }
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    given.out.with_suffix(".md").write_text(page(record))


def page(record: dict[str, Any]) -> str:
    """The table of a record."""
    where, results = record["environment"], record["results"]
    lines = [
        "# The preset few-shot, and parts that are turned to a canonical position",
        "",
        f"Made by `python {record['command']}` on {where['processor']}, commit {where['commit']}. "
        f"{record['settings']['draws']} draws of the photographs; means, and the lowest and the "
        "highest. Rates are those at the threshold for 5 % false alarms.",
        "",
        "| | photographs | draws turned | image AUROC | without position | detection rate "
        "| false-alarm rate |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    before = _before()
    for name, shots in dict.fromkeys((r["dataset"], r["shots"]) for r in results):
        rows = [r for r in results if (r["dataset"], r["shots"]) == (name, shots)]
        turned = [r for r in rows if r["position"] == "canonical"]
        metrics = ("image_auroc", "detection_rate", "false_alarm_rate")
        cells = [_spread([r[metric] for r in turned]) for metric in metrics]
        old = before.get((name, str(shots)))
        cells.insert(1, "" if old is None else f"{old:.3f}")
        lines.append(f"| {name} | {shots} | {len(turned)} of {len(rows)} | {' | '.join(cells)} |")
    lines += [
        "",
        "Where no draw is turned, the preset learns 24 orientations as it did before, with the "
        "figures of the column *without position*, from [the table of all methods]"
        "(methods/shots/tables.md).",
        "",
        "As the only photograph, "
        + ", ".join(
            f"{a['turned']} of {a['photographs']} of {a['dataset']}" for a in record["alone"]
        )
        + " would be turned. What photographs object to that are not:",
        "",
        *dict.fromkeys(
            f"- {r['dataset']}: {r['decision']}" for r in results if r["position"] != "canonical"
        ),
    ]
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{statistics.mean(known):.3f} ({min(known):.3f} to {max(known):.3f})"


def _before() -> dict[tuple[str, str], float]:
    """Image AUROC of the preset without position, by data set and photographs."""
    with (HERE / "methods" / "shots" / "tables.csv").open() as file:
        return {
            (row["category"], row["shots"]): float(row["value"])
            for row in csv.DictReader(file)
            if (row["metric"], row["method"]) == ("image_auroc", "patchcore:few-shot")
        }


if __name__ == "__main__":
    main()
