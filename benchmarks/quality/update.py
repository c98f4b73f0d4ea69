"""What an update costs and keeps: against a fit on all, after false alarms, and along a stream.

    python benchmarks/quality/update.py ../shared/data/screw ../shared/data/mtd --splits 0 1 2

``held back``: a fifth of the good photographs, drawn by the number of the split, is held back from
a fit and learned by an update; a fit on all is what it is compared with, on the test photographs.
``false alarms``: the five good test photographs of the highest scores are said to be normal, with a
threshold that flags them all, and all others are inspected before and after.
``stream``: photographs that become darker from one update to the next, a hundred updates of two,
in a bank at its limit; the bank at the end is compared with a fit on the last photographs.

Feature maps are kept in the folder --work, with every result; an interrupted run goes on from
there.  Times are seconds of all threads together (CPU), as other programs may run: of the fit on
all while nothing is stored yet, and of one update without stored features.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import write_results
from patchbank import Detector, PatchCore, load
from patchbank.benchmark.cache import CachedExtractor, FeatureCache
from patchbank.datasets import find_dataset, good_images
from patchbank.evaluation.metrics import auroc, count_images
from patchbank.images.source import image_source
from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import fit

HERE = Path(__file__).parent
RATE = 0.05
SHARE = 0.2
N_FALSE_ALARMS = 5
N_UPDATES, N_FIRST, N_EACH, LAST_GAIN = 100, 60, 2, 0.7
Result = dict[str, Any]


class Set:
    """One set: its photographs, its stored features, and its stored results."""

    def __init__(self, root: Path, work: Path, most: int | None, changes: dict[str, Any]) -> None:
        self.name = root.name
        rng = np.random.default_rng(0)
        good = sorted(Path(str(path)) for path in good_images(root))
        self.good = [good[i] for i in np.sort(rng.permutation(len(good))[:most])]
        tested = find_dataset(root).samples
        self.test = [Path(sample.path) for sample in tested][:: 1 if most is None else 2]
        self.is_defect = np.array([s.is_defect for s in tested])[:: 1 if most is None else 2]
        self.folder = work / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cache = FeatureCache(self.folder / "features", 40_000_000_000)
        self.settings = METHODS["patchcore"].settings_from(
            None, {"false_alarm_rate": RATE, **changes}
        )

    def fitted(self, name: str, paths: Sequence[Path]) -> tuple[Detector, float]:
        """A detector with stored features, and the CPU seconds of its fit."""
        file, seconds = self.folder / f"{name}.patchbank", self.folder / f"{name}.seconds"
        if not file.exists():
            began = time.process_time()
            detector = fit(
                [(METHODS["patchcore"], self.settings)],
                list(paths),
                NullProgress(),
                HOST,
                wrap=self._cached,
            )
            seconds.write_text(repr(time.process_time() - began))
            self.plain(detector).save(file)
        return self.with_stored(load(file, device="cpu")), float(seconds.read_text())

    def _cached(self, extractor: Any) -> Any:
        return CachedExtractor(extractor, self.cache, HOST)

    def with_stored(self, detector: Detector) -> Detector:
        """The detector with the stored features before its network."""
        return _with_extractors(detector, self._cached)

    def plain(self, detector: Detector) -> Detector:
        """The detector with its network alone."""
        return _with_extractors(detector, lambda each: getattr(each, "plain", each))

    def result(self, name: str, measured: Callable[[], Any]) -> Any:
        """A stored result, or one that is measured now and stored."""
        file = self.folder / f"{name}.json"
        if not file.exists():
            found = measured()
            file.write_text(json.dumps(found))
            print(self.name, name, found if len(str(found)) < 2000 else "done", flush=True)
        return json.loads(file.read_text())

    def scores(self, detector: Detector) -> NDArray[np.float64]:
        """Scores of the test photographs."""
        return np.array([one.score for one in detector.predict_each(self.test)])


def _with_extractors(detector: Detector, wrap: Callable[[Any], Any]) -> Detector:
    members = [replace(each, extractor=wrap(each.extractor)) for each in detector.members]
    return replace(detector, members=tuple(members))


def figures(one: Set, detector: Detector) -> Result:
    """AUROC, false alarms and covering radii of a detector."""
    scores = one.scores(detector)
    good = scores[~one.is_defect]
    banks = detector.members[0].model.banks_of_maps  # type: ignore[attr-defined]
    return {
        "auroc": ranked(scores, one.is_defect),
        "false_alarms": float((good > detector.calibration.threshold).mean()),
        "threshold": detector.calibration.threshold,
        "rows": int(banks[0].n_rows),
        "radii": [float(bank.radii[-1]) for bank in banks],
    }


def held_back(one: Set, split: int) -> Result:
    """An update with a fifth of the photographs against a fit on all."""
    whole, fit_s = one.fitted("all", one.good)
    order = np.random.default_rng([17, split]).permutation(len(one.good))
    n_held = round(SHARE * len(order))
    first = [one.good[i] for i in sorted(order[n_held:])]
    held = [one.good[i] for i in sorted(order[:n_held])]
    part, _ = one.fitted(f"part{split}", first)
    plain = one.plain(part)
    began = time.process_time()
    after = plain.updated(held, force=True)
    update_s = time.process_time() - began
    return {
        "learned": len(first),
        "held_back": n_held,
        "all": one.result("figures_all", partial(figures, one, whole)),
        "before": figures(one, part),
        "after": figures(one, one.with_stored(after)),
        "fit_cpu_s": fit_s,
        "update_cpu_s": update_s,
    }


def false_alarms(one: Set) -> Result:
    """Five false alarms said to be normal."""
    whole, _ = one.fitted("all", one.good)
    before = one.scores(whole)
    five = np.flatnonzero(~one.is_defect)
    five = five[np.argsort(-before[five])][:N_FALSE_ALARMS]
    limit = min(float(np.nextafter(before[five].min(), -np.inf)), whole.calibration.threshold)
    detector = whole.with_threshold(limit)
    plain = one.plain(detector)
    inspections = list(plain.predict_each([one.test[i] for i in five]))
    began, began_wall = time.process_time(), time.perf_counter()
    corrected = plain.updated(normal=inspections, reason="false alarms", by="benchmark")
    seconds, wall = time.process_time() - began, time.perf_counter() - began_wall
    after = one.scores(one.with_stored(corrected))
    others = np.ones(len(before), dtype=bool)
    others[five] = False
    threshold = corrected.calibration.threshold
    good = others & ~one.is_defect
    found = before[one.is_defect] > threshold
    return {
        "threshold_of_the_fit": whole.calibration.threshold,
        "threshold": limit,
        "marked": [one.test[i].name for i in five],
        "pass": int((after[five] <= threshold).sum()),
        "rows_before": detector.bank_sizes[-1],
        "rows_after": corrected.bank_sizes[-1],
        "auroc_before": ranked(before[others], one.is_defect[others]),
        "auroc_after": ranked(after[others], one.is_defect[others]),
        "good_flagged_before": int((before[good] > threshold).sum()),
        "good_flagged_after": int((after[good] > threshold).sum()),
        "defects_found_before": int(found.sum()),
        "defects_found_after": int((after[one.is_defect] > threshold).sum()),
        "cpu_s": seconds,
        "wall_s": wall,
    }


def stream(one: Set, n_updates: int = N_UPDATES) -> Result:
    """A hundred updates at the limit while the light changes."""
    rng = np.random.default_rng(5)
    recipe = PatchCore.preset("fast", image_size=192, bank_rows=1000, false_alarm_rate=RATE)
    gains = np.linspace(1, LAST_GAIN, n_updates + 1)
    drawn = [one.good[i] for i in rng.permutation(len(one.good))]
    detector = recipe.fit([in_light(path, 1.0) for path in drawn[:N_FIRST]])
    given, points = [], []
    for number in range(n_updates):
        paths = [drawn[(N_FIRST + N_EACH * number + i) % len(drawn)] for i in range(N_EACH)]
        new = [in_light(path, float(gains[number + 1])) for path in paths]
        given = [*given, *new][-N_FIRST:]
        detector = detector.updated(new, limit_rows=1000, force=True)
        if (number + 1) % 10 == 0 or number == 0:
            file = one.folder / "stream.patchbank"
            detector.save(file)
            detector = load(file, device="cpu")
            points.append(
                {
                    "updates": number + 1,
                    "rows": detector.members[0].model.n_rows,  # type: ignore[attr-defined]
                    "file_mb": file.stat().st_size / 1e6,
                    "memory_mb": psutil.Process().memory_info().rss / 1e6,
                    "entries": len(detector.lineage.entries) if detector.lineage else 0,
                }
            )
    test = [in_light(path, LAST_GAIN) for path in one.test]
    refit = recipe.fit(given)
    both = {
        "updated": detector,
        "refit": refit,
        "first": recipe.fit([in_light(path, 1.0) for path in drawn[:N_FIRST]]),
    }
    compared = {}
    for name, each in both.items():
        scores = np.array([found.score for found in each.predict_each(test)])
        good = scores[~one.is_defect]
        compared[name] = {
            "auroc": ranked(scores, one.is_defect),
            "false_alarms": float((good > each.calibration.threshold).mean()),
        }
    return {"points": points, "at_the_end": compared}


def ranked(scores: NDArray[np.float64], is_defect: NDArray[np.bool_]) -> float:
    """AUROC of scores."""
    return auroc(count_images(scores, is_defect))


def in_light(path: Path, gain: float) -> NDArray[np.uint8]:
    """A photograph in another light, (H, W, 3)."""
    image = image_source(path).read().astype(np.float32)
    return np.rint(np.clip(image * gain, 0, 255)).astype(np.uint8)


def arguments(doc: str, work: Path) -> argparse.ArgumentParser:
    """The options of all scripts that measure with `Set`."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, default=work)
    parser.add_argument("--most", type=int, help="good photographs, and then half the test ones")
    parser.add_argument("--changes", type=json.loads, default={}, help="settings, in JSON")
    return parser


def settings_of(options: argparse.Namespace) -> Result:
    """The settings that are written down with the results."""
    return {"changes": options.changes, "most": options.most, "rate": RATE}


def machine_line(machine: Result) -> str:
    """The last line of a page."""
    return f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.0f}"


def main() -> None:
    """Measure what is asked, and write all that is known."""
    parser = arguments(__doc__, Path("update-work"))
    parser.add_argument("--splits", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=["held_back", "false_alarms", "stream"])
    options = parser.parse_args()
    results: Result = {}
    for root in options.sets:
        one = Set(root, options.work, options.most, options.changes)
        found: Result = {"good": len(one.good), "test": len(one.test)}
        if "held_back" in options.only:
            names = [(f"held_back{split}", split) for split in options.splits]
            found["held_back"] = [
                one.result(name, partial(held_back, one, split)) for name, split in names
            ]
        for name, measured in (("false_alarms", false_alarms), ("stream", stream)):
            if name in options.only:
                found[name] = one.result(name, partial(measured, one))
        results[one.name] = found
    question = "What does an update cost and keep, against a fit on all photographs?"
    write_results(HERE / "update.json", question, settings_of(options), results, page)


def page(written: Result) -> str:
    """The results as tables."""
    lines = ["# Updates", "", f"`{written['command']}`", ""]
    lines += [__doc__.split("\n\n")[2].strip(), ""]
    for name, found in written["results"].items():
        lines += [f"## {name}: {found['good']} good photographs, {found['test']} to test", ""]
        lines += _held_back_table(found.get("held_back", []))
        if "false_alarms" in found:
            lines += _table(found["false_alarms"])
        if "stream" in found:
            lines += _stream_table(found["stream"])
    lines.append(machine_line(written["environment"]))
    return "\n".join(lines) + "\n"


def _held_back_table(splits: Sequence[Result]) -> list[str]:
    """One row for each split."""
    if not splits:
        return []
    lines = [
        "| split | AUROC before | after | of all | false alarms after | of all | rows | "
        "radii after / of all | CPU s update | fit | ratio |",
        "|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|",
    ]
    for number, one in enumerate(splits):
        after, whole = one["after"], one["all"]
        pairs = zip(after["radii"], whole["radii"], strict=True)
        radii = ", ".join(f"{own / of_all:.3f}" for own, of_all in pairs)
        update_s, fit_s = one["update_cpu_s"], one["fit_cpu_s"]
        lines.append(
            f"| {number} | {one['before']['auroc']:.4f} | {after['auroc']:.4f} | "
            f"{whole['auroc']:.4f} | {after['false_alarms']:.3f} | {whole['false_alarms']:.3f} | "
            f"{one['before']['rows']:,} -> {after['rows']:,} | {radii} | {update_s:.1f} | "
            f"{fit_s:.1f} | {update_s / fit_s:.2f} |"
        )
    return [*lines, ""]


def _table(facts: Result) -> list[str]:
    """Names and values."""
    rows = [f"| {name} | {_short(value)} |" for name, value in facts.items()]
    return ["| five false alarms said to be normal | |", "|---|--:|", *rows, ""]


def _stream_table(facts: Result) -> list[str]:
    """One row for each tenth update, then the detectors at the end."""
    names = list(facts["points"][0])
    lines = [f"| {' | '.join(names)} |", "|" + "--:|" * len(names)]
    for point in facts["points"]:
        lines.append("| " + " | ".join(_short(point[name]) for name in names) + " |")
    lines += ["", "| at the end | AUROC | false alarms |", "|---|--:|--:|"]
    for name, one in facts["at_the_end"].items():
        lines.append(f"| {name} | {one['auroc']:.4f} | {one['false_alarms']:.3f} |")
    return [*lines, ""]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value < 1 else f"{value:.1f}"
    return ", ".join(value) if isinstance(value, list) else f"{value}"


if __name__ == "__main__":
    main()
