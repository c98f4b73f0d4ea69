"""Does an exported graph give what its detector gives: scores, maps and verdicts?

    python benchmarks/quality/export.py ../shared/data/screw ../shared/data/mtd
        [--methods patchcore joint ...] [--backbones efficientnet_lite0 ...]
        [--entries photograph pixels] [--runtimes onnxruntime openvino]
        [--precisions float32 float16 int8] [--limit N] [--resume] [--out FILE]

Every combination is fitted on the good photographs of a set (for int8 in int8), exported, and
compared with its graph on all test photographs as they come (or on N of them, spread evenly).  With
--resume, combinations that export.json has already are not measured again.  Exit status 1 if a
graph is beyond the tolerance of `patchbank verify`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import SPADE, GraphCore, PaDiM, PatchCore, SimpleNet
from patchbank.choices import Precision
from patchbank.datasets import find_dataset
from patchbank.export import (
    EXPORT_PRECISIONS,
    ExportPrecision,
    Runtime,
    export_detector,
    open_exported,
)
from patchbank.export.precision import TOLERANCES
from patchbank.export.verifying import verified_together
from patchbank.images.source import image_source

HERE = Path(__file__).parent
METHODS: dict[str, Callable[..., Any]] = {
    "patchcore": PatchCore,
    "patchcore, one bank, re-weighted": partial(PatchCore, image_score="reweighted"),
    "patchcore, official": partial(PatchCore.preset, "official"),
    "graphcore": GraphCore,
    "padim": PaDiM,
    "spade": SPADE,
    "simplenet": SimpleNet,
}
BACKBONES = ("efficientnet_lite0", "efficientnet_lite2")
NEED_TORCH = ("simplenet",)


def measure(
    name: str,
    backbone: str,
    root: Path,
    entries: Sequence[str],
    runtimes: Sequence[Runtime],
    precisions: Sequence[ExportPrecision],
    n: int,
) -> list[dict[str, Any]]:
    """Fit one detector, and compare its graphs; float32 and float16 are of one fit."""
    dataset = find_dataset(root)
    paths = [sample.path for sample in dataset.samples]
    paths = paths[:: max(1, len(paths) // n)][:n] if n else paths
    fitted: Precision = "int8" if "int8" in precisions else "float32"
    detector = METHODS[name](backbone=backbone).fit(root, precision=fitted)
    with tempfile.TemporaryDirectory() as folder:
        graphs, where = [], []
        for entry, precision in product(entries, precisions):
            file = Path(folder) / f"{entry}-{precision}.onnx"
            export_detector(detector, file, entry=entry, precision=precision)
            for runtime in runtimes:
                if (runtime, precision) == ("openvino", "int8"):
                    continue  # it rounds otherwise
                graphs.append(open_exported(file, runtime))
                where.append({"entry": entry, "file_mb": file.stat().st_size / 1e6})
        compared = verified_together(detector, graphs, map(image_source, paths))
    found = []
    for place, one in zip(where, compared, strict=True):
        figures = one.to_json()
        del figures["results"], figures["exported"]
        combination = {"dataset": root.name, "method": name, "backbone": backbone}
        found.append({**combination, **place, **figures})
        print(row(found[-1]), flush=True)
    return found


def precision_of(one: dict[str, Any]) -> ExportPrecision:
    """Precision of a row; rows of before there were others do not name it."""
    precision: ExportPrecision = one.get("precision", "float32")
    return precision


def row(one: dict[str, Any]) -> str:
    """A line of the table."""
    cells = [
        one["runtime"],
        one["method"],
        one["backbone"],
        one["entry"],
        precision_of(one),
        one["dataset"],
        f"{one['photographs']}",
        f"{one['largest_score_difference']:.1e}",
        f"{one['typical_score_difference']:.1e}",
        f"{one['largest_map_difference']:.1e}",
        f"{one['least_map_correlation']:.7f}",
        f"{one['other_verdicts']}",
        f"{one['near_threshold']}",
        f"{one['file_mb']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| runtime | method | backbone | entry | precision | set | photographs "
    "| largest difference of a score | median | largest of a map | least correlation of a map "
    "| other verdicts | near the threshold | MB |\n"
    "|---|---|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def write(results: list[dict[str, Any]], out: Path) -> None:
    """Write all that is measured so far."""
    where = environment()
    record = {"command": " ".join(sys.argv), "environment": where, "results": results}
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    lines = "\n".join([HEAD, *map(row, results)])
    out.with_suffix(".md").write_text(
        f"# Exported graphs beside their detectors\n\nMade by `python {' '.join(sys.argv)}` on "
        f"{where['processor']}, {where['cores']} cores, commit {where['commit']}. Differences of "
        "scores are shares of the score, those of maps of the highest value; near the threshold is "
        f"within {TOLERANCES['float32'].near_threshold:g} of it, in float16 within "
        f"{TOLERANCES['float16'].near_threshold:g}.\n\n{lines}\n"
    )


def earlier(out: Path) -> list[dict[str, Any]]:
    """What a run that was stopped has measured."""
    file = out.with_suffix(".json")
    results: list[dict[str, Any]] = json.loads(file.read_text())["results"] if file.exists() else []
    return results


def main() -> None:
    """Measure all combinations."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="+", type=Path)
    able = [name for name in METHODS if name not in NEED_TORCH or find_spec("torch")]
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=able)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--entries", nargs="+", default=["photograph", "pixels"])
    have = ["onnxruntime"] + ["openvino"] * (find_spec("openvino") is not None)
    parser.add_argument("--runtimes", nargs="+", default=have)
    parser.add_argument("--precisions", nargs="+", choices=EXPORT_PRECISIONS, default=["float32"])
    parser.add_argument("--limit", type=int, default=0, help="photographs of each set; 0 for all")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--out", type=Path, default=HERE / "export")
    given = parser.parse_args()
    results = earlier(given.out) if given.resume else []
    known = {(one["dataset"], one["method"], one["backbone"], precision_of(one)) for one in results}
    for root, name, backbone in product(given.roots, given.methods, given.backbones):
        missing = [p for p in given.precisions if (root.name, name, backbone, p) not in known]
        for of_one_fit in (
            [p for p in missing if p != "int8"],
            [p for p in missing if p == "int8"],
        ):
            if of_one_fit:
                results += measure(
                    name, backbone, root, given.entries, given.runtimes, of_one_fit, given.limit
                )
                write(results, given.out)
    sys.exit(not all(one["is_passed"] for one in results))


if __name__ == "__main__":
    main()
