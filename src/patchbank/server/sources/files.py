"""Files of a watched folder: which there are, whether they are whole, and where they go."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from patchbank.errors import ImageError
from patchbank.images.decode import read_pixels
from patchbank.images.kinds import is_photograph
from patchbank.images.names import is_left_behind
from patchbank.runtime.atomic_file import make_folders, replace_file

JPEG_TAIL = 4096
"""Bytes at the end of a JPEG file in which its end is searched; some cameras add a few."""
PNG_TAIL = 64


class FileState(NamedTuple):
    """Size and time of a file, which change when it is written to or replaced."""

    size: int
    mtime_ns: int


def files_below(folder: Path, leave_out: Container[Path]) -> Iterator[tuple[str, FileState]]:
    """Yield each regular file below a folder: its path in it with ``/``, and its state.

    Hidden and unfinished files are left out; links are followed to files, not to folders.

    Args:
        folder: to list.
        leave_out: folders below it that are not entered, by paths that begin with its own.

    Raises:
        OSError: a folder cannot be listed.
    """
    left = [("", folder)]
    while left:
        inside, parent = left.pop()
        with os.scandir(parent) as entries:
            for entry in entries:
                if is_left_behind(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    path = Path(entry.path)
                    if path not in leave_out:
                        left.append((f"{inside}{entry.name}/", path))
                    continue
                found = _file_state(entry)
                if found is not None:
                    yield inside + entry.name, found


def _file_state(entry: os.DirEntry[str]) -> FileState | None:
    """State of a regular file, or of a link to nothing or to a folder; None for anything else.

    Such a link cannot be read; the caller skips it, and says so.
    """
    try:
        found = entry.stat()
    except OSError:  # it has gone, or what it is a link to
        return _link_state(entry)
    if stat.S_ISDIR(found.st_mode):
        return _link_state(entry)
    return FileState(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _link_state(entry: os.DirEntry[str]) -> FileState | None:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return FileState(found.st_size, found.st_mtime_ns) if stat.S_ISLNK(found.st_mode) else None


def state_of(path: Path) -> FileState:
    """State of a file now.

    Raises:
        OSError: it is not there.
    """
    found = path.stat()
    return FileState(found.st_size, found.st_mtime_ns)


def read_settled(path: Path, state: FileState) -> bytes | None:
    """Content of a file; None if it is not in this state any more.

    Raises:
        OSError: it cannot be read, or, on Windows, its writer still holds it.
    """
    content = path.read_bytes()
    return content if len(content) == state.size and state_of(path) == state else None


def is_whole(name: str, content: bytes) -> bool:
    """Whether an image file has its end, as far as its format shows that.

    A file that is being copied may have its size already, and zeros where its end will be.

    >>> is_whole("1.jpg", bytes.fromhex("ffd8ffe0") + bytes(9000))
    False
    """
    if content.startswith(b"\x89PNG"):
        return b"IEND" in content[-PNG_TAIL:]
    if content.startswith(b"\xff\xd8\xff"):
        start = _scan_of(content)
        return start is not None and b"\xff\xd9" in content[max(start, len(content) - JPEG_TAIL) :]
    try:
        read_pixels(name, content)
    except MemoryError:
        raise
    except Exception:  # decoders raise many types on files that are cut short
        return False
    return True


def _scan_of(jpeg: bytes) -> int | None:
    """Where the pixels of a JPEG file begin: behind its metadata, which may hold a thumbnail."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        if jpeg[at + 1] == 0xDA:  # start of scan
            return at
        if jpeg[at + 1] == 0xFF:  # fill byte
            at += 1
        else:
            at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return None


def is_picture(path: Path) -> bool:
    """Whether a file is one that is read as a photograph; one that is gone is none."""
    try:
        return bool(is_photograph(path))
    except (OSError, ImageError):
        return False


class AnotherFile(Exception):
    """A file is not the one any more that was inspected."""


def move(path: Path, target: Path, state: FileState) -> None:
    """Move a file that was inspected; one that is there already is not replaced.

    Args:
        path: of the file.
        target: its new path; another file of that name gets a number behind it.
        state: in which it was inspected.

    Raises:
        AnotherFile: it is in another state, and was not moved.
        OSError: it cannot be moved, and is where it was.
    """
    make_folders(target.parent)
    free, number = target, 1
    while free.exists():
        number += 1
        free = target.with_name(f"{target.stem}-{number}{target.suffix}")
    if state_of(path) != state:
        raise AnotherFile
    try:
        path.rename(free)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        replace_file(free, path.read_bytes())  # another disk
        if state_of(path) != state:
            free.unlink()
            raise AnotherFile from None
        path.unlink()
        return
    if state_of(free) != state and not path.exists():  # it came in the moment of the move
        free.rename(path)
        raise AnotherFile
