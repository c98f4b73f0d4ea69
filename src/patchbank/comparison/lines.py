"""Lines of `patchbank predict --json`, read back with their verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchbank.comparison.comparison import Verdict
from patchbank.detector.inspection import SCHEMA_VERSION
from patchbank.detector.strict_json import parse_json
from patchbank.errors import DataError
from patchbank.runtime.printable import one_line

MARK = b"\xef\xbb\xbf"
"""Mark that Windows puts in front of UTF-8."""
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
    lines: list[Line] = []
    damaged: list[str] = []
    try:
        with path.open("rb") as file:
            for number, content in enumerate(file, 1):
                text = content.removeprefix(MARK).strip()
                if not text:
                    continue
                try:
                    lines.append(_line(parse_json(text.decode("utf-8"))))
                except ValueError as error:
                    fault = one_line(str(error))
                    if isinstance(error, UnicodeDecodeError):
                        fault = "text that is not UTF-8"
                    damaged.append(
                        f"{path}:{number}: expected a line of predict --json, got: {fault}"
                    )
    except OSError as error:
        raise DataError(
            f"{path}: expected lines of predict --json, got: {error.strerror}"
        ) from None
    return ReadLines(tuple(lines), tuple(damaged))


def _line(record: Any) -> Line:
    """One record.

    Raises:
        ValueError: it is not one of `predict --json`.
    """
    if not isinstance(record, dict):
        raise ValueError("no object")
    version = record.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version {version!r}, which this program does not know")
    image, error, detector = (record.get(n) for n in ("image", "error", "detector_sha256"))
    if not isinstance(image, str):
        raise ValueError("no image")
    named = detector if isinstance(detector, str) else None
    if error is not None:
        return Line(image, None, str(error), named)
    anomalous = record.get("anomalous")
    if not isinstance(anomalous, bool):
        raise ValueError("no verdict")
    verdict = Verdict(
        score=_number(record, "score"),
        threshold=_number(record, "threshold"),
        is_anomalous=anomalous,
    )
    return Line(image, verdict, None, named)


def _number(record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"no {name}")
    return float(value)
