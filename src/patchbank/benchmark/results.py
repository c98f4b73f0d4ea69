"""The results file: one JSON object a run, appended by one process, whole after any kill."""

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
"""What was measured in one run, and what it was measured on."""

FILE = "results.jsonl"
LOCK = ".lock"


class Results:
    """Rows by their key, in the order in which they were finished."""

    def __init__(self, folder: Path) -> None:
        """Open the results of a folder; a line that a kill cut short is dropped.

        Raises:
            DataError: a line that is not one of ours.
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
        """Add a row; when this returns, it is on the disk."""
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
    """Keep other benchmarks out of a folder.  The system lets go of it however this process ends.

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
