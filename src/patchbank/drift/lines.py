"""Lines of `patchbank predict --json`, read back; lines that cannot be used are kept with why."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from patchbank.detector.result_lines import number_of, unreadable_lines, used_lines

STANDARD_INPUT = "-"


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
                    for part, detector in used_lines(stream, name, _inspected, self.damaged):
                        if self._is_own(detector):
                            yield part
            except OSError as error:
                raise unreadable_lines(path, error) from None

    def _is_own(self, detector: Any) -> bool:
        """Count a line by the detector that it names; whether it is the one that is wanted."""
        if detector is None:
            self.unnamed += 1
        elif detector != self._detector:
            self.other_detectors[str(detector)] += 1
            return False
        return True


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if str(path) != STANDARD_INPUT:
        return path.open("rb")
    if sys.stdin is None:
        raise OSError(0, "standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _inspected(record: dict[str, Any]) -> tuple[InspectedPart, Any]:
    """The part of one record, and the detector that it names.

    Raises:
        ValueError: it has neither a score nor an error.
    """
    is_failed = record.get("error") is not None
    part = InspectedPart(record["image"], None if is_failed else number_of(record, "score"))
    return part, record.get("detector_sha256")
