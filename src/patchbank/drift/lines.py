"""Lines of `patchbank predict --json`, read back; lines that cannot be used are kept with why."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from patchbank.detector.inspection import SCHEMA_VERSION
from patchbank.detector.strict_json import parse_json
from patchbank.errors import DataError
from patchbank.runtime.printable import one_line

STANDARD_INPUT = "-"
MARK = b"\xef\xbb\xbf"
"""Mark that Windows puts in front of UTF-8."""


@dataclass(frozen=True, slots=True)
class InspectedPart:
    """One part, as a line has it."""

    image: str
    """Path of the photograph."""
    score: float | None
    """Anomaly score; None where the photograph could not be inspected."""


class LineReader:
    """Reads files of lines, and counts those that are not of this detector or are damaged."""

    def __init__(self, detector_sha256: str) -> None:
        """A reader before the first line.

        Args:
            detector_sha256: of the detector whose lines are wanted; lines that name none, as
                `Inspection.to_json` returns them, are its own.
        """
        self._detector = detector_sha256
        self.other_detectors: Counter[str] = Counter()
        """Number of lines of each other detector, by its SHA-256."""
        self.damaged: list[str] = []
        """File, number and fault of each line that cannot be used."""
        self.unnamed = 0
        """Number of lines that name no detector."""

    def parts(self, paths: Iterable[Path]) -> Iterator[InspectedPart]:
        """Yield the parts of all files in order; ``-`` is standard input, read as lines arrive.

        Raises:
            DataError: a file cannot be read.
        """
        for path in paths:
            name = str(path)
            try:
                with _opened(path) as stream:
                    for number, line in enumerate(stream, 1):
                        part = self._part(line, f"{name}:{number}")
                        if part is not None:
                            yield part
            except OSError as error:
                raise DataError(
                    f"{name}: expected lines of predict --json, got: {error.strerror}"
                ) from None

    def _part(self, line: bytes, where: str) -> InspectedPart | None:
        line = line.removeprefix(MARK).strip()
        if not line:
            return None
        try:
            record = parse_json(line.decode("utf-8"))
            part = _inspected(record)
        except ValueError as error:
            self.damaged.append(f"{where}: expected a line of predict --json, got: {_fault(error)}")
            return None
        detector = record.get("detector_sha256")
        if detector is None:
            self.unnamed += 1
        elif detector != self._detector:
            self.other_detectors[str(detector)] += 1
            return None
        return part


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if str(path) != STANDARD_INPUT:
        return path.open("rb")
    if sys.stdin is None:
        raise OSError(0, "standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _inspected(record: Any) -> InspectedPart:
    """The part of one record.

    Raises:
        ValueError: it is not one of `predict --json`.
    """
    if not isinstance(record, dict):
        raise ValueError("no object")
    version = record.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version {version!r}, which this program does not know")
    image, score, error = record.get("image"), record.get("score"), record.get("error")
    if not isinstance(image, str):
        raise ValueError("no image")
    if error is not None:
        return InspectedPart(image, None)
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        raise ValueError("no score")
    return InspectedPart(image, float(score))


def _fault(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "text that is not UTF-8"
    return one_line(str(error))
