"""The results file: one JSON object per run, appended by one process, intact after any kill."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from patchbank.errors import DataError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Row: TypeAlias = dict[str, Any]
"""Figures of one run, and the machine that they were measured on."""

SCHEMA_VERSION = 1
"""Version of `docs/schemas/results.schema.json`."""
FILE = "results.jsonl"
LOCK = ".lock"


class Results:
    """Rows by their key, in the order of completion."""

    def __init__(self, folder: Path) -> None:
        """Open the results of a folder; a line that a kill truncated is dropped.

        Raises:
            DataError: a line is not a row of a benchmark.
        """
        self._path = folder / FILE
        self.rows: dict[str, Row] = {}
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            row = self._parsed(line, number)
            self.rows[row["key"]] = row

    def append(self, row: Row) -> None:
        """Append a row; it is on disk when this returns."""
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.rows[row["key"]] = row

    def _parsed(self, line: bytes, number: int) -> Row:
        try:
            row: Row = json.loads(line.decode("utf-8", "surrogatepass"))
            row["key"] = str(row["key"])
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{self._path}: expected a result in each line, got something else in line "
                f"{number}; remove that line, and its run is done again"
            ) from None
        return row


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other benchmarks; the system releases it however this process ends.

    Raises:
        DataError: another one is writing there.
    """
    with (folder / LOCK).open("a") as file:
        try:
            _lock(file.fileno())
        except (BlockingIOError, PermissionError):
            raise DataError(
                f"{folder}: expected a folder to which no other benchmark writes, got one that is "
                "in use; wait until that has ended, or give another --out"
            ) from None
        yield


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
