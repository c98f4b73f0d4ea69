"""Sort copies of inspected photographs into the folders OK and NG."""

from __future__ import annotations

import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

from patchbank.detector.inspection import Inspection
from patchbank.errors import DataError, ImageError
from patchbank.runtime.atomic_file import create_file, make_folders

GOOD, ANOMALOUS = "OK", "NG"


class Sorter:
    """Copies photographs into ``OK`` and ``NG`` below a folder.

    Subfolders are kept.  A file that lies there is never replaced: if its content is the same,
    nothing is done; else the copy gets a number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, outcome: Inspection, inside: Path) -> Path:
        """Copy the photograph to its place, and return the path of the copy.

        Args:
            outcome: of the photograph, which was read from a file.
            inside: path of the photograph below the folder that was inspected.

        Raises:
            ImageError: the photograph is not there any more, or is not the one that was inspected.
            DataError: the copy cannot be written.
        """
        photograph = Path(outcome.image)
        verdict = ANOMALOUS if outcome.is_anomalous else GOOD
        path = self._folder / verdict / inside
        content = _content(photograph, outcome)
        try:
            make_folders(path.parent)
            for number in count(1):
                numbered = path.with_name(f"{path.stem}-{number}{path.suffix}")
                copy = path if number == 1 else numbered
                if _is_there(copy, content):
                    return copy
                with suppress(FileExistsError):
                    create_file(copy, content)
                    with suppress(OSError):  # some network drives keep their own times
                        shutil.copystat(photograph, copy)
                    return copy
        except OSError as error:
            raise DataError(
                f"--sort-into: expected to copy {photograph} to {path}, got: {error.strerror}"
            ) from None
        raise AssertionError  # numbers do not end


def _content(photograph: Path, outcome: Inspection) -> bytes:
    """Content of the photograph, unless it changed since: it may show another part."""
    try:
        content = photograph.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{photograph}: expected to copy it, got: {error.strerror}; it is not sorted"
        ) from None
    if outcome.source.has_changed:
        raise ImageError(
            f"{photograph}: expected the photograph that was inspected, got a changed file; it is "
            "not sorted"
        )
    return content


def _is_there(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def total_bytes(photographs: list[Path]) -> int:
    """Size of all photographs that can be found."""
    found = 0
    for photograph in photographs:
        try:
            found += photograph.stat().st_size
        except OSError:  # inspecting it says what is wrong
            continue
    return found
