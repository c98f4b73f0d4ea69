"""The contract of the speed benchmarks, as code: how is timed, and what is written down.

Every script measures with `measured`, or lets `peer_processes` do it, and writes one strict JSON
file through `Run`; `benchmarks/README.md` has the contract in words.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment

Outcome = TypeVar("Outcome")

KEYS = ("question", "command", "environment", "settings", "results")
"""Of every results file."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a call that was repeated, warm."""

    all_s: tuple[float, ...]
    warm_up: int
    """Calls before, which are not among them."""

    @property
    def median_s(self) -> float:
        """The middle of them."""
        return float(np.median(self.all_s))

    def to_json(self) -> dict[str, Any]:
        """Median, spread and all values."""
        return {**summary(self.all_s, "_s"), "warm_up": self.warm_up}


def summary(values: Sequence[float], unit: str = "") -> dict[str, Any]:
    """Median, spread (from the first to the third quartile) and all values, as JSON holds them.

    >>> summary([1.0, 2.0, 4.0], "_s")
    {'median_s': 2.0, 'spread_s': 1.5, 'all_s': [1.0, 2.0, 4.0]}
    """
    first, median, third = (float(q) for q in np.percentile(values, (25, 50, 75)))
    return {f"median{unit}": median, f"spread{unit}": third - first, f"all{unit}": list(values)}


def measured(
    function: Callable[[], Outcome],
    *,
    repeats: int,
    warm_up: int = 1,
    wait: Callable[[], Any] = lambda: None,
) -> tuple[Times, Outcome]:
    """Time a call, warm.

    Args:
        function: what is timed.
        repeats: calls that count, 1 and up.
        warm_up: calls before, that do not.
        wait: called before each begin and, inside what is timed, after each call: it returns when
            the device has nothing left to do.

    Returns:
        The times, and what the last call returned.
    """
    all_s = []
    for number in range(warm_up + repeats):
        wait()
        began = time.perf_counter()
        outcome = function()
        wait()
        if number >= warm_up:
            all_s.append(time.perf_counter() - began)
    return Times(tuple(all_s), warm_up), outcome


def matrix_product_gflops(seconds: float = 1.5, side: int = 2048) -> float:
    """The float32 matrix-product peak of this machine, now: the best of many numpy products."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    best_s, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        times, _ = measured(lambda: np.matmul(a, b, out=out), repeats=1, warm_up=0)
        best_s = min(best_s, times.median_s)
    return 2 * side**3 / best_s / 1e9


def arguments(doc: str, *, peers: str | None = None) -> argparse.ArgumentParser:
    """The parser of a script, with what all of them take.

    Args:
        doc: docstring of the script.
        peers: what the environment of the other side holds, where there can be one.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="results file; next to the script if not given")
    if peers is not None:
        parser.add_argument("--peers", metavar="PYTHON", help=f"of an environment with {peers}")
    return parser


class Run:
    """One run of a script: begun before anything is measured, written when all is."""

    def __init__(self, script: str, doc: str, given: argparse.Namespace) -> None:
        """Note what is asked, and in what state the machine is.

        Args:
            script: its ``__file__``.
            doc: its docstring; the first line is the question.
            given: its arguments.
        """
        suffix = "_beside_peers" if vars(given).get("peers") else ""
        self.out: Path = given.out or Path(script).with_name(f"{Path(script).stem}{suffix}.json")
        self.record: dict[str, Any] = {
            "question": doc.partition("\n")[0],
            "command": " ".join(["python", *sys.argv]),
            "environment": environment(),
            "settings": {
                name: str(value) if isinstance(value, Path) else value
                for name, value in vars(given).items()
                if name != "out"
            },
        }

    def write(self, results: dict[str, Any]) -> None:
        """Write the results file, whole or not at all, and print it."""
        self.record["environment"]["load_average_after"] = os.getloadavg()[0]
        self.record["results"] = results
        text = json.dumps(self.record, indent=1, allow_nan=False) + "\n"
        unfinished = self.out.with_suffix(".unfinished")
        unfinished.write_text(text)
        unfinished.replace(self.out)
        print(text, end="")
