"""Lines of `patchbank predict --json`, read back with their verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchbank.comparison.comparison import Verdict
from patchbank.detector.result_lines import MARK, number_of, unreadable_lines, used_lines

BEGINNING = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One photograph, as a line has it."""

    image: str
    verdict: Verdict | None
    """Verdict of the line; None where the photograph could not be inspected."""
    error: str | None
    detector: str | None
    """SHA-256 of the content of the detector; None where the line names none."""


@dataclass(frozen=True, slots=True)
class ReadLines:
    """Lines of a file, and those that cannot be used."""

    lines: tuple[Line, ...]
    damaged: tuple[str, ...]
    """File, number and fault of each line that cannot be used."""


def is_results(path: Path) -> bool:
    """Whether a path is a file that begins as a line of JSON does: with a brace, as text.

    A detector file may begin with the same byte, but has zeros soon after it.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            begin = file.read(BEGINNING)
    except OSError:
        return False
    return begin.removeprefix(MARK).lstrip().startswith(b"{") and b"\0" not in begin


def read_lines(path: Path) -> ReadLines:
    """Read the lines of a file.

    Raises:
        DataError: the file cannot be read.
    """
    damaged: list[str] = []
    try:
        with path.open("rb") as file:
            lines = tuple(used_lines(file, str(path), _line, damaged))
    except OSError as error:
        raise unreadable_lines(path, error) from None
    return ReadLines(lines, tuple(damaged))


def _line(record: dict[str, Any]) -> Line:
    """One record.

    Raises:
        ValueError: it has neither a verdict nor an error.
    """
    image, error, detector = record["image"], record.get("error"), record.get("detector_sha256")
    named = detector if isinstance(detector, str) else None
    if error is not None:
        return Line(image, None, str(error), named)
    anomalous = record.get("anomalous")
    if not isinstance(anomalous, bool):
        raise ValueError("no verdict")
    verdict = Verdict(
        score=number_of(record, "score"),
        threshold=number_of(record, "threshold"),
        is_anomalous=anomalous,
    )
    return Line(image, verdict, None, named)
