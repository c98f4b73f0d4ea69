"""The table of `patchbank predict --csv`: a row for each photograph, for spreadsheet programs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.result_rows import COLUMNS, row_of
from patchbank.errors import DataError
from patchbank.runtime.spreadsheets import text_cell


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
        row = row_of(outcome, self._detector)
        self._write([text_cell(v) if isinstance(v, str) else v for v in row.values()])

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
