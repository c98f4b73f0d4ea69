"""What a detector that remembers defects lets pass when defects are presented as good.

    python benchmarks/quality/guard.py ../shared/data/screw ../shared/data/mtd

A detector is fitted on all good photographs.  Ten defects that it finds, of every kind in turn, are
presented to it as good, each ten times, moved by some pixels and in a slightly different light, so
that no photograph is the same.  Before that, the detector remembers every second one of the other
defects of that kind that it finds (``--remember``: scores and patches, no photographs).
``update``: they are learned as good photographs; ``normal``: they are said to be normal.

Each attempt is refused by the guard, or is taken, and the next one meets the changed detector.
The photographs of the remembered defects are inspected after each attempt, to see whether what the
guard says is true: *wrongly taken* is an attempt that was taken although a remembered defect is
lost by it, *wrongly refused* one that was refused although its update, forced, loses none.  The
other defects of that kind, which were found before and are not remembered, say what it lets pass.

Feature maps and results are kept in the folder --work; an interrupted run goes on from there, and
--defects measures some of the ten alone.
"""

from __future__ import annotations

import sys
import warnings
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from update import Set, arguments, machine_line, ranked, settings_of

from environment import write_results
from patchbank import Detector, GuardError
from patchbank.images.source import image_source

HERE = Path(__file__).parent
N_DEFECTS, N_ATTEMPTS = 10, 10
WAYS: tuple[Literal["update", "normal"], ...] = ("update", "normal")
Result = dict[str, Any]


def presented(path: Path, attempt: int) -> NDArray[np.uint8]:
    """A photograph of a defect, moved and in another light, (H, W, 3)."""
    image = image_source(path).read().astype(np.float32)
    moved = np.roll(image, (attempt - 4, 2 * attempt - 9), axis=(0, 1))
    return np.rint(np.clip(moved * (1 + 0.005 * (attempt - 4)), 0, 255)).astype(np.uint8)


class Trial:
    """One defect that is presented in one way."""

    def __init__(self, one: Set, number: int, way: Literal["update", "normal"]) -> None:
        self.one, self.way = one, way
        detector, _ = one.fitted("all", one.good)
        self.scores = np.array(one.result("scores", lambda: one.scores(detector).tolist()))
        found = (self.scores > detector.calibration.threshold) & one.is_defect
        kinds: dict[str, list[int]] = {}
        for index in np.flatnonzero(found):
            kinds.setdefault(one.test[index].parent.name, []).append(int(index))
        in_turn = [i for i in chain(*zip_longest(*kinds.values())) if i is not None]
        self.index = in_turn[number]
        others = [i for i in kinds[one.test[self.index].parent.name] if i != self.index]
        self.remembered, self.free = others[::2], others[1::2]
        self.detector = one.plain(detector)
        if self.remembered:
            self.detector = self.detector.remembering([one.test[i] for i in self.remembered])

    def updated(self, image: NDArray[np.uint8], *, force: bool) -> Detector | None:
        """The detector that has learned a photograph; None where it is no false alarm to it."""
        forced: Result = {"force": True, "reason": "measured"} if force else {}
        if self.way == "update":
            return self.detector.updated([image], **forced)
        inspection = self.detector.predict(image)
        if not inspection.is_anomalous:
            return None
        return self.detector.updated(normal=inspection, **forced)

    def lost(self, detector: Detector, indices: list[int]) -> int:
        """Defects that a detector does not find, of some that the first one finds."""
        cached = self.one.with_stored(detector)
        inspected = cached.predict_each([self.one.test[i] for i in indices])
        return sum(not each.is_anomalous for each in inspected)

    def run(self) -> Result:
        """Present the defect, again and again."""
        path = self.one.test[self.index]
        counts = dict.fromkeys(
            ("taken", "refused", "ordinary", "wrongly_taken", "wrongly_refused"), 0
        )
        for attempt in range(N_ATTEMPTS):
            image = presented(path, attempt)
            try:
                changed = self.updated(image, force=False)
            except GuardError:
                counts["refused"] += 1
                forced = self.updated(image, force=True)
                if forced is not None and self.lost(forced, self.remembered) == 0:
                    counts["wrongly_refused"] += 1
                continue
            if changed is None:
                counts["ordinary"] += 1
                continue
            counts["taken"] += 1
            self.detector = changed
            counts["wrongly_taken"] += self.lost(changed, self.remembered) > 0
        after = self.one.scores(self.one.with_stored(self.detector))
        return {
            "defect": f"{path.parent.name}/{path.name}",
            "remembered": len(self.remembered),
            **counts,
            "others": len(self.free),
            "others_lost": self.lost(self.detector, self.free),
            "auroc_before": ranked(self.scores, self.one.is_defect),
            "auroc_after": ranked(after, self.one.is_defect),
        }


def main() -> None:
    """Measure what is asked, and write all that is known."""
    parser = arguments(__doc__, Path("guard-work"))
    parser.add_argument("--defects", nargs="*", type=int, default=list(range(N_DEFECTS)))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # what is forced here is named by each of them
    results: Result = {}
    for root in options.sets:
        one = Set(root, options.work, options.most, options.changes)
        results[one.name] = {
            way: [
                one.result(f"{way}-{number}", lambda n=number, w=way, o=one: Trial(o, n, w).run())
                for number in options.defects
            ]
            for way in WAYS
        }
    question = "What does the guard let pass when defects are presented as good?"
    write_results(HERE / "guard.json", question, settings_of(options), results, page)


def page(written: Result) -> str:
    """The results as tables."""
    lines = ["# Defects presented as good", "", f"`{written['command']}`", ""]
    lines += [*__doc__.split("\n\n")[2:4], ""]
    for name, ways in written["results"].items():
        for way, rows in ways.items():
            lines += [f"## {name}, {way}", "", *_table(rows), ""]
    lines.append(machine_line(written["environment"]))
    return "\n".join(lines) + "\n"


def _table(rows: list[Result]) -> list[str]:
    """One row for each defect, and their sums."""
    counted = ["remembered", "taken", "refused", "ordinary", "wrongly_taken", "wrongly_refused"]
    counted += ["others", "others_lost"]
    names = ["defect", *counted, "AUROC before", "after"]
    titles = " | ".join(name.replace("_", " ") for name in names)
    lines = [f"| {titles} |", "|---|" + "--:|" * (len(names) - 1)]
    for row in rows:
        cells = [row["defect"], *(str(row[name]) for name in counted)]
        cells += [f"{row['auroc_before']:.4f}", f"{row['auroc_after']:.4f}"]
        lines.append(f"| {' | '.join(cells)} |")
    sums = [str(sum(row[name] for row in rows)) for name in counted]
    return [*lines, f"| all | {' | '.join(sums)} | | |"]


if __name__ == "__main__":
    main()
