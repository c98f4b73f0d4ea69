"""Photographs, overlays and maps on the disk, named by their content."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from patchbank.errors import ParameterError
from patchbank.runtime.atomic_file import create_file, make_folders, sync_folder
from patchbank.server.records.errors import NotRecorded

NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")
SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Tidied:
    """Numbers of what was removed."""

    pictures: int
    bytes: int
    oldest_kept: float | None
    """Time of the oldest picture that stays, in seconds since 1970."""


class Pictures:
    """A folder of pictures; equal ones are kept once."""

    def __init__(self, folder: Path) -> None:
        """Pictures in a folder, which is made with the first one."""
        self.folder = folder
        self._lock = threading.Lock()
        """Held while a picture is kept once more, so that it is not removed as an old one."""

    def keep(self, content: bytes, suffix: str) -> str:
        """Keep a picture; it is on the disk when this returns.

        Args:
            content: of the file.
            suffix: of its name, such as ``.png``.

        Returns:
            Its name, by which `read` finds it.

        Raises:
            NotRecorded: the disk is full, or cannot be written.
            ParameterError: the suffix is none.
        """
        suffix = suffix.lower()
        if not SUFFIX.fullmatch(suffix):
            raise ParameterError(f"suffix: expected one such as .png, got {suffix[:20]!r}")
        name = hashlib.sha256(content).hexdigest() + suffix
        path = self.path(name)
        try:
            if self._is_kept(path):
                return name
            if not path.parent.is_dir():
                _make_synced(path.parent)
            with suppress(FileExistsError):  # somebody has kept the same one meanwhile
                create_file(path, content, sync=True)
        except OSError as error:
            raise NotRecorded(
                f"{self.folder}: expected to keep a picture, got: {error.strerror or error}"
            ) from None
        return name

    def read(self, name: str) -> bytes | None:
        """The content of a picture; None where it was removed, or the name is none."""
        if not NAME.fullmatch(name):
            return None
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotRecorded(
                f"{self.folder}: expected to read a picture, got: {error.strerror or error}"
            ) from None

    def total(self) -> int:
        """Bytes of all pictures."""
        return sum(size for _, size, _ in self._found())

    def tidy(self, max_bytes: int | None = None, max_age_days: float | None = None) -> Tidied:
        """Remove the oldest pictures; records stay.

        Args:
            max_bytes: most of all that stay.
            max_age_days: longest time since an inspection has last kept it.
        """
        found = sorted(self._found())
        left = sum(size for _, size, _ in found)
        limit = None if max_age_days is None else time.time() - 86400 * max_age_days
        removed = removed_bytes = 0
        oldest = None
        for modified, size, path in found:
            is_old = limit is not None and modified < limit
            if not is_old and (max_bytes is None or left <= max_bytes):
                oldest = modified
                break
            if self._remove(path, modified):
                left -= size
                removed += 1
                removed_bytes += size
        return Tidied(removed, removed_bytes, oldest)

    def _is_kept(self, path: Path) -> bool:
        """Whether a picture is there; it is then as new as the inspection that has it again."""
        with self._lock:
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
        sync_folder(path.parent)  # whoever has created it may not have come so far
        return True

    def _remove(self, path: Path, modified: float) -> bool:
        """Remove a picture that was not kept again since it was listed."""
        with self._lock:
            try:
                if path.stat().st_mtime != modified:
                    return False
                path.unlink()
            except OSError:  # open in another program on Windows: the next time
                return False
        return True

    def has(self, name: str) -> bool:
        """Whether a picture is there."""
        return self.path(name).is_file()

    def paths(self) -> Iterator[Path]:
        """Paths of all pictures."""
        for _, _, path in self._found():
            yield path

    def path(self, name: str) -> Path:
        """Path of a picture, whether or not it is there."""
        return self.folder / name[:2] / name[2:4] / name

    def _found(self) -> Iterator[tuple[float, int, Path]]:
        """Time, size and path of each picture."""
        for folder in self.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]"):
            with suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in entries:
                    if NAME.fullmatch(entry.name):
                        with suppress(FileNotFoundError):
                            facts = entry.stat()
                            yield facts.st_mtime, facts.st_size, Path(entry.path)


def _make_synced(folder: Path) -> None:
    """Make a folder and those above it, which survive a power failure."""
    make_folders(folder)
    for each in (folder, folder.parent, folder.parent.parent):
        sync_folder(each)
