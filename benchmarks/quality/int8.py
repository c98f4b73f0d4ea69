"""What does a network in int8 cost in accuracy, and how much faster is it?

    python benchmarks/quality/int8.py ../shared/data/screw ../shared/data/mtd --solar
        [--backbones efficientnet_lite2 ...] [--engines onnxruntime openvino] [--resume]

Each set is learned three times with the default settings: in float32, in int8 with ranges that the
fit measures on the good photographs (--precision int8), and with the embedded network in int8.
All detectors inspect all test photographs.  Then networks and detectors in float32 and in int8 run
by turns on the same input, in processes with one core and with two; the ratio is the median of the
ratios of neighbours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
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
TIMED_PHOTOGRAPHS = 8
"""Of one test: detectors inspect them as one list, so that all cores have work."""
VARIANTS = ("fit", "embedded")
"""How a network comes to int8."""
TIMED = """
import json, os, sys
files, n_cores, size, rounds, photographs = json.loads(sys.argv[1])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
import numpy as np, time
from patchbank import load
detectors = [load(file) for file in files]
image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
def by_turns(functions):
    times = [[] for _ in functions]
    for _ in range(rounds + 1):
        for function, own in zip(functions, times):
            begin = time.perf_counter()
            function()
            own.append(time.perf_counter() - begin)
    return [own[1:] for own in times]
networks = [lambda one=d.members[0].extractor: one(image) for d in detectors]
whole = [lambda one=d: list(one.predict_each(photographs)) for d in detectors]
print(json.dumps([by_turns(networks), by_turns(whole)]))
"""


def measure(
    name: str, learned: Any, dataset: Dataset, backbone: str, engine: Any
) -> list[dict[str, Any]]:
    """Fit in float32 and in both kinds of int8, and compare."""
    exact = fitted(PatchCore(backbone=backbone).fit, learned, dataset, engine=engine)
    recipes = {
        "fit": partial(PatchCore(backbone=backbone).fit, precision="int8"),
        "embedded": PatchCore(backbone=f"{backbone}_int8").fit,
    }
    results = []
    for variant in VARIANTS:
        rounded = fitted(recipes[variant], learned, dataset, engine=engine)
        detectors = exact.detector, rounded.detector
        change = score_change(rounded.detector, exact.detector)
        results.append(
            {
                "dataset": name,
                "backbone": backbone,
                "engine": engine,
                "quantised_by": variant,
                "float32": exact.figures,
                "int8": rounded.figures,
                "photographs": len(exact.scores),
                "rank_correlation": _rank_correlation(exact.scores, rounded.scores),
                "other_verdicts": int((exact.verdicts != rounded.verdicts).sum()),
                "left_out_change_mean": change.mean,
                "left_out_change_largest": change.largest,
                "in_float32": _in_float32(rounded.detector),
                "times": {f"{n} cores": times(detectors, dataset, n) for n in (1, 2)},
            }
        )
    return results


@dataclass(frozen=True)
class Fitted:
    """A detector, and what it found."""

    detector: Detector
    figures: dict[str, Any]
    scores: Any
    """(n,) of all test photographs."""

    @property
    def verdicts(self) -> Any:
        """(n,) whether they are above the threshold."""
        return self.scores > self.detector.calibration.threshold


def fitted(fit: Any, learned: Any, dataset: Dataset, *, engine: Any) -> Fitted:
    """Fit, and inspect all test photographs."""
    begin = time.perf_counter()
    detector = fit(learned, engine=engine)
    fit_s = time.perf_counter() - begin
    found = evaluate(detector, dataset, per_defect=False, find_learned=False).to_json()
    scores = [one.score for one in detector.inspect([s.path for s in dataset.samples])]
    figures = {"fit_s": fit_s, **{metric: found[metric] for metric in METRICS}}
    return Fitted(detector, figures, np.array(scores))


def times(
    detectors: tuple[Detector, Detector], dataset: Dataset, n_cores: int
) -> dict[str, dict[str, Any]]:
    """Times of both networks and of both detectors, in a process with so many cores."""
    step = max(1, len(dataset.samples) // TIMED_PHOTOGRAPHS)
    photographs = [str(s.path) for s in dataset.samples[::step][:TIMED_PHOTOGRAPHS]]
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{name}.patchbank") for name in ("float32", "int8")]
        for detector, file in zip(detectors, files, strict=True):
            detector.save(file)
        given = json.dumps([files, n_cores, SIZE, ROUNDS, photographs])
        command = [sys.executable, "-c", TIMED, given]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    network, whole = json.loads(done.stdout)
    return {"network": by_turns(network), "photograph": by_turns(whole, len(photographs))}


def by_turns(measured: list[list[float]], n: int = 1) -> dict[str, Any]:
    """Medians of both, of one of `n`, and of their ratios."""
    exact, rounded = measured
    ratios = [a / b for a, b in zip(exact, rounded, strict=True)]
    return {
        "float32_ms": 1000 * statistics.median(exact) / n,
        "int8_ms": 1000 * statistics.median(rounded) / n,
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
        f"{one['float32_ms']:.0f} / {one['int8_ms']:.0f} = {one['ratio']:.2f}"
        for cores in ("1 cores", "2 cores")
        for one in (by_cores[cores]["network"], by_cores[cores]["photograph"])
    ]
    cells = [
        one["dataset"],
        f"{one['backbone']}, {one['quantised_by']}",
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
    "rank correlation | other verdicts | change of left-out scores | network, one core | "
    "photograph, one core | network, two cores | photograph, two cores |\n"
    "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
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
        "float32 / int8. *fit*: quantised by `--precision int8` with the good photographs; "
        "*embedded*: the network in int8 that comes with the package. Times are milliseconds of "
        "the network for 512 x 512 and of the whole inspection of a photograph among eight, by "
        "turns, and their ratio. The change of left-out scores is their mean, as a share of the "
        f"threshold.\n\n{lines}\n"
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
                    results += measure(name, learned, dataset, backbone, engine)
                    print("\n".join(map(row, results[-len(VARIANTS) :])), flush=True)
                    write(results)


if __name__ == "__main__":
    main()
