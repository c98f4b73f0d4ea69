"""Test mutants on copies of the tree, judge each run, and write each result at once."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter, deque
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .mutators import Mutant
from .runs import Run
from .selection import Selection

KILLED = ("killed", "timed out")
OUTCOMES = (*KILLED, "survived", "needs torch", "not judged")
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
"""Signals that say nothing about a mutant: want of memory, a user, a limit while collecting."""
USAGE_ERROR = 4  # of pytest


class Campaign:
    """Tests mutants on several copies of the tree."""

    def __init__(self, selection: Selection, runs: list[Run], results: Path) -> None:
        self.selection, self.free, self.results = selection, list(runs), results
        self.limits = selection.baseline.limits()
        self.running: dict[int, tuple[Run, tuple[str, Mutant], dict[str, Any]]] = {}
        self.waiting: deque[tuple[str, Mutant]] = deque()
        self.retried: set[str] = set()
        self.has_torch = find_spec("torch") is not None
        self.serial = 0

    def test(self, drawn: list[tuple[str, Mutant]]) -> None:
        """Test the mutants without a result; one that is not judged is tested once more."""
        lines = read_results(self.results)
        self.results.write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = {line["key"] for line in lines if line["outcome"] != "not judged"}
        self.waiting.extend((room, mutant) for room, mutant in drawn if mutant.key not in done)
        keys = {mutant.key for _, mutant in drawn}
        began, n_waiting = time.perf_counter(), len(self.waiting)
        while self.waiting or self.running:
            while self.waiting and self.free:
                self._start(*self.waiting.popleft())
            self._print_progress(keys, n_waiting, time.perf_counter() - began)
            if self.running:
                self._collect()
        self._print_progress(keys, n_waiting, time.perf_counter() - began)
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
            torch_is_absent = not self.has_torch and self.selection.needs_torch(mutant)
            without_tests = "needs torch" if torch_is_absent else "survived"
            self._write(record | {"outcome": without_tests, "by": "", "seconds": 0.0})
            return
        run = self.free.pop()
        self.serial += 1
        apply(run.tree / "src" / mutant.path, mutant, self.serial)
        run.start(tests, self.limits, options=("-x",))
        self.running[run.pid] = run, (room, mutant), record | {"began": time.perf_counter()}

    def _collect(self) -> None:
        """Wait for one run."""
        pid, status, used = os.wait4(-1, 0)
        if pid not in self.running:
            return
        run, (room, mutant), record = self.running.pop(pid)
        code = run.ended(status)
        revert(run.tree / "src" / mutant.path)
        self.free.append(run)
        judged = outcome(code, run.log(), run.conftest_failed())
        if judged["outcome"] == "not judged" and mutant.key not in self.retried:
            self.retried.add(mutant.key)
            self.waiting.append((room, mutant))
            return
        record["seconds"] = round(time.perf_counter() - record.pop("began"), 2)
        record["cpu_seconds"] = round(used.ru_utime + used.ru_stime, 2)  # its processes included
        self._write(record | judged)

    def _write(self, record: dict[str, Any]) -> None:
        with self.results.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def _print_progress(self, keys: set[str], n_waiting: int, seconds: float) -> None:
        by_key = {line["key"]: line["outcome"] for line in read_results(self.results)}
        counts = Counter(by_key[key] for key in keys & by_key.keys())
        n_left = len(self.waiting) + len(self.running)
        n_now = n_waiting - n_left
        left = f", about {seconds / n_now * n_left / 60:.0f} min left" if n_now > 0 else ""
        shown = ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name])
        line = f"{len(keys) - n_left} of {len(keys)}: {shown}; {seconds / 60:.1f} min{left}"
        print(f"\r{line}  ", end="", file=sys.stderr)


def apply(path: Path, mutant: Mutant, serial: int) -> None:
    """Write a mutant, with a time that no compiled file has."""
    source = path.read_bytes()
    before = path.stat().st_mtime
    path.with_suffix(".before").write_bytes(source)
    os.utime(path.with_suffix(".before"), (before, before))
    path.write_bytes(mutant.applied_to(source))
    os.utime(path, (before + 10 + 2 * serial,) * 2)


def revert(path: Path) -> None:
    """Restore the file without the mutant, its time included."""
    path.with_suffix(".before").replace(path)


def outcome(code: int, log: list[dict[str, Any]], conftest_failed: bool = False) -> dict[str, Any]:
    """Judge a run by its exit code (negative for a signal) and its log.

    A mutant is killed by a test that fails, or during which the process crashes; it timed out
    where a test ran longer than its limit.  A run that ends otherwise says nothing.
    """
    failed = [line for line in log if line.get("failed")]
    ended = {line["ended"] for line in log if "ended" in line}
    running = [line["started"] for line in log if line.get("started", "") not in {"", *ended}]

    def judged(name: str, by: str = "", message: str = "") -> dict[str, Any]:
        return {"outcome": name, "by": by, "message": message, "tests_run": len(ended)}

    if failed:
        return judged("killed", failed[0]["failed"], failed[0]["message"].partition("\n")[0])
    if code == 0:
        return judged("survived")
    if code == -signal.SIGALRM and running:
        return judged("timed out", running[-1])
    if code < 0 and -code not in FROM_OUTSIDE and running:
        return judged("killed", running[-1], f"signal {-code}")
    if code == USAGE_ERROR and conftest_failed:
        return judged("killed", "tests/conftest.py", "it cannot be imported")
    errors = [line["error"] for line in log if "error" in line]
    return judged("not judged", message=errors[0] if errors else f"exit code {code}")


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read results; a last line that was not written to its end is dropped."""
    lines = path.read_text().splitlines() if path.exists() else []
    results = []
    for line in lines:
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return results


def reusable(lines: list[dict[str, Any]], keys: set[str]) -> list[dict[str, Any]]:
    """Select earlier results that name the test that killed a mutant."""
    return [
        line | {"reused": True}
        for line in lines
        if line["key"] in keys and line["outcome"] in KILLED and line["by"]
    ]
