"""Digests of the contents of files, which are read again only where they may have changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from patchbank.errors import DataError
from patchbank.runtime.atomic_file import replace_file

STORE = ".files.json"
READ_BYTES = 2**20  # at a time
CLOCK_NS = 2_000_000_000  # coarsest step of the times that file systems keep


class FileDigests:
    """SHA-256 of files by path; one that was computed is used while the file is the same.

    A file is the same while its size, its times of modification and of change, and its number on
    the disk are.  A digest that was computed within the same tick of the clock as a change is not
    trusted, since another change may have followed in it.

    Args:
        store: file that keeps the digests; None keeps none.
    """

    def __init__(self, store: Path | None = None) -> None:
        self._store = store
        self._known: dict[str, Any] = {}
        if store is not None:
            with suppress(OSError, ValueError):  # missing or damaged: files are read again
                known = json.loads(store.read_text(encoding="ascii"))
                self._known = known if isinstance(known, dict) else {}

    def of(self, path: Path) -> str:
        """Digest of a file; of a folder that of the names and contents in it.

        Raises:
            DataError: it cannot be read.
        """
        try:
            if path.is_dir():
                inside = sorted(file for file in path.iterdir() if file.is_file())
                content = json.dumps([[file.name, self.of(file)] for file in inside])
                return hashlib.sha256(content.encode()).hexdigest()
            return self._of_file(path)
        except OSError as error:
            raise DataError(f"{path}: expected a readable file, got: {error.strerror}") from None

    def save(self) -> None:
        """Keep the digests; a store that cannot be written costs time later, and nothing else."""
        if self._store is None:
            return
        with suppress(OSError):
            replace_file(self._store, json.dumps(self._known).encode("ascii"))

    def _of_file(self, path: Path) -> str:
        name = os.path.abspath(path)
        state = _state(path)
        known = self._known.get(name)
        if isinstance(known, list) and known[:-1] == state:
            return str(known[-1])
        began_ns = time.time_ns()
        digest = _digest(path)
        if _state(path) == state and max(state[1], state[2]) + CLOCK_NS < began_ns:
            self._known[name] = [*state, digest]
        else:
            self._known.pop(name, None)
        return digest


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while some := file.read(READ_BYTES):
            digest.update(some)
    return digest.hexdigest()


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
