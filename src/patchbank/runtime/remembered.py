"""Results of measurements on this machine, remembered so that the next process gets the same."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from patchbank.runtime.atomic_file import create_file


def remembered(kind: str, facts: Mapping[str, object], measure: Callable[[], int]) -> int:
    """The number that was measured under these facts before, or is measured now.

    There is a file for each set of facts.  The process that creates it first decides for all, so
    two that measure at the same time agree, too.  Where no file can be written nothing is
    remembered.

    Args:
        kind: of the measurement: a folder of its own.
        facts: all that the number depends on, as JSON can hold it.
        measure: measures it.
    """
    text = json.dumps(facts, sort_keys=True)
    path = cache_folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    known = _read(path)
    if known is not None:
        return known
    with suppress(OSError):
        path.unlink()  # one that is damaged
    number = measure()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        create_file(path, json.dumps({"facts": facts, "number": number}, indent=2).encode())
        return number
    first = _read(path)
    return number if first is None else first


def cache_folder() -> Path:
    """The folder of this user for what can be measured or made again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not base or base.startswith("~"):  # a user without a home
        base = tempfile.gettempdir()
    return Path(base) / "patchbank"


def _read(path: Path) -> int | None:
    """The number in a file; None where there is none."""
    try:
        number = json.loads(path.read_text(encoding="utf-8"))["number"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
