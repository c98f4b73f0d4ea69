"""Small faults planted in the package, one at a time: do the tests notice?

    python benchmarks/quality/mutants.py            # 300 of them, in an environment with torch

Draws mutants with a seed (`mutation/mutators.py`), runs for each the tests that reach its line
(`mutation/selection.py`) in copies of the tree (`mutation/runs.py`), and writes mutants.json and
mutants.md.  It is left and taken up again as one likes: the same command goes on.  A survivor that
is no fault gets its reason in mutants_explained.json, under the key that is there already.

Why no tool: mutmut 3.8 mutates bodies of undecorated functions alone (no settings, constants or
properties) and draws no sample; cosmic-ray 8.7 runs the whole suite for each mutant: hours.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mutation.mutators import Mutant
from mutation.runs import Baseline, Run, Test, copy_tree, import_libraries
from mutation.sampling import sample, sources
from mutation.selection import Selection

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROOMS = ("core", "methods", "detector", "training", "evaluation", "images")
SETTINGS = ("mutants", "seed", "rooms", "tests", "budget")
OUTCOMES = ("killed", "timed out", "survived")
SEEN_BY = ("src", "tests", "conftest.py", "pyproject.toml", "benchmarks/quality/mutation")


def digest(root: Path, tests: list[str]) -> str:
    """Name what a result depends on: code, tests, interpreter."""
    total = hashlib.sha256(f"{sys.prefix} {platform.python_version()} {tests}".encode())
    for name in SEEN_BY:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()[:12]


class Campaign:
    """Tests mutants on several copies of the tree, and notes each result at once."""

    def __init__(self, selection: Selection, runs: list[Run], results: Path) -> None:
        self.selection, self.free, self.results = selection, list(runs), results
        self.limits = selection.baseline.limits()
        self.running: dict[int, tuple[Run, Mutant, dict[str, Any]]] = {}
        self.serial = 0

    def test(self, drawn: list[tuple[str, Mutant]]) -> None:
        """Test what has no result yet."""
        lines = read_lines(self.results)
        self.results.write_text("".join(json.dumps(line) + "\n" for line in lines))  # none is cut
        done = {line["key"] for line in lines}
        left = [(room, mutant) for room, mutant in drawn if mutant.key not in done]
        began, n_left = time.perf_counter(), len(left)
        for room, mutant in left:
            while not self.free:
                self._collect()
            self._start(room, mutant)
            self._tell(len(drawn), n_left, time.perf_counter() - began)
        while self.running:
            self._collect()
        self._tell(len(drawn), n_left, time.perf_counter() - began)
        print(file=sys.stderr)

    def _start(self, room: str, mutant: Mutant) -> None:
        reaching = self.selection.reaching(mutant)
        tests = self.selection.chosen(reaching)
        record = {
            **{"key": mutant.key, "room": room, "path": mutant.path, "line": mutant.line},
            **{"where": mutant.where, "kind": mutant.kind, "change": mutant.change},
            **{"tests_reaching": len(reaching), "tests_at_most": len(tests)},
        }
        if not tests:
            self._note(record | {"outcome": "survived", "by": "", "seconds": 0.0})
            return
        run = self.free.pop()
        self.serial += 1
        put(run.tree / "src" / mutant.path, mutant, self.serial)
        run.start(tests, self.limits, options=("-x",))
        self.running[run.pid] = run, mutant, record | {"began": time.perf_counter()}

    def _collect(self) -> None:
        """Wait for one run."""
        pid, status, used = os.wait4(-1, 0)
        if pid not in self.running:
            return
        run, mutant, record = self.running.pop(pid)
        code = run.ended(status)
        take_back(run.tree / "src" / mutant.path)
        record["seconds"] = round(time.perf_counter() - record.pop("began"), 2)
        record["cpu_seconds"] = round(used.ru_utime + used.ru_stime, 2)  # of what it started too
        self._note(record | outcome(code, run.said()))
        self.free.append(run)

    def _note(self, record: dict[str, Any]) -> None:
        with self.results.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def _tell(self, n: int, n_left: int, seconds: float) -> None:
        counts = Counter(line["outcome"] for line in read_lines(self.results))
        n_done = sum(counts.values())
        now = n_left - (n - n_done)
        rest = f", about {seconds / now * (n - n_done) / 60:.0f} min left" if now > 0 else ""
        told = ", ".join(f"{counts[name]} {name}" for name in OUTCOMES)
        print(f"\r{n_done} of {n}: {told}; {seconds / 60:.1f} min{rest}  ", end="", file=sys.stderr)


def put(path: Path, mutant: Mutant, serial: int) -> None:
    """Write a mutant, with a time that no compiled file was made for."""
    source = path.read_bytes()
    before = path.stat().st_mtime
    path.with_suffix(".before").write_bytes(source)
    os.utime(path.with_suffix(".before"), (before, before))
    path.write_bytes(mutant.applied(source))
    os.utime(path, (before + 10 + 2 * serial,) * 2)


def take_back(path: Path) -> None:
    """Put the file back as it was, time included."""
    path.with_suffix(".before").replace(path)


def outcome(code: int, said: list[dict[str, Any]]) -> dict[str, Any]:
    """Judge a run: no failure is a survivor, and one that never ends has been noticed."""
    failed = [line for line in said if "failed" in line]
    n_run = sum("ended" in line for line in said)
    if code == -signal.SIGALRM:
        return {"outcome": "timed out", "by": "", "tests_run": n_run}
    if code in (0, 5):
        return {"outcome": "survived", "by": "", "tests_run": n_run}
    last = failed[0] if failed else {"failed": "", "message": f"exit code {code}"}
    message = last["message"].partition("\n")[0]
    return {"outcome": "killed", "by": last["failed"], "message": message, "tests_run": n_run}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read results; the last line may be cut where it was stopped."""
    lines = path.read_text().splitlines() if path.exists() else []
    results = []
    for line in lines:
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return results


def unreliable(run: Run, selection: Selection, results: list[dict[str, Any]]) -> set[str]:
    """Run what noticed mutants on the tree without one, in that order: which fail there too?"""
    names = {line["by"] for line in results if line["outcome"] == "killed"}
    tests: list[Test] = selection.in_order(names & set(selection.baseline.tests))
    if not tests:
        return set()
    run.start(tests, selection.baseline.limits())
    run.wait()
    said = run.said()
    good = {line["ended"] for line in said if "passed" in line}
    good -= {line["failed"] for line in said if "failed" in line}
    return {test.name for test in tests} - good


def table(results: list[dict[str, Any]], rooms: list[str]) -> dict[str, dict[str, int]]:
    """Count mutants and outcomes, a room a row, and all."""
    rows = {}
    for room in [*rooms, "all"]:
        some = [line for line in results if room in (line["room"], "all")]
        counts = Counter(line["outcome"] for line in some)
        explained = sum(1 for line in some if line.get("explanation"))
        rows[room] = {"mutants": len(some), **{name: counts[name] for name in OUTCOMES}}
        rows[room]["explained"] = explained
        rows[room]["not reached"] = sum(1 for line in some if line["tests_reaching"] == 0)
    return rows


def shares(row: Mapping[str, int]) -> tuple[float, float]:
    """Share of mutants that are noticed, and of those that are noticed or explained."""
    noticed = row["killed"] + row["timed out"]
    n = max(row["mutants"], 1)
    return noticed / n, (noticed + row["explained"]) / n


def markdown(record: Mapping[str, Any]) -> str:
    """Lay out the table, and the survivors with their reasons."""
    lines = ["# Mutants", "", f"`{record['command']}`", ""]
    baseline = record["baseline"]
    lines += [
        f"{record['rooms']['all']['mutants']} mutants, seed {record['settings']['seed']}, against "
        f"{baseline['tests']} tests that take {baseline['cpu_seconds']:.0f} s of CPU time; "
        f"{len(baseline['skipped_or_failed'])} more are skipped here.",
        "",
        "| room | mutants | killed | timed out | survived | of these reached by no test | noticed "
        "| noticed or explained |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for room, row in record["rooms"].items():
        counts = " | ".join(str(row[name]) for name in ("mutants", *OUTCOMES, "not reached"))
        noticed, explained = shares(row)
        lines.append(f"| {room} | {counts} | {noticed:.1%} | {explained:.1%} |")
    lines += ["", "## Survivors", "", "| line | change | tests run, of those that reach it |"]
    lines[-1] += " why it may stay |"
    lines += ["|---|---|--:|---|"]
    for line in record["mutants"]:
        if line["outcome"] == "survived":
            change = line["change"].replace("|", "\\|").replace("`", "'")
            place = f"`{line['path'].removeprefix('patchbank/')}:{line['line']}` {line['where']}"
            asked = f"{line.get('tests_run', 0)} of {line['tests_reaching']}"
            lines.append(f"| {place} | `{change}` | {asked} | {line['explanation']} |")
    return "\n".join(lines) + "\n"


def explained(path: Path, results: list[dict[str, Any]]) -> None:
    """Take over the reasons, and leave room for new ones."""
    reasons: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    for line in results:
        if line["outcome"] == "survived":
            line["explanation"] = reasons.setdefault(line["key"], "")
    path.write_text(json.dumps(dict(sorted(reasons.items())), indent=1, ensure_ascii=False) + "\n")


@contextmanager
def copies(n: int) -> Iterator[list[Run]]:
    """Copy the tree once for each worker."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        runs = [Run(Path(name) / str(i) / "tree", Path(name) / str(i) / "run") for i in range(n)]
        for run in runs:
            copy_tree(ROOT, run.tree)
        try:
            yield runs
        finally:
            for run in runs:
                run.end()


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS), help="below src/patchbank")
    parser.add_argument("--tests", nargs="+", default=[], help="files or folders; all if not given")
    parser.add_argument("--budget", type=float, default=60.0, help="CPU seconds of tests a mutant")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "mutants", help="notes")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--list", action="store_true", help="show the sample, and test nothing")
    help_text = "a mutants.json: what was noticed there is taken over"
    parser.add_argument("--recheck", type=Path, help=help_text)
    return parser.parse_args()


def main() -> None:
    """Draw, test, and write mutants.json and mutants.md."""
    given = parsed()
    src = ROOT / "src"
    rooms = {room: sources(src, room) for room in given.rooms}
    drawn = sample(rooms, given.mutants, given.seed)
    if given.list:
        for _, mutant in drawn:
            print(f"{mutant.path}:{mutant.line} {mutant.kind}: {mutant.change}")
        return
    work = given.work / digest(ROOT, given.tests)
    work.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what runs is ended too
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two runs share the cores
    import_libraries()
    with copies(max(2, given.workers)) as runs:
        if not (work / "baseline.json").exists():
            print("running all tests, with and without coverage", file=sys.stderr)
            Baseline.measured(runs[0], runs[1], tuple(given.tests)).save(work / "baseline.json")
        else:
            compile_all(runs)
        selection = Selection(Baseline.read(work / "baseline.json"), src, given.budget)
        results_path = work / f"results-{given.budget:g}.jsonl"
        if given.recheck:
            take_over(given.recheck, drawn, results_path)
        campaign = Campaign(selection, runs[: given.workers], results_path)
        campaign.test(drawn)
        by_key = {line["key"]: line for line in read_lines(results_path)}
        results = [by_key[mutant.key] | {"line": mutant.line} for _, mutant in drawn]
        for name in unreliable(runs[0], selection, results):
            print(f"{name} fails without a mutant too: it notices nothing", file=sys.stderr)
            for line in results:
                if line["by"] == name:
                    line["outcome"] = "survived"
    write(given, selection.baseline, results)


def compile_all(runs: list[Run]) -> None:
    """Compile files and tests once, for the runs that may not."""
    for run in runs:
        run.start(writes_bytecode=True, options=("--collect-only",))
    for run in runs:
        run.wait()


def take_over(path: Path, drawn: list[tuple[str, Mutant]], results: Path) -> None:
    """Note what was noticed before, of the mutants that are drawn again."""
    keys = {mutant.key for _, mutant in drawn} - {line["key"] for line in read_lines(results)}
    with results.open("a") as file:
        for line in json.loads(path.read_text())["mutants"]:
            if line["key"] in keys and line["outcome"] != "survived":
                file.write(json.dumps(line | {"taken_over": True}) + "\n")


def write(given: argparse.Namespace, baseline: Baseline, results: list[dict[str, Any]]) -> None:
    """Write the record and the page, and print the page."""
    sys.path[:0] = [str(ROOT / "src"), str(HERE.parent)]  # not before: mutants are imported afresh
    from environment import environment

    explained(given.out / "mutants_explained.json", results)
    record = {
        "command": " ".join(sys.argv),
        "environment": environment(),
        "settings": {name: getattr(given, name) for name in SETTINGS},
        "baseline": {
            "tests": len(baseline.tests),
            "cpu_seconds": sum(test.cpu_seconds for test in baseline.tests.values()),
            "skipped_or_failed": baseline.not_passed,
        },
        "rooms": table(results, given.rooms),
        "mutants": results,
    }
    (given.out / "mutants.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    page = markdown(record)
    (given.out / "mutants.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
