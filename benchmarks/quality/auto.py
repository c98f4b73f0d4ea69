"""How well are settings chosen from good photographs alone?

    python benchmarks/quality/auto.py ../shared/data/screw ../shared/data/mtd --solar-cells

Three parts, each of which goes on where it was interrupted (`--parts`, one or several):

* `regret`: every candidate learns 24 good photographs of a set, and scores synthetic defects on 20
  others, as `fit --preset auto` does; then the same banks score real defects and good photographs
  of the test set.  Regret is the real AUROC of the best candidate less that of the one that
  the synthetic defects choose.  There are three whole sets and six cuts of them, which are halves
  of their kinds of defects: of solar cells the defective ones of the package's first half, and of
  its second, which are mostly thin finger interruptions.  The same with photographs of half the
  size is an extra, with a mean of its own.
* `fit`: `PatchCore.auto` on all photographs, evaluated on the whole test set.
* `time`: seconds of a fit with and without the choice, on 300 photographs of 512 x 512.

Rows that were measured with other candidates or another default are measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import Dataset, PatchCore, evaluate
from patchbank.backbones import ONNX_RUNTIME, open_backbone
from patchbank.datasets import find_dataset, good_images
from patchbank.datasets.elpv import solar_cells
from patchbank.images.resize import resized
from patchbank.images.source import image_source
from patchbank.methods import METHODS, PatchCoreSettings
from patchbank.runtime.blas import one_thread_of_blas
from patchbank.runtime.devices import HOST
from patchbank.training.choose.candidates import TRIED, by_input, candidates
from patchbank.training.choose.ranking import best_of, smoothed
from patchbank.training.choose.sample import draw_sample, split
from patchbank.training.choose.trial import Clock, Machine, SharedTrial, auroc
from patchbank.types import Image

HERE = Path(__file__).parent
N_DRAWN, N_GOOD, N_DEFECTS = 80, 24, 48
PARTS = ("regret", "fit", "time")


def sets(roots: Sequence[Path], *, solar: bool) -> Iterator[tuple[str, list[Path], Dataset]]:
    """Name, good photographs and test set of each."""
    for root in roots:
        yield root.name, [Path(str(path)) for path in good_images(root)], find_dataset(root)
    if solar:
        yield "solar cells, first defects", *solar_cells()
        good, dataset = solar_cells(draw_defects=True)
        yield "solar cells", good, by_half(dataset)


def by_half(dataset: Dataset) -> Dataset:
    """The data set with the half of the defective photographs, by name, as kind of defect."""
    names = sorted(sample.path.name for sample in dataset.samples if sample.is_defect)
    samples = [
        replace(
            sample,
            label="second half"
            if names.index(sample.path.name) >= len(names) // 2
            else "first half",
        )
        if sample.is_defect
        else sample
        for sample in dataset.samples
    ]
    return replace(dataset, samples=tuple(samples))


def photographs(paths: Sequence[Path], shrink: float) -> list[Image]:
    """Photographs, smaller by a factor."""
    images = [image_source(path).read() for path in paths]
    return [
        image
        if shrink == 1
        else resized(image, (round(image.shape[0] * shrink), round(image.shape[1] * shrink)))
        for image in images
    ]


def drawn_tests(dataset: Dataset, rng: np.random.Generator) -> tuple[list[Path], list[Any]]:
    """Good photographs of a test set, and defects: as many of each kind as of the others."""
    good = [sample.path for sample in dataset.samples if not sample.is_defect]
    kinds: dict[str, list[Any]] = {}
    for sample in dataset.samples:
        if sample.is_defect:
            kinds.setdefault(sample.label, []).append(sample)
    each = -(-N_DEFECTS // len(kinds))
    defects = [
        some[i] for some in kinds.values() for i in rng.permutation(len(some))[:each].tolist()
    ]
    return [good[i] for i in rng.permutation(len(good))[:N_GOOD].tolist()], defects


@one_thread_of_blas()
def regret_row(good: Sequence[Path], dataset: Dataset, shrink: float, seed: int) -> dict[str, Any]:
    """Synthetic and real AUROC of every candidate on one draw of a set."""
    rng = np.random.default_rng(seed)
    base, method = PatchCoreSettings(seed=seed), METHODS["patchcore"]
    extractor = open_backbone(base.backbone, None, engine=ONNX_RUNTIME)
    drawn = [good[i] for i in rng.permutation(len(good))[:N_DRAWN].tolist()]
    sources = [image_source(image) for image in photographs(drawn, shrink)]
    chosen = split(np.arange(len(sources)), seed)
    assert chosen is not None
    sample = draw_sample(sources, chosen, seed)
    test_good, test_defects = drawn_tests(dataset, rng)
    images = photographs([*test_good, *(one.path for one in test_defects)], shrink)
    labels = [one.label for one in test_defects]
    machine = Machine(method, extractor, HOST, Clock())
    rows, began = [], time.process_time()
    for members in by_input(candidates(base, (), extractor, sample.size)):
        trial = SharedTrial(machine, members)
        outcomes = trial.run(sample, lambda steps: None)
        scores = trial.scores(images, lambda image: (image, None), lambda steps: None)
        for number, outcome in enumerate(outcomes):
            real_good, real = scores[: len(test_good), number], scores[len(test_good) :, number]
            kinds = [defect.kind for _, defect in sample.defects]
            rows.append(
                {
                    "changes": dict(outcome.candidate.changes),
                    "is_default": outcome.candidate.is_default,
                    "synthetic": outcome.auroc,
                    "synthetic_by_kind": by_label(outcome.good, outcome.defects, kinds),
                    "real": auroc(real_good, real),
                    "real_by_kind": by_label(real_good, real, labels),
                }
            )
    return {"candidates": rows, "cpu_s": round(time.process_time() - began)}


def by_label(good: Any, defects: Any, labels: Sequence[str]) -> dict[str, float]:
    """AUROC of the defects of each kind."""
    names = np.array(labels)
    return {name: auroc(good, defects[names == name]) for name in dict.fromkeys(labels)}


def fit_row(good: Sequence[Path], dataset: Dataset, seed: int, preset: str) -> dict[str, Any]:
    """Metrics of the whole test set, with chosen settings or with the default."""
    began = time.perf_counter()
    recipe = PatchCore.auto(seed=seed) if preset == "auto" else PatchCore.preset(preset, seed=seed)
    detector = recipe.fit(list(good))
    fit_s = time.perf_counter() - began
    metrics = evaluate(detector, dataset).to_json()
    choice = detector.settings_choice
    names = ("image_auroc", "aupro", "false_alarm_rate")
    return {
        **{name: metrics[name] for name in names},
        "fit_s": round(fit_s, 1),
        "choice": None if choice is None else choice.to_json(),
    }


def time_row(seed: int, preset: str) -> dict[str, Any]:
    """Seconds of a fit on 300 made-up photographs of 512 x 512."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:512, :512].astype(np.float32)
    images = []
    for _ in range(300):
        plate = 120 + 25 * np.sin(x / rng.uniform(8, 12)) + 15 * np.cos(y / 14)
        plate += rng.normal(0, 6, plate.shape)
        images.append(np.repeat(plate.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2))
    began, cpu = time.perf_counter(), time.process_time()
    recipe = PatchCore.auto(seed=seed) if preset == "auto" else PatchCore.preset(preset, seed=seed)
    detector = recipe.fit(images)
    choice = detector.settings_choice
    return {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "chosen": None if choice is None else dict(choice.chosen),
    }


def chosen_of(row: dict[str, Any]) -> dict[str, Any]:
    """The candidate that a fit chooses."""
    found: list[dict[str, Any]] = row["candidates"]
    ranks = smoothed([one["changes"] for one in found], [one["synthetic"] for one in found])
    return found[best_of([one["is_default"] for one in found], ranks)]


def cuts(row: dict[str, Any]) -> Iterator[tuple[str, list[float]]]:
    """Name and real AUROC of every candidate, for all defects and for halves of their kinds."""
    kinds = sorted(row["candidates"][0]["real_by_kind"])
    halves = {"all defects": kinds}
    if len(kinds) > 1:
        middle = (len(kinds) + 1) // 2
        halves |= {", ".join(some): some for some in (kinds[:middle], kinds[middle:])}
    for name, some in halves.items():
        values = [
            float(np.mean([one["real_by_kind"][kind] for kind in some]))
            for one in row["candidates"]
        ]
        yield name, values


def regret_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of regrets, a line a set and cut with means over the seeds, and their mean."""
    cells: dict[tuple[str, str, str], list[tuple[float, float, float, float]]] = {}
    for row in rows:
        chosen = row["candidates"].index(chosen_of(row))
        default = [one["is_default"] for one in row["candidates"]].index(True)
        synthetic = [one["synthetic"] for one in row["candidates"]]
        for name, real in cuts(row):
            best = max(real)
            cells.setdefault((row["set"], row["size"], name), []).append(
                (best, best - real[chosen], best - real[default], _spearman(synthetic, real))
            )
    lines = [
        "| set | photographs | defects | draws | best candidate | regret of auto | regret of the "
        "default | Spearman |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for key, found in cells.items():
        best, auto, default, rank = np.mean(found, axis=0)
        spread = np.ptp([one[1] for one in found]) / 2
        lines.append(
            f"| {' | '.join(key)} | {len(found)} | {best:.3f} | {auto:.3f} ± {spread:.3f} | "
            f"{default:.3f} | {rank:.2f} |"
        )
    for size in dict.fromkeys(size for _, size, _ in cells):
        means = [np.mean(found, axis=0) for key, found in cells.items() if key[1] == size]
        _, auto, default, rank = np.mean(means, axis=0)
        lines.append(f"| mean | {size} | | | | {auto:.3f} | {default:.3f} | {rank:.2f} |")
    return lines


def _spearman(one: Sequence[float], other: Sequence[float]) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(one), rankdata(other)
    if min(np.std(some) for some in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def fit_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of fits on all photographs."""
    lines = [
        "| set | preset | seed | image AUROC | AUPRO | false alarms | fit s | chosen |",
        "|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        choice = row["choice"] or {"chosen": {}}
        chosen = ", ".join(f"{name} {value}" for name, value in choice["chosen"].items())
        aupro = "-" if row["aupro"] is None else f"{row['aupro']:.4f}"
        lines.append(
            f"| {row['set']} | {row['preset']} | {row['seed']} | {row['image_auroc']:.4f} | {aupro}"
            f" | {row['false_alarm_rate']:.3f} | {row['fit_s']:.0f} | {chosen} |"
        )
    return lines


def time_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of times."""
    lines = ["| preset | seed | wall s | CPU s | chosen |", "|---|--:|--:|--:|---|"]
    for row in rows:
        lines.append(
            f"| {row['preset']} | {row['seed']} | {row['wall_s']} | {row['cpu_s']} | "
            f"{row['chosen'] or ''} |"
        )
    return lines


def write(content: dict[str, Any], out: Path) -> None:
    """Write all results so far, as JSON and as a page."""
    out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    where = content["environment"]
    about = f"`{content['command']}`, {where['processor']}, {where['cores']} cores"
    page = [f"# Settings chosen from good photographs\n\n{(__doc__ or '').split(chr(10), 2)[2]}"]
    page += [f"Made by {about}; ± half the range over the draws.\n"]
    for part, lines in (("regret", regret_lines), ("fit", fit_lines), ("time", time_lines)):
        if content[part]:
            page += [f"## {part.capitalize()}\n", *lines(content[part]), ""]
    out.with_suffix(".md").write_text("\n".join(page))


def work(
    given: argparse.Namespace,
) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(part, what identifies the row, a function that measures it), the cheap ones first."""
    known = list(sets(given.sets, solar=given.solar_cells))
    sizes = list(given.sizes.items())
    for size, shrink in sizes if "regret" in given.parts else ():
        for seed in given.seeds:
            for name, good, dataset in known:
                if "first" in name:  # a part of all defects
                    continue
                yield (
                    "regret",
                    {"set": name, "size": size, "seed": seed},
                    lambda g=good, d=dataset, k=shrink, s=seed: regret_row(g, d, k, s),
                )
    for part in given.parts:
        for seed in given.seeds:
            if part == "time":
                for preset in given.presets:
                    names = {"seed": seed, "preset": preset}
                    yield part, names, lambda s=seed, p=preset: time_row(s, p)
                continue
            for name, good, dataset in known:
                for preset in given.presets if part == "fit" else ():
                    names = {"set": name, "seed": seed, "preset": preset}
                    yield (
                        part,
                        names,
                        lambda g=good, d=dataset, s=seed, p=preset: fit_row(g, d, s, p),
                    )


def settings_now() -> str:
    """The candidates and the default that rows are measured with."""
    base = PatchCoreSettings()
    return f"{json.dumps(TRIED)}, default {base.image_size}, banks {base.banks}"


def main() -> None:
    """Measure what is not in the results yet, and write them after each measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--solar-cells", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--presets", nargs="+", default=["auto", "balanced"])
    parser.add_argument("--whole-size-only", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "auto")
    given = parser.parse_args()
    given.sizes = {"as they are": 1.0} | ({} if given.whole_size_only else {"half the size": 0.5})
    warnings.simplefilter("ignore")
    path = given.out.with_suffix(".json")
    content = json.loads(path.read_text()) if path.exists() else {part: [] for part in PARTS}
    content |= {"command": " ".join(["python", *sys.argv]), "environment": environment()}
    measured_with = settings_now()
    for rows in (content[part] for part in PARTS):
        rows[:] = [row for row in rows if row.get("settings") == measured_with]
    for part, names, measure in work(given):
        if any(all(row[n] == v for n, v in names.items()) for row in content[part]):
            continue
        content[part].append({**names, "settings": measured_with, **measure()})
        print(part, names, flush=True)
        write(content, given.out)
    write(content, given.out)


if __name__ == "__main__":
    main()
