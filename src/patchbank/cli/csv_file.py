"""The table of `patchbank predict --csv`: a row for each photograph, for spreadsheet programs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import DataError
from patchbank.runtime.spreadsheets import text_cell

COLUMNS = (
    "image",
    "verdict",
    "score",
    "threshold",
    "p_value",
    "width",
    "height",
    "regions",
    "worst_left",
    "worst_top",
    "worst_width",
    "worst_height",
    "worst_area",
    "worst_score",
    "error",
    "detector_sha256",
    "unlike",
    "product",
)


class CsvFile:
    """Writes a row for each outcome, and each row at once, so that others can follow the file."""

    def __init__(self, path: Path, file: IO[str], detector_sha256: str) -> None:
        self._path = path
        self._file = file
        self._detector = detector_sha256
        self._rows = csv.writer(file)
        self._write(COLUMNS)

    def add(self, outcome: Inspection | FailedInspection) -> None:
        """Write the row of one photograph.

        Raises:
            DataError: the row cannot be written.
        """
        route = outcome.route
        detector = self._detector if route is None else route.detector_sha256
        product = "" if route is None else route.product or ""
        self._write([*_cells(outcome), detector, _differences(outcome), text_cell(product)])

    def _write(self, row: Any) -> None:
        try:
            self._rows.writerow(row)
            self._file.flush()
        except OSError as error:
            raise DataError(f"{self._path}: expected to write CSV, got: {error.strerror}") from None


@contextmanager
def csv_file(path: Path, detector_sha256: str) -> Iterator[CsvFile]:
    """Open a new table; UTF-8 with the mark at its beginning by which Excel recognises it.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        file = path.open("w", encoding="utf-8-sig", newline="")
    except OSError as error:
        raise DataError(f"{path}: expected to write CSV, got: {error.strerror}") from None
    with file:
        yield CsvFile(path, file, detector_sha256)


def _differences(outcome: Inspection | FailedInspection) -> str:
    if isinstance(outcome, FailedInspection):
        return ""
    return text_cell("; ".join(map(str, outcome.unlike)))


def _cells(outcome: Inspection | FailedInspection) -> list[str | int | float]:
    """Cells of all columns but the last three; empty where nothing is known."""
    image = text_cell(outcome.image)
    if isinstance(outcome, FailedInspection):
        return [
            image,
            "unread" if outcome.route is None else "unknown",
            *[""] * 12,
            text_cell(outcome.error),
        ]
    worst: list[str | int | float] = [""] * 6
    if outcome.regions:
        region = outcome.regions[0]
        worst = [region.left, region.top, region.width, region.height, region.area, region.score]
    return [
        image,
        "anomalous" if outcome.is_anomalous else "good",
        outcome.score,
        outcome.threshold,
        outcome.p_value,
        *outcome.size,
        len(outcome.regions),
        *worst,
        "",
    ]
