"""Compare results: the lines that `predict` wrote with each of two detectors."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from patchbank.comparison.comparing import made
from patchbank.comparison.comparison import Comparison, Pair, Side, Unread
from patchbank.comparison.lines import Line, ReadLines, read_lines
from patchbank.errors import DataError

Key = tuple[str, int]
"""Path of a photograph, and how many lines of the file named it before."""


def compare_results(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> Comparison:
    """Compare the lines that `predict --json` wrote with two detectors, photograph by photograph.

    Lines belong together if they name the same path; where a path stands several times, the first
    line belongs to the first, the second to the second.  Nothing is inspected, so there are no
    labels, times and settings.

    Args:
        a: file of the lines of one detector.
        b: file of the lines of the other one.

    Raises:
        DataError: a file cannot be read, or the two have no photograph in common.
    """
    files = Path(a), Path(b)
    read = [read_lines(file) for file in files]
    first, second = (_by_image(one.lines) for one in read)
    pairs, unread = [], []
    for key in dict.fromkeys([*first, *second]):
        one, other = first.get(key), second.get(key)
        if one is not None and other is not None and one.verdict and other.verdict:
            pairs.append(Pair(key[0], None, one.verdict, other.verdict))
        else:
            errors = [
                _error(key[0], line, file) for line, file in zip((one, other), files, strict=True)
            ]
            unread.append(Unread(key[0], *errors))
    if not pairs:
        raise DataError(
            f"{files[0]}, {files[1]}: expected lines of predict --json about the same photographs, "
            "got none; the paths in both must be the same"
        )
    return made(
        f"{files[0]}, {files[1]}",
        [_side(file, one) for file, one in zip(files, read, strict=True)],
        pairs,
        unread=tuple(unread),
        damaged=tuple(line for one in read for line in one.damaged),
        remarks=tuple(r for f, one in zip(files, read, strict=True) for r in _remarks(f, one)),
    )


def _by_image(lines: Iterable[Line]) -> dict[Key, Line]:
    seen: Counter[str] = Counter()
    found = {}
    for line in lines:
        found[line.image, seen[line.image]] = line
        seen[line.image] += 1
    return found


def _error(image: str, line: Line | None, file: Path) -> str | None:
    """The reason why a photograph has no verdict in a file; None if it has one."""
    if line is None:
        return f"{image}: expected a line in {file}, got none"
    return line.error


def _side(file: Path, read: ReadLines) -> Side:
    """Facts that lines have of their detector, as far as all of them agree."""
    detectors = {line.detector for line in read.lines}
    thresholds = {line.verdict.threshold for line in read.lines if line.verdict}
    return Side(
        name=str(file),
        sha256=detectors.pop() if len(detectors) == 1 else None,
        threshold=thresholds.pop() if len(thresholds) == 1 else None,
    )


def _remarks(file: Path, read: ReadLines) -> list[str]:
    detectors = {line.detector for line in read.lines} - {None}
    if len(detectors) < 2:
        return []
    return [f"{file}: the lines are of {len(detectors)} detectors, each with its own scores"]
