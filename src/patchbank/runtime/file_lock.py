"""One process for a folder: a lock that ends with the process, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = "lock"


class FolderInUse(Exception):
    """Another process has locked the folder."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for this process.

    Raises:
        FolderInUse: another process has it.
        OSError: the file of the lock cannot be made.
    """
    handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            if sys.platform == "win32":
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderInUse from None
        yield
    finally:
        os.close(handle)
