"""Atomic writes: after a crash the content of a file is the old one or the new one.

The content goes to a temporary file in the same folder, which is then renamed.  While it is written
it is locked, and the system releases the lock however the process ends: what a killed process has
left differs from what another one is writing, on network drives and between containers too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

PREFIX, SUFFIX = ".patchbank-", ".part"
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
"""Kinds of what a path leads to, if it is no regular file."""
LONGEST_WAIT_S = 20.0
"""Time to wait for another process that is replacing the same file."""
LONGEST_HOLD_S = 2.0
"""Time to wait on Windows for another program that has the file open, a virus scanner perhaps."""


class FileChanged(Exception):
    """A file is not the one that was to be replaced."""


def replace_file(
    path: Path, content: bytes, *, sync: bool = True, replaces: str | None = None
) -> None:
    """Replace a file, or the one that a symbolic link points to, by one with this content.

    Args:
        path: of the file, or of a link to it.
        content: of the file.
        sync: whether the content is on the disk before this returns, and survives a power failure.
        replaces: SHA-256 of the bytes of the file that may be replaced.  Of several processes that
            replace the same one, a single one succeeds.

    Raises:
        FileChanged: another file is there, or none; nothing was changed.
        OSError: the file cannot be written, or a device, pipe, socket or folder is there.
    """
    target = real_target(path)
    with _temporary(target.parent) as (temporary, file):
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
        if replaces is None:
            _put_in_place(temporary, file, target)
        else:
            with _held(target) as held:
                if held is None or hashlib.sha256(held.read()).hexdigest() != replaces:
                    raise FileChanged
                if sys.platform == "win32":
                    held.close()  # an open file cannot be replaced there
                _put_in_place(temporary, file, target)
    if sync:
        sync_folder(target.parent)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that is written in parts, and replaces the one at a path when all are written.

    Raises:
        OSError: the file cannot be written, or a device, pipe, socket or folder is there.
    """
    target = real_target(path)
    with _temporary(target.parent) as (temporary, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
        _put_in_place(temporary, file, target)
    sync_folder(target.parent)


def create_file(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Create a file; one that exists is never replaced.

    Args:
        path: of the file.
        content: of the file.
        sync: whether the content is on the disk before this returns, and survives a power failure.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: it cannot be written.
    """
    with _temporary(path.parent) as (temporary, file):
        file.write(content)
        file.flush()
        if sync:
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
            _rename(temporary, file, path)
    if sync:
        sync_folder(path.parent)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it; `Path.mkdir` calls itself for each and fails at a thousand.

    Raises:
        OSError: one of them cannot be made.
    """
    missing = [folder]
    while not os.path.lexists(missing[-1].parent):
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(exist_ok=True)


def real_target(path: Path) -> Path:
    """The file that is written for `path`: itself, or what a symbolic link points to.

    Raises:
        OSError: the link is circular, or a device, pipe, socket or folder is there.
    """
    target = Path(os.path.realpath(path))
    try:
        kind = stat.S_IFMT(target.stat().st_mode)
    except FileNotFoundError:
        return target
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"{KINDS.get(kind, 'something else')} is there", str(path))
    return target


@lru_cache(maxsize=256)
def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder, once a process."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                with suppress(OSError):
                    _remove_unless_in_use(Path(entry.path))


def _remove_unless_in_use(path: Path) -> None:
    """Remove a temporary file that no process holds; on Windows an open file cannot be removed."""
    if sys.platform == "win32":
        path.unlink()
        return
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(handle)


@contextmanager
def _held(target: Path) -> Iterator[BinaryIO | None]:
    """The file that is there now, locked against others that hold it; None if there is none.

    The lock is on the file itself, so that none is left behind.  Whoever has waited for it finds
    that the name leads to another file since, and takes hold of that one.
    """
    end = time.monotonic() + LONGEST_WAIT_S
    while True:
        try:
            file = target.open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            _wait_for_lock(file, target, end)
            if _is_at(file, target):
                yield file
                return


def _wait_for_lock(file: BinaryIO, target: Path, end: float) -> None:
    if sys.platform == "win32":
        return
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise OSError(errno.EAGAIN, "another program holds it", str(target)) from None
            time.sleep(0.01)
        except OSError:  # some network drives have no locks
            return
        else:
            return


def _is_at(file: BinaryIO, target: Path) -> bool:
    """Whether a name still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), target.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A locked temporary file in a folder, which is removed unless it was renamed."""
    remove_unfinished(folder)
    path, file = _created(folder)
    try:
        with file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def _created(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = folder / f"{PREFIX}{os.urandom(8).hex()}{SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags, 0o666), "w+b")
        if _locked(path, file):
            return path, file
        file.close()  # another process found it before it was locked, and has removed it


def _locked(path: Path, file: BinaryIO) -> bool:
    """Lock a file, and say whether it is still there."""
    if sys.platform == "win32":
        return True
    with suppress(OSError):  # some network drives have no locks, so nobody can remove it either
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return path.exists()


def _put_in_place(temporary: Path, file: BinaryIO, target: Path) -> None:
    """Rename a temporary file, which gets the permissions of the file that it replaces."""
    if target.exists():
        temporary.chmod(target.stat().st_mode & 0o777)
    _rename(temporary, file, target)


def _rename(temporary: Path, file: BinaryIO, target: Path) -> None:
    """Rename a temporary file; its lock is kept until it has its name."""
    file.flush()
    if sys.platform == "win32":
        file.close()  # an open file cannot be renamed there
    end = time.monotonic() + LONGEST_HOLD_S
    while True:
        try:
            temporary.replace(target)
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > end:
                raise
            time.sleep(0.01)  # nor can one be replaced there
        else:
            return


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that they survive a power failure."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network mounts refuse; the file itself is complete
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
