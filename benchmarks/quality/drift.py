"""False alarms and delays of the monitor: streams that stay as they are, and streams that change.

    python benchmarks/quality/drift.py --real ../shared/data/screw ../shared/data/mtd

*Synthetic* streams have a calibration of n scores (rule tail, 5 %) and 10,000 parts of the same
distribution: lognormal, gamma, heavy-tailed, or with few distinct values (ties).  Changes are in
standard deviations of a lognormal score.  *Real* streams are scores of photographs that were not
learned, in random order; from the middle on they are compressed as JPEG.  For comparison: the same
bets on the p-values of the fixed calibration, and streams with five photographs of each part.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import PatchCore
from patchbank.core.scores.calibration import Calibration, conformal_p_value
from patchbank.core.scores.martingale import evidence_of
from patchbank.datasets import good_images
from patchbank.detector.detector import Detector
from patchbank.detector.monitor import Monitor, MonitorState

HERE = Path(__file__).parent
PARTS = 10_000
SIZES = (31, 150)
RATES = (0.01, 0.05)
AFTER = 4_000  # parts after a change; a change not found by then counts as missed
SHIFTS = (0.25, 0.5, 1.0, 2.0, -0.5, -1.0)
STARTS = (0, 100, 1_000, 5_000)
COPIES = 5  # photographs of each part in a burst
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
KINDS: dict[str, Draw] = {
    "lognormal": lambda rng, n: 20 * np.exp(0.1 * rng.standard_normal(n)),
    "gamma": lambda rng, n: rng.gamma(4.0, size=n),
    "heavy tail": lambda rng, n: 20 + np.abs(rng.standard_t(2.0, size=n)),
    "ten values": lambda rng, n: 5.0 + rng.binomial(10, 0.3, size=n),
}


@dataclass(frozen=True)
class Run:
    """What a monitor said of one stream."""

    highest: float
    flagged_highest: float
    end: MonitorState


def monitor(learned: NDArray[np.float64], seed: int, rate: float = RATES[0]) -> Monitor:
    """A monitor with a calibration of the learned scores."""
    calibration = Calibration(learned, learned, 0.05, rule="tail")
    return Monitor(calibration, f"{seed:064x}", rate)


def watched(monitor: Monitor, scores: Iterable[float]) -> Run:
    """Add all scores, and note the highest evidence."""
    states = [monitor.add(score) for score in scores]
    return Run(
        max(state.evidence for state in states),
        max(state.flagged_evidence for state in states),
        states[-1],
    )


def unchanged(task: tuple[int, int]) -> dict[str, Any]:
    """The highest evidence of a stream that stays as it is, with n learned scores."""
    n, seed = task
    kind = list(KINDS)[seed % len(KINDS)]
    rng = np.random.default_rng([n, seed])
    learned, stream = KINDS[kind](rng, n), KINDS[kind](rng, PARTS)
    run = watched(monitor(learned, seed), stream.tolist())
    fixed = np.array([conformal_p_value(learned, score) for score in stream])
    fixed -= rng.random(PARTS) / (n + 1)  # ties at random
    return {
        "n": n,
        "kind": kind,
        "seed": seed,
        "scores": run.highest,
        "verdicts": run.flagged_highest,
        "fixed": float(evidence_of(fixed).max()),
    }


def bursts(seed: int) -> dict[str, Any]:
    """Five photographs of each part: all of them added, and one of them."""
    rng = np.random.default_rng([5, seed])
    learned, parts = KINDS["lognormal"](rng, 150), KINDS["lognormal"](rng, PARTS // COPIES)
    stream = np.repeat(parts, COPIES) * np.exp(0.01 * rng.standard_normal(PARTS))
    every = watched(monitor(learned, seed), stream.tolist())
    one = watched(monitor(learned, seed), stream[::COPIES].tolist())
    return {"seed": seed, "every": every.highest, "one": one.highest}


def changed(task: tuple[int, int, float, int]) -> dict[str, Any]:
    """Parts until the alarm in a stream that changes, and the error of the estimated start."""
    n, start, shift, seed = task
    rng = np.random.default_rng([n, start, seed])
    learned = KINDS["lognormal"](rng, n)
    stream = KINDS["lognormal"](rng, start + AFTER)
    stream[start:] *= np.exp(0.1 * shift)
    row = {"n": n, "start": start, "shift": shift, "seed": seed}
    return row | delay(monitor(learned, seed), stream, start)


def delay(monitor: Monitor, stream: NDArray[np.float64], start: int) -> dict[str, Any]:
    """The first alarm of a stream that changes after `start` parts, if it has one."""
    for score in stream.tolist():
        state = monitor.add(score)
        if state.alarm:
            break
    changes = [change for change in (state.change, state.more_flagged) if change is not None]
    if not changes:
        return {"delay": None, "since_error": None, "by": None}
    first = changes[0]
    return {
        "delay": first.part - start,
        "since_error": first.since - (start + 1),
        "by": first.direction,
    }


def real(root: Path, draws: int, learned: int) -> list[dict[str, Any]]:
    """Photographs that were not learned, as they are, and as JPEG from the middle on."""
    paths = np.array(good_images(root), dtype=object)
    found = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(paths))
        detector = PatchCore.preset("fast", false_alarm_rate=0.05).fit(list(paths[order[:learned]]))
        stream = list(paths[order[learned:][:300]])
        scores = [each.score for each in detector.predict_each(stream)]
        pressed = [each.score for each in detector.predict_each([jpeg(path) for path in stream])]
        row = {"set": root.name, "learned": learned, "seed": seed, "parts": len(scores)}
        as_it_is = watched(fresh(detector), scores)
        row |= {"scores": as_it_is.highest, "verdicts": as_it_is.flagged_highest}
        middle = len(scores) // 2
        changing = np.array(scores[:middle] + pressed[middle:])
        found.append(row | delay(fresh(detector), changing, middle))
        print(f"{root.name}, n = {learned}, draw {seed}", flush=True)
    return found


def fresh(detector: Detector) -> Monitor:
    """A monitor of a detector before the first part."""
    return Monitor(detector.calibration, detector.sha256, RATES[0])


def jpeg(path: Path) -> bytes:
    """The photograph compressed as JPEG of quality 60."""
    stream = io.BytesIO()
    with pillow.open(path) as picture:
        picture.convert("RGB").save(stream, "JPEG", quality=60)
    return stream.getvalue()


def main() -> None:
    """Run all streams, and write the figures and the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--changing", type=int, default=20)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--real", nargs="*", type=Path, default=[])
    parser.add_argument("--out", type=Path, default=HERE / "drift")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    record = {"command": " ".join(sys.argv), "environment": environment()}
    with ProcessPoolExecutor(given.workers) as pool:
        tasks: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
            "unchanged": (unchanged, list(product(SIZES, range(given.streams)))),
            "bursts": (bursts, list(range(given.changing))),
            "changed": (changed, list(product(SIZES, STARTS, SHIFTS, range(given.changing)))),
        }
        for name, (work, rows) in tasks.items():
            record[name] = list(pool.map(work, rows, chunksize=4))
            print(name, flush=True)
    record["real"] = [
        row for root in given.real for n in SIZES for row in real(root, given.draws, n)
    ]
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    given.out.with_suffix(".md").write_text(page(record))


def alarms(values: Iterable[float], rate: float) -> str:
    """Share of highest evidences that reach the alarm line of a rate, as a fraction."""
    lines = [value >= -np.log10(rate) for value in values]
    return f"{sum(lines)} of {len(lines)}"


def page(record: dict[str, Any]) -> str:
    """The tables, in Markdown."""
    where = record["environment"]
    lines = [
        "# False alarms and delays of the monitor",
        "",
        f"Made by `python {record['command']}` on {where['processor']}, commit {where['commit']}.",
        "",
        f"## Nothing changes: streams of {PARTS:,} parts with an alarm",
        "",
        "| learned | promised | scores of passed parts | verdicts | fixed calibration instead |",
        "|--:|--:|--:|--:|--:|",
    ]
    for n in SIZES:
        rows = [row for row in record["unchanged"] if row["n"] == n]
        for rate in RATES:
            cells = [alarms([r[k] for r in rows], rate) for k in ("scores", "verdicts", "fixed")]
            lines.append(f"| {n} | {rate:.0%} | {' | '.join(cells)} |")
    burst = record["bursts"]
    every, one = (alarms([row[key] for row in burst], RATES[0]) for key in ("every", "one"))
    lines += [
        "",
        f"Five photographs of each part, promised 1 %: alarms in {every} streams when all of them "
        f"are added, in {one} when one of each part is.",
        "",
        "## Something changes: median delay in parts (missed), promised 1 %",
        "",
        "A shift is in standard deviations of the log score of good parts. An alarm before the "
        "change counts with its negative delay.",
    ]
    for n in SIZES:
        lines += ["", f"{n} photographs learned:", "", "| change after | "]
        lines[-1] += " | ".join(f"shift {shift:+g}" for shift in SHIFTS) + " |"
        lines.append("|--:|" + "--:|" * len(SHIFTS))
        for start in STARTS:
            cells = [_delays(record["changed"], n, start, shift) for shift in SHIFTS]
            lines.append(f"| {start:,} | {' | '.join(cells)} |")
    errors = [abs(r["since_error"]) for r in record["changed"] if r["since_error"] is not None]
    lines += [
        "",
        f"The estimated start is off by {np.median(errors):.0f} parts in the median, by "
        f"{np.quantile(errors, 0.9):.0f} in the worst tenth.",
    ]
    if not record["real"]:
        return "\n".join(lines) + "\n"
    lines += [
        "",
        "## Real photographs, promised 1 %",
        "",
        "Scores of the preset `fast`, in random order; the change is JPEG of quality 60 from the "
        "middle on.",
        "",
        "| set | learned | parts | false alarms | found | median delay |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, n in dict.fromkeys((row["set"], row["learned"]) for row in record["real"]):
        rows = [row for row in record["real"] if (row["set"], row["learned"]) == (name, n)]
        false = alarms([max(row["scores"], row["verdicts"]) for row in rows], RATES[0])
        delays = [row["delay"] for row in rows if row["delay"] is not None]
        median = f"{np.median(delays):.0f}" if delays else "-"
        lines.append(
            f"| {name} | {n} | {rows[0]['parts']} | {false} | {len(delays)} of {len(rows)} "
            f"| {median} |"
        )
    return "\n".join(lines) + "\n"


def _delays(rows: list[dict[str, Any]], n: int, start: int, shift: float) -> str:
    delays = [
        row["delay"] for row in rows if (row["n"], row["start"], row["shift"]) == (n, start, shift)
    ]
    found = [np.inf if each is None else each for each in delays]
    missed = sum(each is None for each in delays)
    median = float(np.median(found))
    text = f"{median:,.0f}" if np.isfinite(median) else "-"
    return f"{text} ({missed} of {len(delays)})" if missed else text


if __name__ == "__main__":
    main()
