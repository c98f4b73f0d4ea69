"""Does a threshold from good photographs alone keep its false-alarm rate?  And what does it find?

    python benchmarks/quality/threshold.py ../shared/data/screw ../shared/data/mtd --solar-cells

From a pool of good photographs of a set (those of its test part too) n are drawn at random and
learned; the others are unseen good parts, exchangeable with the learned ones.  The rules ``ranks``
(conformal ranks alone) and ``tail`` (ranks refined by a tail model) get the same left-out scores
and the same scores of unseen parts.  In a second run over the same draws one of the n is a defect.

There are two kinds of bank, both with the features of the preset fast.  ``whole`` keeps all
patches, so that distances between photographs, computed once, give the scores of any draw: many
draws.  ``fast`` is the preset as it is, 4,000 rows at most, with a fit for each draw: few draws.
Up to 4,000 patches the two are the same.  Distances and scores are kept in the folder --work, and
an interrupted run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank.backbones import FeatureExtractor, open_backbone
from patchbank.core.scores.calibration import RULES, Calibration
from patchbank.core.scores.image_score import grid_score
from patchbank.datasets import find_dataset, good_images
from patchbank.datasets.elpv import solar_cells
from patchbank.detector.preprocessing import extract
from patchbank.images.source import image_source
from patchbank.methods import METHODS, TrainingImage
from patchbank.methods.memory_bank.learner import BankLearner
from patchbank.methods.patchcore import embed
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.settings import part_of

HERE = Path(__file__).parent
METHOD = METHODS["patchcore"]
SETTINGS = METHOD.settings_from("fast", {})
PARAMETERS = part_of(SETTINGS, METHOD.parameters)
RATES = (0.01, 0.05, 0.1)
SIZES = (5, 8, 15, 31, 60, 150)
"""Numbers of learned photographs."""
SIZES_OF_FAST = (31,)
"""Those at which the preset is fitted."""
WITH_DEFECT = {"whole": (15, 31, 60, 150), "fast": (31,)}
"""Bank -> numbers of photographs at which one of them is a defect in the second run."""
N_GOOD, N_DEFECTS, N_CULPRITS = 300, 80, 20
"""Photographs of a set: good ones, defects to find, and defects to slip among the learned ones."""
UNSEEN_BY_FAST, DEFECTS_BY_FAST = 80, 40
Patches = NDArray[np.float32]
Draw = dict[str, Any]


class Photographs:
    """The embedded photographs of one set, (h, w, d) each: good ones, defects, and culprits."""

    def __init__(
        self, name: str, good: Sequence[Path], defects: Sequence[Path], stored: Path
    ) -> None:
        rng = np.random.default_rng(0)
        chosen = [good[i] for i in rng.permutation(len(good))[:N_GOOD]]
        chosen += [defects[i] for i in rng.permutation(len(defects))[: N_CULPRITS + N_DEFECTS]]
        if not stored.exists():
            extractor = open_backbone(SETTINGS.backbone, SETTINGS.layers)
            np.savez(stored, *(_embedded(extractor, path) for path in chosen))
        with np.load(stored) as file:
            embedded: list[Patches] = [file[f"arr_{i}"] for i in range(len(chosen))]
        self.name = name
        self.good = embedded[:N_GOOD]
        self.culprits = embedded[N_GOOD : N_GOOD + N_CULPRITS]
        self.defects = embedded[N_GOOD + N_CULPRITS :]


def _embedded(extractor: FeatureExtractor, path: Path) -> Patches:
    maps, _ = extract(extractor, SETTINGS, image_source(path).read())
    embedding: Patches = embed(PARAMETERS, maps)
    return embedding


def drawn(n: int, number: int, n_good: int) -> tuple[NDArray[np.intp], int]:
    """All good photographs in random order, of which the first n are learned; and a culprit."""
    rng = np.random.default_rng([n, number])
    return rng.permutation(n_good), int(rng.integers(N_CULPRITS))


class WholeBank:
    """Distances of all patches to all photographs that may be learned."""

    def __init__(self, photographs: Photographs, stored: Path) -> None:
        self.name = photographs.name
        self.n_good = len(photographs.good)
        self._sizes = [
            rows.shape[0] * rows.shape[1]
            for rows in (*photographs.good, *photographs.culprits, *photographs.defects)
        ]
        if not stored.exists():
            np.save(stored, self._computed(photographs))
        self._distances = np.load(stored)
        """(photograph, learned photograph, patch); infinite beyond its last patch."""

    def _computed(self, photographs: Photographs) -> NDArray[np.float32]:
        learned = [*photographs.good, *photographs.culprits]
        flat = [rows.reshape(-1, rows.shape[2]) for rows in (*learned, *photographs.defects)]
        squares = [(rows**2).sum(axis=1) for rows in flat]
        shape = (len(flat), len(learned), max(self._sizes))
        table = np.full(shape, np.inf, dtype=np.float32)
        for number, rows in enumerate(flat):
            for other in range(number if number < len(learned) else 0, len(learned)):
                squared = squares[other] - 2 * (rows @ flat[other].T) + squares[number][:, None]
                table[number, other, : len(rows)] = _root(squared.min(axis=1))
                if number < len(learned):  # the same products, seen from the other photograph
                    table[other, number, : len(flat[other])] = _root(squared.min(axis=0))
        return table

    def draw(self, n: int, number: int, *, with_defect: bool) -> Draw:
        """Scores of left-out photographs, unseen good ones and defects."""
        order, culprit = drawn(n, number, self.n_good)
        learned = order[:n].copy()
        if with_defect:
            learned[-1] = self.n_good + culprit

        def scores(photographs: Sequence[int], *, left_out: bool = False) -> list[float]:
            return [
                self._score(p, learned[learned != p] if left_out else learned) for p in photographs
            ]

        return {
            "left_out": scores([int(p) for p in learned], left_out=True),
            "good": scores([int(p) for p in order[n:]]),
            "defects": scores(range(self.n_good + N_CULPRITS, len(self._sizes))),
        }

    def _score(self, photograph: int, learned: NDArray[np.intp]) -> float:
        nearest = self._distances[photograph, learned, : self._sizes[photograph]].min(axis=0)
        return _image_score(nearest)


def _root(squared: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances from their squares, which rounding may make negative."""
    distances: NDArray[np.float32] = np.sqrt(np.maximum(squared, 0))
    return distances


def _image_score(nearest: NDArray[np.float32]) -> float:
    return float(grid_score(nearest[None], PARAMETERS.image_score, PARAMETERS.top_fraction, None))


class FastBank:
    """Fits of the preset itself."""

    def __init__(self, photographs: Photographs) -> None:
        self._photographs = photographs

    def draw(self, n: int, number: int, *, with_defect: bool) -> Draw:
        """Scores of left-out photographs, unseen good ones and defects."""
        photographs = self._photographs
        order, culprit = drawn(n, number, len(photographs.good))
        learned = [photographs.good[i] for i in order[:n]]
        if with_defect:
            learned[-1] = photographs.culprits[culprit]
        learner = BankLearner(PARAMETERS, lambda maps: maps[0], n, NullProgress(), HOST)
        for position, rows in enumerate(learned):
            learner.add(TrainingImage([rows], position))
        fit = learner.fit()

        def scores(embedded: Sequence[Patches]) -> list[float]:
            return [float(fit.model.score([rows]).image_score) for rows in embedded]

        return {
            "left_out": [float(each.image_score) for each in fit.left_out],
            "good": scores([photographs.good[i] for i in order[n : n + UNSEEN_BY_FAST]]),
            "defects": scores(photographs.defects[:DEFECTS_BY_FAST]),
        }


def fast_draws(bank: FastBank, stored: Path, n_draws: int) -> Iterator[tuple[Draw, Draw]]:
    """Yield what was drawn, and the scores; those that `stored` has are not computed again."""
    known = {}
    if stored.exists():
        for line in stored.read_text().splitlines():
            key, scores = json.loads(line)
            known[tuple(key)] = scores
    with stored.open("a") as file:
        for number in range(n_draws):
            for n in SIZES_OF_FAST:
                for with_defect in (False, True)[: 1 + (n in WITH_DEFECT["fast"])]:
                    key = (n, number, with_defect)
                    if key not in known:
                        known[key] = bank.draw(n, number, with_defect=with_defect)
                        file.write(json.dumps([key, known[key]]) + "\n")
                        file.flush()
                    yield {"n": n, "number": number, "with_defect": with_defect}, known[key]


def whole_draws(bank: WholeBank, n_draws: int) -> Iterator[tuple[Draw, Draw]]:
    """Yield what was drawn, and the scores."""
    for n in SIZES:
        for number in range(n_draws):
            for with_defect in (False, True)[: 1 + (n in WITH_DEFECT["whole"])]:
                facts = {"n": n, "number": number, "with_defect": with_defect}
                yield facts, bank.draw(n, number, with_defect=with_defect)


def draws_of(
    photographs: Photographs, bank: str, n_draws: Sequence[int], work: Path
) -> Iterator[tuple[Draw, Draw]]:
    """Yield the draws of one set and kind of bank."""
    stored = work / photographs.name.replace(" ", "_")
    if bank == "whole":
        return whole_draws(WholeBank(photographs, stored.with_suffix(".npy")), n_draws[0])
    return fast_draws(FastBank(photographs), stored.with_suffix(".jsonl"), n_draws[1])


def figures(facts: Draw, scores: Draw) -> list[Draw]:
    """False alarms and detection of one draw, for each rule and rate; and who is named."""
    left_out = np.array(scores["left_out"])
    rows = []
    for rule in RULES:
        for rate in RATES:
            calibration = Calibration(left_out, left_out, rate, rule=rule)
            unlike = calibration.unlike_others
            rows.append(
                {
                    **facts,
                    "rule": rule,
                    "rate": rate,
                    "false_alarms": _share_above(scores["good"], calibration.threshold),
                    "found": _share_above(scores["defects"], calibration.threshold),
                    "named": len(left_out) - 1 in unlike,
                    "is_highest": int(left_out.argmax()) == len(left_out) - 1,
                    "n_named": len(unlike),
                }
            )
    return rows


def _share_above(scores: Sequence[float], threshold: float) -> float:
    return float(np.mean(np.array(scores) > threshold))


def summary(rows: Sequence[Draw]) -> list[Draw]:
    """Means and spreads over the draws of each combination of set, bank, n, rule, rate."""
    keys = ("set", "bank", "n", "with_defect", "rule", "rate")
    combinations: dict[tuple[Any, ...], list[Draw]] = {}
    for row in rows:
        combinations.setdefault(tuple(row[key] for key in keys), []).append(row)
    results = []
    for combination, of_it in combinations.items():
        alarms = np.array([row["false_alarms"] for row in of_it])
        highest = [row["named"] for row in of_it if row["is_highest"]]
        results.append(
            {
                **dict(zip(keys, combination, strict=True)),
                "draws": len(of_it),
                "false_alarms": float(alarms.mean()),
                "false_alarms_deviation": float(alarms.std()),
                "found": float(np.mean([row["found"] for row in of_it])),
                "named": float(np.mean([row["named"] for row in of_it])),
                "highest": len(highest),
                "named_where_highest": float(np.mean(highest)) if highest else None,
                "n_named": float(np.mean([row["n_named"] for row in of_it])),
            }
        )
    return results


def _chosen(results: Sequence[Draw], **conditions: Any) -> list[Draw]:
    return [row for row in results if all(row[k] == value for k, value in conditions.items())]


def _mean(rows: Sequence[Draw], key: str) -> float:
    return 100 * float(np.mean([row[key] for row in rows]))


def first_table(results: Sequence[Draw]) -> list[str]:
    """Realised false alarms and detection by rate, rule and n."""
    sizes = list(dict.fromkeys(row["n"] for row in results))
    lines = [
        "| asked | rule | " + " | ".join(f"n = {n}" for n in sizes) + " |",
        "|---|---|" + "--:|" * len(sizes),
    ]
    for rate in RATES:
        for rule in reversed(RULES):
            cells = []
            for n in sizes:
                rows = _chosen(results, n=n, rule=rule, rate=rate, with_defect=False)
                worst = max((row["false_alarms"] for row in rows), key=lambda x: abs(x - rate))
                cells.append(
                    f"{_mean(rows, 'false_alarms'):.1f} ± "
                    f"{_mean(rows, 'false_alarms_deviation'):.1f} ({100 * worst:.1f}) "
                    f"d {_mean(rows, 'found'):.1f}"
                )
            lines.append(f"| {rate:.0%} | {rule} | " + " | ".join(cells) + " |")
    return lines


def set_table(results: Sequence[Draw], rate: float) -> list[str]:
    """False alarms and detection at one rate, set by set."""
    sizes = list(dict.fromkeys(row["n"] for row in results))
    lines = [
        "| set | rule | " + " | ".join(f"n = {n}" for n in sizes) + " |",
        "|---|---|" + "--:|" * len(sizes),
    ]
    for name in dict.fromkeys(row["set"] for row in results):
        for rule in reversed(RULES):
            cells = []
            for n in sizes:
                rows = _chosen(results, n=n, rule=rule, rate=rate, with_defect=False, set=name)
                cells.append(f"{_mean(rows, 'false_alarms'):.1f} d {_mean(rows, 'found'):.1f}")
            lines.append(f"| {name} | {rule} | " + " | ".join(cells) + " |")
    return lines


def defect_table(results: Sequence[Draw]) -> list[str]:
    """What one defect among the n photographs costs."""
    lines = [
        "| asked | n | rule | false alarms | found without it | with it | share | named "
        "| named where highest | good ones named |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for rate in RATES:
        for n in dict.fromkeys(row["n"] for row in results if row["with_defect"]):
            for rule in reversed(RULES):
                rows = _chosen(results, n=n, rule=rule, rate=rate, with_defect=True)
                clean = _chosen(results, n=n, rule=rule, rate=rate, with_defect=False)
                shares = [
                    row["found"] / of_set["found"]
                    for row, of_set in zip(rows, clean, strict=True)
                    if of_set["found"]
                ]
                highest = sum(row["highest"] for row in rows)
                named = sum((row["named_where_highest"] or 0) * row["highest"] for row in rows)
                lines.append(
                    f"| {rate:.0%} | {n} | {rule} | {_mean(rows, 'false_alarms'):.1f} "
                    f"| {_mean(clean, 'found'):.1f} | {_mean(rows, 'found'):.1f} "
                    f"| {np.mean(shares):.2f} | {_mean(rows, 'named'):.0f} % "
                    f"| {100 * named / max(highest, 1):.0f} % "
                    f"| {_mean(rows, 'n_named') / 100 - _mean(rows, 'named') / 100:.2f} |"
                )
    return lines


def page(record: Draw) -> str:
    """The results as Markdown."""
    where, draws = record["environment"], record["settings"]["draws"]
    lines = [
        "# Does a threshold from good photographs keep its word?",
        "",
        f"Made by `python {record['command']}` on {where['processor']}, {where['cores']} cores, "
        f"commit {where['commit']}.",
        "",
        f"{N_GOOD} good photographs of each set, train and test together, are one pool; n are "
        "drawn at random and learned, the others are unseen good parts (up to "
        f"{UNSEEN_BY_FAST} with the cut bank). So they are exchangeable by construction: what "
        "another day, another camera or a series costs is not in these figures.",
        "",
        "Cells: mean false alarms over the sets in % ± standard deviation from draw to draw (mean "
        "of the set farthest from what was asked), and d, the defects found in %. `ranks` is the "
        "rule of detector files of format 2. In the second table, *share* is what is found over "
        "what is found without the defect, mean over the sets; *named* are draws in which the "
        "defect is called unlike the others; *where highest*, of those in which no good "
        "photograph scores higher; *good ones named*, per draw.",
    ]
    for bank, title in (("whole", "Whole bank"), ("fast", "Bank of the preset fast")):
        results = _chosen(record["results"], bank=bank)
        lines += ["", f"## {title}, {draws[bank]} draws", "", *first_table(results)]
        for rate in RATES[1:]:
            lines += ["", f"At {rate:.0%}, set by set:", "", *set_table(results, rate)]
        lines += ["", "One of the photographs is a defect:", "", *defect_table(results)]
    return "\n".join(lines) + "\n"


def photographs_of(root: Path) -> tuple[str, list[Path], list[Path]]:
    """Name, good photographs and defects of a folder in MVTec layout."""
    samples = find_dataset(root).samples
    good = [Path(str(path)) for path in good_images(root)]
    good += [sample.path for sample in samples if not sample.is_defect]
    return root.name, good, [sample.path for sample in samples if sample.is_defect]


def photographs_of_solar_cells() -> tuple[str, list[Path], list[Path]]:
    """Name, functional and defective cells."""
    learned, test = solar_cells(draw_defects=True)
    good = [*learned, *(sample.path for sample in test.samples if not sample.is_defect)]
    return "solar cells", good, [sample.path for sample in test.samples if sample.is_defect]


def main() -> None:
    """Make all draws, and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="*", type=Path)
    parser.add_argument("--solar-cells", action="store_true", help="those of elpv-dataset, too")
    parser.add_argument("--draws", nargs=2, type=int, default=(100, 20), metavar=("WHOLE", "FAST"))
    parser.add_argument("--work", type=Path, default=Path("build/threshold"))
    parser.add_argument("--out", type=Path, default=HERE / "threshold")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    sets = [photographs_of(root) for root in given.roots]
    if given.solar_cells:
        sets.append(photographs_of_solar_cells())
    photographs = [
        Photographs(*of_set, given.work / f"{of_set[0].replace(' ', '_')}.npz") for of_set in sets
    ]
    rows: list[Draw] = []
    for bank in ("whole", "fast"):
        for of_set in photographs:
            for facts, scores in draws_of(of_set, bank, given.draws, given.work):
                rows += figures({"set": of_set.name, "bank": bank, **facts}, scores)
            print(time.strftime("%H:%M"), of_set.name, bank, flush=True)
    record = {
        "question": (__doc__ or "").partition("\n")[0],
        "command": " ".join(sys.argv),
        "environment": environment(),
        "settings": {
            **SETTINGS.to_mapping(),
            "draws": dict(zip(("whole", "fast"), given.draws, strict=True)),
        },
        "results": summary(rows),
    }
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    given.out.with_suffix(".md").write_text(page(record))


if __name__ == "__main__":
    main()
