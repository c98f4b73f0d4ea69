"""Check that results have a place to go, before the work and not after."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from patchbank.errors import DataError
from patchbank.images.formats import SUFFIXES
from patchbank.runtime.atomic_file import make_folders, real_target, remove_unfinished

STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")
"""Beginnings of the names of open streams; where one is a file, it must not be replaced."""
MIN_FREE_BYTES = 1_000_000  # tables, JSON, pages: small, but a full disk has no place for any


def check_file(option: str, path: Path, *, n_bytes: int = MIN_FREE_BYTES) -> None:
    """Check that a file can be written, and remove what killed runs have left next to it.

    Args:
        option: that names the file.
        path: of the file, or of a symbolic link to it.
        n_bytes: that it will need, as far as that is known.

    Raises:
        DataError: the folder is not there, the file cannot be written or is a photograph, or the
            disk is too full.
    """
    _refuse_dash(option, path)
    try:
        if str(path).startswith(STREAMS):
            raise OSError(0, "a stream is there")
        target = real_target(path)
        if not target.parent.is_dir():
            raise DataError(f"{option}: expected a file in a folder that exists, got {path}")
        if os.path.lexists(target):
            with target.open("r+b"):  # as the permission bits do not say whether it works
                pass
        _check_writable(target.parent)
        remove_unfinished(target.parent)
    except OSError as error:
        hint = ""
        if str(path).startswith(STREAMS) and option == "--json":
            hint = "; give - for standard output"
        raise DataError(
            f"{option}: expected a file that can be written, got {path} ({error.strerror}){hint}"
        ) from None
    _check_no_photograph(option, path)
    check_space(option, target.parent, n_bytes)


def check_json(to_json: str | None) -> None:
    """Check the value of ``--json``: a file that can be written, or ``-``.

    Raises:
        DataError: as `check_file`.
    """
    if to_json is not None and to_json != "-":
        check_file("--json", Path(to_json))


def check_folder(option: str, path: Path, *, n_bytes: int = MIN_FREE_BYTES) -> None:
    """Check that files can be written into a folder, which may not exist yet.

    Raises:
        DataError: it is no folder, cannot be made or written to, or the disk is too full.
    """
    _refuse_dash(option, path)
    try:
        with suppress(FileNotFoundError):
            path.stat()  # names the reason where a name is too long or a file is in the way
        existing = Path(os.path.realpath(path))
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise NotADirectoryError(0, f"{existing.name} is a file")
        _check_writable(existing)
        remove_unfinished(existing)
    except OSError as error:
        raise DataError(
            f"{option}: expected a folder that can be written to, got {path} ({error.strerror})"
        ) from None
    check_space(option, existing, n_bytes)


def check_report(option: str, folder: Path) -> None:
    """Check that a page of HTML can be written into a folder, which may not exist yet.

    Raises:
        DataError: as `check_folder` and `check_file`.
    """
    check_folder(option, folder)
    if folder.is_dir():
        check_file(option, folder / "index.html")


def make_folder(option: str, folder: Path) -> None:
    """Make a folder, unless it is there.

    Raises:
        DataError: it cannot be made.
    """
    try:
        make_folders(folder)
    except OSError as error:
        raise DataError(
            f"{option}: expected to make the folder {folder}, got: {error.strerror}"
        ) from error


def check_space(option: str, folder: Path, n_bytes: int) -> None:
    """Check that a disk has space.

    Raises:
        DataError: it has less than `n_bytes`.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise DataError(
            f"{option}: expected {n_bytes / 1e6:,.0f} MB of free space in {folder}, got "
            f"{free / 1e6:,.0f} MB"
        )


def check_distinct(targets: Mapping[str, str | Path | None], inputs: Sequence[Path] = ()) -> None:
    """Check that no file is written twice, and no input is overwritten.

    Args:
        targets: option -> the file that it names, or None.
        inputs: files and folders that are read.

    Raises:
        DataError: two options name one file, or an option names an input.
    """
    named = {option: path for option, path in targets.items() if path not in (None, "-")}
    if not named:
        return
    seen = {os.path.realpath(path): "an input" for path in inputs}
    for option, path in named.items():
        real = os.path.realpath(str(path))
        if real in seen:
            raise DataError(
                f"{option}: expected a file of its own, got {path}, which is {seen[real]} too"
            )
        seen[real] = option


def check_outside(option: str, folder: Path, inputs: Sequence[Path]) -> None:
    """Check that a folder of results does not lie in a folder that is read: they would be read too.

    Raises:
        DataError: it does.
    """
    real = Path(os.path.realpath(folder))
    for path in inputs:
        if real.is_relative_to(os.path.realpath(path)):
            raise DataError(
                f"{option}: expected a folder outside of {path}, which is inspected, got {folder}"
            )


def _check_no_photograph(option: str, path: Path) -> None:
    """Check that no photograph is replaced: an option without its value takes the next path."""
    if path.suffix.lower() in SUFFIXES and path.exists():
        raise DataError(
            f"{option}: expected a file for the result, got {path}, which looks like a photograph; "
            "remove it, or give another name"
        )


def _refuse_dash(option: str, path: Path) -> None:
    if str(path) == "-":  # a file of that name would be a surprise
        raise DataError(f"{option}: expected a path, got -; only --json has standard output")


def _check_writable(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
