"""What does a network in int8 cost in accuracy, and how much faster is it?

    python benchmarks/quality/int8.py ../shared/data/screw ../shared/data/mtd --solar
        [--backbones efficientnet_lite2 ...] [--engines onnxruntime openvino] [--resume]

Each set is learned twice with the default settings, in float32 and in int8, and both detectors
inspect all test photographs.  Then the networks run by turns on the same input, in processes with
one core and with two; the ratio is the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import Detector, PatchCore, evaluate
from patchbank.datasets import Dataset, find_dataset
from patchbank.datasets.elpv import solar_cells
from patchbank.training.precision import score_change

HERE = Path(__file__).parent
METRICS = ("image_auroc", "pixel_auroc", "aupro", "detection_rate", "false_alarm_rate")
SIZE = (512, 512)
ROUNDS = 15
TIMED = """
import json, os, sys
n_cores = int(sys.argv[2])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
import numpy as np, time
from patchbank import load
from patchbank.backbones import Engine, open_backbone
quantised = load(sys.argv[1]).members[0].extractor
engine = Engine(quantised.engine.name)
networks = open_backbone(sys.argv[3], quantised.layers, engine=engine), quantised
image = np.random.default_rng(0).integers(0, 255, (*json.loads(sys.argv[4]), 3), dtype=np.uint8)
times = [[], []]
for _ in range(int(sys.argv[5]) + 1):
    for network, own in zip(networks, times):
        begin = time.perf_counter()
        network(image)
        own.append(time.perf_counter() - begin)
print(json.dumps([own[1:] for own in times]))
"""


def measure(
    name: str, learned: Any, dataset: Dataset, backbone: str, engine: Any
) -> dict[str, Any]:
    """Fit in both precisions, and compare."""
    recipe = PatchCore(backbone=backbone)
    detectors, figures = {}, {}
    for precision in ("float32", "int8"):
        begin = time.perf_counter()
        detectors[precision] = recipe.fit(learned, engine=engine, precision=precision)
        fit_s = time.perf_counter() - begin
        found = evaluate(
            detectors[precision], dataset, per_defect=False, find_learned=False
        ).to_json()
        figures[precision] = {"fit_s": fit_s, **{metric: found[metric] for metric in METRICS}}
    exact, rounded = (
        np.array([one.score for one in detector.inspect([s.path for s in dataset.samples])])
        for detector in detectors.values()
    )
    change = score_change(detectors["int8"], detectors["float32"])
    return {
        "dataset": name,
        "backbone": backbone,
        "engine": engine,
        **figures,
        "photographs": len(exact),
        "rank_correlation": _rank_correlation(exact, rounded),
        "other_verdicts": int(
            (
                (exact > detectors["float32"].calibration.threshold)
                != (rounded > detectors["int8"].calibration.threshold)
            ).sum()
        ),
        "left_out_change_mean": change.mean,
        "left_out_change_largest": change.largest,
        "in_float32": _in_float32(detectors["int8"]),
        "times": {f"{n} cores": times(detectors["int8"], backbone, n) for n in (1, 2)},
    }


def times(detector: Detector, backbone: str, n_cores: int) -> dict[str, Any]:
    """Times of both networks, in a process with so many cores."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "int8.patchbank"
        detector.save(file)
        command = [sys.executable, "-c", TIMED, str(file), str(n_cores), backbone]
        command += [json.dumps(SIZE), str(ROUNDS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    exact, rounded = json.loads(done.stdout)
    ratios = [a / b for a, b in zip(exact, rounded, strict=True)]
    return {
        "float32_ms": 1000 * statistics.median(exact),
        "int8_ms": 1000 * statistics.median(rounded),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
    }


def _in_float32(detector: Detector) -> list[str]:
    import onnx

    extractor: Any = detector.members[0].extractor
    model = onnx.load_from_string(extractor.content)
    record = json.loads({one.key: one.value for one in model.metadata_props}["patchbank"])
    names: list[str] = record["in_float32"]
    return names


def _rank_correlation(one: Any, other: Any) -> float:
    """Spearman's, for scores without ties."""
    ranks = [np.argsort(np.argsort(scores)) for scores in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def row(one: dict[str, Any]) -> str:
    """A line of the table."""
    exact, rounded, by_cores = one["float32"], one["int8"], one["times"]
    both = [
        f"{exact[metric]:.4f} / {rounded[metric]:.4f}" if exact[metric] is not None else ""
        for metric in ("image_auroc", "pixel_auroc", "aupro", "false_alarm_rate")
    ]
    ratios = [
        f"{by_cores[cores]['float32_ms']:.0f} / {by_cores[cores]['int8_ms']:.0f} = "
        f"{by_cores[cores]['ratio']:.2f}"
        for cores in ("1 cores", "2 cores")
    ]
    cells = [
        one["dataset"],
        one["backbone"],
        one["engine"],
        f"{one['photographs']}",
        *both,
        f"{one['rank_correlation']:.4f}",
        f"{one['other_verdicts']}",
        f"{100 * one['left_out_change_mean']:.1f} %",
        *ratios,
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| set | backbone | engine | photographs | image AUROC | pixel AUROC | AUPRO | false alarms | "
    "rank correlation | other verdicts | change of left-out scores | ms on one core | ms on two |\n"
    "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def write(results: list[dict[str, Any]]) -> None:
    """Write all that is measured so far."""
    where = environment()
    record = {"command": " ".join(sys.argv), "environment": where, "results": results}
    (HERE / "int8.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = "\n".join([HEAD, *map(row, results)])
    (HERE / "int8.md").write_text(
        f"# Networks in int8 beside float32\n\nMade by `python {' '.join(sys.argv)}` on "
        f"{where['processor']}, {where['cores']} cores, commit {where['commit']}. Pairs are "
        "float32 / int8; times are those of the network alone, by turns, and its ratio. The change "
        f"of left-out scores is their mean, as a share of the threshold.\n\n{lines}\n"
    )


def main() -> None:
    """Measure all combinations."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="*", type=Path)
    parser.add_argument("--solar", action="store_true", help="the cells of elpv-dataset, too")
    parser.add_argument("--backbones", nargs="+", default=["efficientnet_lite2"])
    parser.add_argument("--engines", nargs="+", default=["onnxruntime"])
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    given = parser.parse_args()
    sets = [(root.name, root, find_dataset(root)) for root in given.roots]
    if given.solar:
        sets.append(("solar cells", *solar_cells(draw_defects=True)))
    earlier = HERE / "int8.json"
    results = json.loads(earlier.read_text())["results"] if given.resume else []
    known = {(one["dataset"], one["backbone"], one["engine"]) for one in results}
    for name, learned, dataset in sets:
        for backbone in given.backbones:
            for engine in given.engines:
                if (name, backbone, engine) not in known:
                    results.append(measure(name, learned, dataset, backbone, engine))
                    print(row(results[-1]), flush=True)
                    write(results)


if __name__ == "__main__":
    main()
