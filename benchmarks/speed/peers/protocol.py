"""Protocol of a side of a comparison: one line of JSON on its input, one back.

This file and its neighbours run in environments of their own, so they import nothing of ours but
what they measure.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """Work that a side is ready to do."""

    run: Callable[..., Any]
    """Is timed; its arguments come with each request."""
    facts: Callable[[Any], dict[str, Any]]
    """Facts about the result of `run`, as JSON can hold them; not timed."""


def serve(tasks: Mapping[str, Callable[[Path, Settings], Task]], packages: tuple[str, ...]) -> None:
    """Answer requests until the input ends.

    Args:
        tasks: by name, what makes a task ready: (folder of the inputs, settings) -> Task.
        packages: names whose versions are reported.
    """
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(record: dict[str, Any]) -> None:
        answers.write(json.dumps(record, allow_nan=False) + "\n")
        answers.flush()

    wanted = json.loads(sys.stdin.readline())
    task = tasks[wanted["task"]](Path(wanted["folder"]), wanted["settings"])
    answer({"versions": {name: version(name) for name in packages}})
    for line in sys.stdin:
        request = json.loads(line)
        began = time.perf_counter()
        outcome = task.run(**request)
        seconds = time.perf_counter() - began
        answer({"seconds": seconds, "facts": task.facts(outcome)})
