"""Lists of paths: of photographs to inspect, from a file or standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from patchbank.errors import DataError, ParameterError

STANDARD_INPUT = Path("-")


class Given(NamedTuple):
    """A photograph or folder to inspect."""

    path: Path
    is_listed: bool
    """Whether it comes from a list: if it is missing, the others are inspected all the same."""


def with_lists(paths: Sequence[Path], paths_from: Path | None, *, null: bool) -> list[Given]:
    """Paths that were given, with those that are listed on standard input or in a file.

    Args:
        paths: as given; ``-`` stands for those that standard input lists.
        paths_from: a file that lists more, or None.
        null: whether the paths of a list end with NUL, as those of ``find -print0``, instead of
            with a line break.

    Raises:
        ParameterError: no path is given at all, or `null` without a list.
        DataError: a list cannot be read.
    """
    if null and paths_from is None and STANDARD_INPUT not in paths:
        raise ParameterError("--null: expected a list, - or --paths-from, together with it")
    if paths.count(STANDARD_INPUT) > 1:
        raise ParameterError("PATH: expected - once, got it several times")
    found: list[Given] = []
    for path in paths:
        if path == STANDARD_INPUT:
            found += [Given(listed, True) for listed in _split(_standard_input(), null)]
        else:
            found.append(Given(path, False))
    if paths_from is not None:
        found += [Given(listed, True) for listed in _split(_content(paths_from), null)]
    if not found:
        raise ParameterError(
            "PATH: expected a photograph or a folder, got none; give one, - or --paths-from FILE"
        )
    return found


def _standard_input() -> bytes:
    try:
        return sys.stdin.buffer.read() if sys.stdin is not None else b""
    except OSError as error:
        raise DataError(f"-: expected paths on standard input, got: {error.strerror}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"--paths-from: expected a file with paths, got {path} ({error.strerror})"
        ) from None


def _split(content: bytes, null: bool) -> list[Path]:
    r"""Paths of a list, without empty lines and the mark that Windows puts in front of UTF-8.

    >>> [str(path) for path in _split(b"a b.png\r\n\nc.png", null=False)]
    ['a b.png', 'c.png']
    """
    if not null and b"\0" in content:
        raise DataError("PATH: expected a list with one path a line, got NUL; give --null")
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\0" if null else b"\n")
    kept = lines if null else [line.removesuffix(b"\r") for line in lines]
    return [Path(os.fsdecode(line)) for line in kept if line]
