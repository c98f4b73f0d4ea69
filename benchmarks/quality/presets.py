"""Accuracy and speed of each preset on data sets in MVTec layout.

    python benchmarks/quality/presets.py ../shared/data/screw ../shared/data/mtd

Every combination runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment

HERE = Path(__file__).parent
PRESETS = ("fast", "balanced", "accurate")
METRICS = ("image_auroc", "pixel_auroc", "aupro", "detection_rate", "false_alarm_rate")


def measure(preset: str, root: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Fit and evaluate one combination in this process."""
    from patchbank import PatchCore, evaluate, load
    from patchbank.datasets import find_dataset

    began = time.perf_counter()
    detector = PatchCore.preset(preset, **changes).fit(root)
    fit_s = time.perf_counter() - began
    fit_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    dataset = find_dataset(root)
    paths = [sample.path for sample in dataset.samples]
    list(detector.inspect(paths[:5]))
    began = time.perf_counter()
    list(detector.inspect(paths))
    predict_ms = (time.perf_counter() - began) / len(paths) * 1000
    evaluation = evaluate(detector, dataset).to_json()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.patchbank"
        detector.save(path)
        load(path)
        file_mb = path.stat().st_size / 1e6
    return {
        "dataset": root.name,
        "preset": preset,
        "changes": changes,
        "settings": detector.members[0].settings.to_mapping(),
        **{name: evaluation[name] for name in METRICS},
        "fit_s": fit_s,
        "predict_ms": predict_ms,
        "bank_rows": detector.members[0].model.summary()["bank_rows"],
        "file_mb": file_mb,
        "fit_memory_mb": fit_memory_mb,
    }


def run(preset: str, root: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Measure one combination in a process of its own."""
    command = [sys.executable, __file__, str(root), "--one", preset, json.dumps(changes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    print(
        f"{root.name:<8} {preset:<9} {changes} image {result['image_auroc']:.4f} "
        f"pixel {result['pixel_auroc'] or 0:.4f} aupro {result['aupro'] or 0:.4f} "
        f"fit {result['fit_s']:.1f} s predict {result['predict_ms']:.0f} ms",
        flush=True,
    )
    return result


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table, one row a data set, preset and kind of change."""
    lines = [
        "| data | preset | image AUROC | pixel AUROC | AUPRO | false alarms (asked) | fit s "
        "| predict ms/image | bank rows | file MB | fit memory MB |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for r in results:
        kind = ", ".join(f"{k}={v}" for k, v in r["changes"].items() if k != "seed")
        groups.setdefault(
            (r["dataset"], f"{r['preset']}{f' ({kind})' if kind else ''}"), []
        ).append(r)
    for (dataset, preset), rows in groups.items():
        cells = [_mean(rows, name) for name in METRICS[:3]]
        alarms, asked = _mean(rows, "false_alarm_rate"), rows[0]["settings"]["false_alarm_rate"]
        cells += [f"{alarms} ({asked})"]
        cells += [_mean(rows, "fit_s", 1), _mean(rows, "predict_ms", 0), str(rows[0]["bank_rows"])]
        cells += [_mean(rows, "file_mb", 1), _mean(rows, "fit_memory_mb", 0)]
        lines.append(f"| {dataset} | {preset} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean(rows: list[dict[str, Any]], name: str, digits: int = 4) -> str:
    values = [r[name] for r in rows]
    if any(v is None for v in values):
        return "-"
    mean, spread = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if len(rows) > 1 else "")


def main() -> None:
    """Run all combinations, or the one asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--changes", type=json.loads, default={}, help="settings, as JSON")
    parser.add_argument("--out", type=Path, default=HERE / "presets")
    parser.add_argument("--one", nargs=2, metavar=("PRESET", "CHANGES"))
    given = parser.parse_args()
    if given.one:
        preset, changes = given.one
        print(json.dumps(measure(preset, given.roots[0], json.loads(changes))))
        return
    results = [
        run(preset, root, {**given.changes, "seed": seed})
        for root in given.roots
        for preset in given.presets
        for seed in given.seeds
    ]
    record = {"command": " ".join(sys.argv), "environment": environment(), "results": results}
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    where = record["environment"]
    given.out.with_suffix(".md").write_text(
        f"# Presets\n\nMade by `python {' '.join(sys.argv)}` on {where['processor']}, "
        f"{where['cores']} cores, commit {where['commit']}; means over seeds {given.seeds} ± half "
        f"the range.\n\n{table(results)}\n"
    )


if __name__ == "__main__":
    main()
