"""Mutation test of the package: small faults, one at a time, that the tests should find.

    python benchmarks/quality/mutants.py            # 300 of them

Draws mutants with a seed (`mutation/mutators.py`), runs for each the tests that reach its line
(`mutation/selection.py`) in copies of the tree (`mutation/runs.py`), and writes mutants.json and
mutants.md.  An interrupted campaign resumes with the same command.  A survivor that is no fault
gets its reason in mutants_explained.json, where its key already is.

Tests that cannot kill a mutant cheaply (pages, benchmarks, a package that is built) are left out
without --all-tests.  Without torch, mutants that only its tests reach are listed as such.

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mutation.baseline import Baseline
from mutation.campaign import Campaign, read_results, reusable
from mutation.report import add_explanations, markdown, table
from mutation.runs import Run, copy_tree, files_of_tree, import_libraries
from mutation.sampling import sample, sources
from mutation.selection import Selection

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROOMS = ("core", "methods", "detector", "training", "evaluation", "images")
SETTINGS = ("mutants", "seed", "rooms", "tests", "all_tests", "budget")
WRITTEN = ("mutants.json", "mutants.md", "mutants_explained.json")
"""Files of this script: results do not depend on them."""
LEFT_OUT = tuple(
    f"tests/unit/test_{name}.py"
    for name in (
        *("architecture", "benchmark_runs", "benchmarks", "build_backbones", "doc_references"),
        *("mutants", "pages", "public_names", "python_page", "reference", "requirements"),
        *("same_scores", "structure", "toy_package", "words"),
    )
)
"""Tests of pages, benchmarks and tools: slow, or of what mutants do not change."""


def digest(root: Path, options: tuple[str, ...]) -> str:
    """Name what a result depends on: every file of the tree, options and interpreter."""
    total = hashlib.sha256(f"{sys.prefix} {platform.python_version()} {options}".encode())
    written = {(HERE / name).relative_to(ROOT).as_posix() for name in WRITTEN}
    for name in files_of_tree(root):
        if name not in written:
            total.update(name.encode() + b"\0" + (root / name).read_bytes())
    return total.hexdigest()[:12]


def unreliable(run: Run, selection: Selection, results: list[dict[str, Any]]) -> set[str]:
    """Run the tests that killed mutants without a mutant, in that order: which fail there too?"""
    names = {line["by"] for line in results if line["outcome"] == "killed"}
    tests = selection.in_order(names & set(selection.baseline.tests))
    if not tests:
        return set()
    run.start(tests, selection.baseline.limits())
    run.wait()
    log = run.log()
    good = {line["ended"] for line in log if "passed" in line}
    good -= {line["failed"] for line in log if "failed" in line}
    return {test.name for test in tests} - good


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
    add = parser.add_argument
    add("--mutants", type=int, default=300)
    add("--seed", type=int, default=0, help="of the sample")
    add("--rooms", nargs="+", default=list(ROOMS), help="folders or files below src/patchbank")
    add("--tests", nargs="+", default=[], help="files or folders of tests")
    add("--all-tests", action="store_true", help="with those of pages, benchmarks and tools")
    add("--budget", type=float, default=30.0, help="CPU seconds of tests for a mutant")
    add("--workers", type=int, default=2)
    add("--work", type=Path, default=ROOT / "build" / "mutants", help="folder of single results")
    add("--out", type=Path, default=HERE)
    add("--list", action="store_true", help="print the sample, and test nothing")
    add("--recheck", type=Path, help="a mutants.json: what was killed there is not tested again")
    return parser.parse_args()


def options_of_pytest(given: argparse.Namespace) -> tuple[str, ...]:
    """Choose the files of tests."""
    if given.tests or given.all_tests:
        return tuple(given.tests)
    return tuple(f"--ignore={name}" for name in LEFT_OUT)


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
    options = options_of_pytest(given)
    work = given.work / digest(ROOT, options)
    work.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # runs are killed too
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two runs share the cores
    import_libraries()
    with copies(max(2, given.workers)) as runs:
        if not (work / "baseline.json").exists():
            print("running all tests, with and without coverage", file=sys.stderr)
            Baseline.measured(runs[0], runs[1], options).save(work / "baseline.json")
        else:
            compile_all(runs, options)
        selection = Selection(Baseline.read(work / "baseline.json"), src, given.budget)
        results_path = work / f"results-{given.budget:g}.jsonl"
        if given.recheck:
            reuse(given.recheck, {mutant.key for _, mutant in drawn}, results_path)
        Campaign(selection, runs[: given.workers], results_path).test(drawn)
        by_key = {line["key"]: line for line in read_results(results_path)}
        results = [by_key[mutant.key] | {"line": mutant.line} for _, mutant in drawn]
        for name in unreliable(runs[0], selection, results):
            print(f"{name} fails without a mutant too: it kills none", file=sys.stderr)
            for line in results:
                if line["by"] == name:
                    line |= {"outcome": "not judged", "message": f"{name} fails without it too"}
    write(given, selection.baseline, results)


def compile_all(runs: list[Run], options: tuple[str, ...]) -> None:
    """Compile files and tests once: runs with a mutant write no compiled files."""
    for run in runs:
        run.start(writes_bytecode=True, options=("--collect-only", *options))
    for run in runs:
        run.wait()


def reuse(path: Path, keys: set[str], results: Path) -> None:
    """Copy earlier results of killed mutants that have none yet."""
    missing = keys - {line["key"] for line in read_results(results)}
    with results.open("a") as file:
        for line in reusable(json.loads(path.read_text())["mutants"], missing):
            file.write(json.dumps(line) + "\n")


def write(given: argparse.Namespace, baseline: Baseline, results: list[dict[str, Any]]) -> None:
    """Write the record and the page, and print the page."""
    sys.path[:0] = [str(ROOT / "src"), str(HERE.parent)]  # not before: mutants are imported afresh
    from environment import environment

    given.out.mkdir(parents=True, exist_ok=True)
    add_explanations(given.out / "mutants_explained.json", results)
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
