"""Lists of paths: of photographs to inspect, from a file or standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from patchbank.errors import DataError, ParameterError

STANDARD_INPUT = Path("-")


class Given(NamedTuple):
    """A photograph or folder to inspect."""

    path: Path
    is_listed: bool
    """Whether it comes from a list: if it is missing, the others are inspected all the same."""


def with_lists(
    paths: Sequence[Path], paths_from: Path | None, *, null: bool
) -> list[Given | StandardInput]:
    """Paths that were given, with those of a list, and where standard input lists more.

    Args:
        paths: as given; ``-`` stands for those that standard input lists.
        paths_from: a file that lists more, ``-`` for standard input, or None.
        null: whether the paths of a list end with NUL, as those of ``find -print0``, instead of
            with a line break.

    Raises:
        ParameterError: no path is given at all, or `null` without a list.
        DataError: a list cannot be read.
    """
    if null and paths_from is None and STANDARD_INPUT not in paths:
        raise ParameterError("--null: expected a list, - or --paths-from, together with it")
    if paths_from == STANDARD_INPUT:
        paths, paths_from = [*paths, STANDARD_INPUT], None
    if paths.count(STANDARD_INPUT) > 1:
        raise ParameterError("PATH: expected - once, got it several times")
    found: list[Given | StandardInput] = [
        StandardInput(null) if path == STANDARD_INPUT else Given(path, False) for path in paths
    ]
    if paths_from is not None:
        found += [Given(listed, True) for listed in _split(_content(paths_from), null)]
    if not found:
        raise ParameterError(
            "PATH: expected a photograph or a folder, got none; give one, - or --paths-from FILE"
        )
    return found


@dataclass(frozen=True, slots=True)
class StandardInput:
    """The list of paths on standard input."""

    null: bool = False
    """Whether they end with NUL."""

    def batches(self) -> Iterator[list[Given]]:
        """Paths as they arrive: all that are there, then the next ones.

        So the paths of a long list are inspected in parallel, and one that a camera's program
        writes is inspected before the next is there.

        Raises:
            DataError: they cannot be read.
        """
        end = b"\0" if self.null else b"\n"
        rest = b""
        while content := _arrived():
            whole, found, rest = (rest + content).rpartition(end)
            if found:
                yield [Given(path, True) for path in _split(whole, self.null)]
        yield [Given(path, True) for path in _split(rest, self.null)]


def batches(given: Sequence[Given | StandardInput]) -> Iterator[list[Given]]:
    """Paths in the order given: those of standard input as they arrive, all others at once."""
    known: list[Given] = []
    for one in given:
        if isinstance(one, Given):
            known.append(one)
            continue
        yield known
        known = []
        yield from one.batches()
    yield known


def _arrived() -> bytes:
    """Bytes that are on standard input, once there are some; none at its end."""
    try:
        stream: Any = None if sys.stdin is None else sys.stdin.buffer
        return b"" if stream is None else bytes(stream.read1())
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
