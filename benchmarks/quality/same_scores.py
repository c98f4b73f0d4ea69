"""Compare the results of two versions of the program, bit for bit.

    python benchmarks/quality/same_scores.py DATA --before OLD/bin/python --after NEW/bin/python

Each side is a process of its own interpreter that fits on 20 good photographs of screw and mtd
and inspects 20 others, 10 good and 10 defective, once a case of `same_scores_cases.py`. Compared
are the bytes of scores, p-values, thresholds, verdicts, maps and regions, and every tensor of the
saved files, which hold the selected rows of the bank in their order. Then each side opens the file
of the other. The exit status is 1 where anything differs that must not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from same_scores_cases import CASES

SETS = ("screw", "mtd")
N_PHOTOGRAPHS = 20
COMPARED = ("scores", "p_values", "thresholds", "pixel_thresholds", "verdicts")
COMPARED += ("normalised_scores", "maps", "regions", "bank_tensors", "other_tensors")
BANK_TENSORS = ("bank", "bank_origins", "bank_radii")
"""Ends of the names of the tensors that hold the rows of a bank, in the order of selection."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Side:
    """An install of the program."""

    name: str
    interpreter: str
    source: str | None
    """Folder that holds the package, used in place of the install of the interpreter."""

    def run(self, *arguments: str | Path) -> str:
        """Run `same_scores_side.py`.  -> what it prints.

        Raises:
            RuntimeError: it failed; with the last line of its errors, if it wrote any.
        """
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        if self.source is not None:
            environment["PYTHONPATH"] = self.source
        command = [self.interpreter, str(HERE / "same_scores_side.py"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            reasons = done.stderr.strip().splitlines() or ["no error message"]
            raise RuntimeError(f"{reasons[-1]} (exit code {done.returncode})")
        return done.stdout


def differences(before: Arrays, after: Arrays) -> dict[str, Any]:
    """Count values with other bytes, and find the largest difference, by kind of array.

    The kind is the first part of an array's name.  The largest difference is None where none is
    finite: shapes or types differ, or a value that differs is infinite or NaN.

    >>> one, other = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    >>> differences({"scores": one}, {"scores": other})
    {'scores': {'values': 2, 'differ': 1, 'largest': 0.5}}
    """
    found: dict[str, Any] = {}
    for name in sorted(before.keys() | after.keys()):
        kind = found.setdefault(name.split(".")[0], {"values": 0, "differ": 0, "largest": 0.0})
        a, b = before.get(name), after.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            size = max(1, *(x.size for x in (a, b) if x is not None))
            kind["values"] += size
            kind["differ"] += size
            kind["largest"] = None
            continue
        kind["values"] += a.size
        other = (_bytes(a) != _bytes(b)).any(axis=1)
        kind["differ"] += int(other.sum())
        if other.any() and kind["largest"] is not None:
            one, two = (x.reshape(-1)[other].astype(np.float64) for x in (a, b))
            with np.errstate(invalid="ignore"):  # infinity minus infinity
                largest = float(np.abs(one - two).max())
            kind["largest"] = max(kind["largest"], largest) if np.isfinite(largest) else None
    return found


def _bytes(array: np.ndarray) -> np.ndarray:
    """(n, itemsize) bytes of the n values of an array."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).reshape(flat.size, array.dtype.itemsize)


def tensors_of(file: Path, renamed: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Tensors of a detector file, as ``bank_tensors.NAME`` or ``other_tensors.NAME``.

    Args:
        file: to read.
        renamed: newer names of tensors by older ones; tensors get the newer.
    """
    found = {}
    with safe_open(file, framework="numpy") as opened:
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            kind = "bank_tensors" if name.rpartition(".")[2] in BANK_TENSORS else "other_tensors"
            found[f"{kind}.{renamed.get(name, name)}"] = opened.get_tensor(name)
    return found


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays that a side wrote."""
    with np.load(path) as stored:
        return dict(stored)


def photographs(root: Path, n: int = N_PHOTOGRAPHS) -> tuple[list[str], list[str]]:
    """Choose n good photographs to fit on, and n to inspect: good and defective ones."""
    good = _spread(sorted((root / "train" / "good").iterdir()), n)
    normal = _spread(sorted((root / "test" / "good").iterdir()), n // 2)
    defects = sorted(p for p in (root / "test").glob("*/*") if p.parent.name != "good")
    return [str(p) for p in good], [str(p) for p in [*normal, *_spread(defects, n - n // 2)]]


def _spread(paths: list[Path], n: int) -> list[Path]:
    """Take n of the paths, evenly spread."""
    if len(paths) < n:
        raise SystemExit(f"{paths[:1]}: expected {n} photographs or more, got {len(paths)}")
    return [paths[i * len(paths) // n] for i in range(n)]


def compare(
    case: Mapping[str, Any], root: Path, before: Side, after: Side, renamed: Mapping[str, str]
) -> dict[str, Any]:
    """Run one case on both sides, and compare all results."""
    good, test = photographs(root)
    began = time.perf_counter()
    result = {"case": case["name"], "dataset": root.name, "members": case["members"]}
    result |= {name: case[name] for name in ("bank_rows",) if name in case}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        asked = {**case, "good": good[: case.get("n_good", len(good))], "test": test}
        (here / "case.json").write_text(json.dumps(asked))
        for side in (before, after):
            side.run(*_paths("fit", here, side.name, side.name))
        first, second = (arrays_of(here / f"{s.name}-{s.name}.npz") for s in (before, after))
        files = [tensors_of(here / f"{side.name}.patchbank", renamed) for side in (before, after)]
        result |= {
            "good_photographs": len(asked["good"]),
            "test_photographs": len(test),
            "fitted": differences(first | files[0], second | files[1]),
            "file_of_before_opened_by_after": _opened(here, before, after, first),
            "file_of_after_opened_by_before": _opened(here, after, before, second),
        }
    result["seconds"] = round(time.perf_counter() - began, 1)
    return result


def _opened(here: Path, writer: Side, reader: Side, expected: Arrays) -> dict[str, Any]:
    """Compare results of the reader with the writer's file; an error where it cannot open it."""
    try:
        reader.run(*_paths("open", here, writer.name, reader.name))
    except RuntimeError as error:
        return {"error": str(error).replace(str(here), "")}
    return differences(expected, arrays_of(here / f"{writer.name}-{reader.name}.npz"))


def _paths(action: str, here: Path, writer: str, reader: str) -> tuple[str | Path, ...]:
    """Arguments of a side; the detector file has its writer's name."""
    file = here / f"{writer}.patchbank"
    return action, here / "case.json", file, here / f"{writer}-{reader}.npz"


def is_same(found: Mapping[str, Any]) -> bool:
    """Whether no value differs, and nothing failed."""
    return "error" not in found and all(kind["differ"] == 0 for kind in found.values())


def holds(result: Mapping[str, Any]) -> bool:
    """Whether a case is the same where it must be: fitted anew, and from the older file."""
    if "error" in result:
        return False
    return is_same(result["fitted"]) and is_same(result["file_of_before_opened_by_after"])


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """The results as a Markdown table: values that differ of values compared."""
    lines = [
        f"| data | case | {' | '.join(name.replace('_', ' ') for name in COMPARED)} "
        "| older file, newer program | newer file, older program |",
        "|---|---|" + "--:|" * (len(COMPARED) + 2),
    ]
    for result in results:
        head = f"| {result['dataset']} | {result['case']} | "
        if "error" in result:
            lines.append(head + f"{result['error']} |" + " |" * (len(COMPARED) + 1))
            continue
        cells = [_cell(result["fitted"].get(name)) for name in COMPARED]
        for way in ("file_of_before_opened_by_after", "file_of_after_opened_by_before"):
            cells.append(_verdict(result[way]))
        lines.append(head + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(kind: Mapping[str, Any] | None) -> str:
    if kind is None:
        return "-"
    largest = kind["largest"]
    by = (
        ""
        if not kind["differ"]
        else " (no finite difference)"
        if largest is None
        else f" (by {largest:.1e})"
    )
    return f"{kind['differ']:,} of {kind['values']:,}{by}"


def _verdict(found: Mapping[str, Any]) -> str:
    if "error" in found:
        return f"{found['error']}"
    return "same" if is_same(found) else "differs"


def page(record: Mapping[str, Any]) -> str:
    """The results as a Markdown page."""
    results = record["results"]
    same = sum(holds(result) for result in results)
    where = record["environment"]
    sides = "; ".join(
        f"{name}: commit {side['commit'][:7]}"
        f"{' with changes' if side['changed_since_commit'] else ''}, Python {side['python']}, "
        + ", ".join(f"{k} {v}" for k, v in side["versions"].items() if v)
        for name, side in record["sides"].items()
    )
    machine = f"{where['processor']}, {where['cores']} cores"
    missing = "".join(f" Left out: {name}." for name in record["left_out"])
    return (
        f"# The same scores\n\n{same} of {len(results)} cases are the same to the last bit. "
        f"Made by `{record['command']}` on {machine}. {sides}.{missing}"
        "\n\nCells: values with other bytes, of those compared. A file of the newer program need "
        f"not open in the older one.\n\n{table(results)}\n"
    )


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Run all cases asked for, and gather what the result files hold."""
    from environment import environment

    before = Side("before", given.before, given.before_source)
    after = Side("after", given.after, given.after_source)
    sides = {side.name: json.loads(side.run("facts")) for side in (before, after)}
    both_torch = all(side.pop("torch") for side in sides.values())
    results, left_out = [], []
    for case in CASES:
        if given.cases and case["name"] not in given.cases:
            continue
        if case.get("torch") and not both_torch:
            left_out.append(f"{case['name']} (no torch on both sides)")
            continue
        for name in given.sets:
            try:
                result = compare(case, given.data / name, before, after, given.renamed)
            except RuntimeError as error:
                result = {"case": case["name"], "dataset": name, "error": str(error)}
            results.append(result)
            print(f"{name:<6} {case['name']:<26} {_summary(result)}", flush=True)
    return {
        "question": "Do two versions of the program compute the same, to the last bit?",
        "command": "python benchmarks/quality/same_scores.py DATA --before PYTHON --after PYTHON",
        "environment": environment(),
        "settings": {"renamed": given.renamed, "photographs": N_PHOTOGRAPHS, "sets": given.sets},
        "sides": sides,
        "left_out": left_out,
        "results": results,
    }


def _summary(result: Mapping[str, Any]) -> str:
    if "error" in result:
        return f"FAILED: {result['error']}"
    other = [name for name, kind in result["fitted"].items() if kind["differ"]]
    if not is_same(result["file_of_before_opened_by_after"]):
        other.append("file of before opened by after")
    return f"{'DIFFERS: ' + ', '.join(other) if other else 'same'}  ({result['seconds']} s)"


def main() -> None:
    """Compare two installs and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("--before", required=True, help="interpreter of the older install")
    parser.add_argument("--after", required=True, help="interpreter of the newer install")
    parser.add_argument("--before-source", help="folder of the older package, if another")
    parser.add_argument("--after-source", help="folder of the newer package, if another")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--cases", nargs="+", choices=[case["name"] for case in CASES])
    parser.add_argument(
        "--renamed", type=json.loads, default={}, help="newer names of tensors by older, as JSON"
    )
    parser.add_argument("--out", type=Path, default=HERE / "same_scores")
    given = parser.parse_args()
    record = run(given)
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    given.out.with_suffix(".json").write_text(text)
    given.out.with_suffix(".md").write_text(page(record))
    if not all(holds(result) for result in record["results"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
