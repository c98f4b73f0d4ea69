"""What a figure was measured on: machine, versions, commit, load."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from patchbank.runtime.process import processor

THREAD_VARIABLES = ("OPENBLAS_", "OMP_", "MKL_", "GOTO_")
"""Beginnings of the environment variables that decide how fast matrix products are."""
CODE = ("../src", ".", ":(exclude)*.json")
"""What a figure depends on, seen from here."""


def environment() -> dict[str, Any]:
    """Describe this machine and this checkout, as JSON can hold it."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("patchbank", "numpy", "onnxruntime", "scipy")},
        "variables": {n: v for n, v in os.environ.items() if n.startswith(THREAD_VARIABLES)},
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_since_commit": _git("status", "--porcelain", "--", *CODE).splitlines(),
        "load_average": os.getloadavg()[0],
    }


def write_results(
    path: Path,
    question: str,
    settings: dict[str, Any],
    results: dict[str, Any],
    page: Callable[[dict[str, Any]], str],
) -> None:
    """Write the results of a script, and a page that is made of them beside."""
    written = {
        "question": question,
        "command": " ".join(["python", *sys.argv]),
        "environment": environment(),
        "settings": settings,
        "results": results,
    }
    path.write_text(json.dumps(written, indent=2, allow_nan=False) + "\n")
    path.with_suffix(".md").write_text(page(written))


def _git(*command: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip()
