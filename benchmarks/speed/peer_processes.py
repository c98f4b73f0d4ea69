"""Sides of a comparison, each a process in an environment of its own, run in turn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import Times, summary

PEERS = Path(__file__).parent / "peers"
PAUSE_S = 0.2
"""Between two runs: threads that spin after a matrix product would take the other side's cores."""


@dataclass(frozen=True)
class Answer:
    """Answer of a side about one run."""

    seconds: float
    facts: Mapping[str, Any]


class Side:
    """A process that has loaded its inputs, and runs on request."""

    def __init__(
        self, name: str, python: str, task: str, folder: Path, settings: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [python, str(PEERS / f"{name}_peer.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self._ask({"task": task, "folder": str(folder), "settings": settings})
        self.versions: Mapping[str, str] = ready["versions"]

    def run(self, **request: Any) -> Answer:
        """Run once, after a pause."""
        time.sleep(PAUSE_S)
        return Answer(**self._ask(request))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: expected an answer, got none; what it said stands above")
        return json.loads(line)


@contextmanager
def sides(
    pythons: Mapping[str, str], task: str, folder: Path, settings: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Side]]:
    """Start a side for each name, with its Python; all of them end with the block."""
    with ExitStack() as stack:
        started = {}
        for name, python in pythons.items():
            started[name] = Side(name, python, task, folder, settings or {})
            stack.callback(started[name].close)
        yield started


def alternated(
    ways: Mapping[str, Callable[[int], Answer]], *, repeats: int, warm_up: int = 1
) -> dict[str, list[Answer]]:
    """Run several ways in turn, the other way round every second time.

    Args:
        ways: by name; each is called with the number of the round, negative in those to warm up.
        repeats: rounds that count.
        warm_up: rounds before, that do not.
    """
    answers: dict[str, list[Answer]] = {name: [] for name in ways}
    for number in range(-warm_up, repeats):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            answer = ways[name](number)
            if number >= 0:
                answers[name].append(answer)
    return answers


def times(answers: Sequence[Answer], warm_up: int = 1) -> Times:
    """Times of the runs of one way."""
    return Times(tuple(answer.seconds for answer in answers), warm_up)


def times_faster(ours: Sequence[Answer], theirs: Sequence[Answer]) -> dict[str, Any]:
    """Ratio of their time to ours, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return summary([their.seconds / our.seconds for our, their in pairs])
