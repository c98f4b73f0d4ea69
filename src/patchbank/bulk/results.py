"""Results of a large run: a folder of Parquet files, which a run that was stopped goes on with.

A part is a file of its own and is written atomically, so whatever part is there is whole.  The
folder reads as one table in the order of the photographs: programs that read folders of Parquet
files leave out ``_run``, which says what the parts were computed from.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchbank.bulk.arrow import pyarrow, reading_errors
from patchbank.bulk.inputs import Block
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.result_rows import COLUMNS, INTEGER, NUMBER, TEXT, row_of
from patchbank.errors import DataError
from patchbank.images.folders import few
from patchbank.runtime.atomic_file import make_folders, remove_unfinished, replace_file
from patchbank.runtime.file_lock import FolderInUse, locked_folder
from patchbank.runtime.printable import json_text

SCHEMA_VERSION = 1
"""Version of `docs/schemas/predict_run.schema.json`."""
RUN, RECORD = "_run", "run.json"
ROW = "row"
"""Column with the number of a photograph, from 0."""


@dataclass(frozen=True, slots=True)
class PartSummary:
    """Verdicts and errors of the rows of a part."""

    verdicts: Mapping[str, int]
    """Number of rows of each verdict."""
    errors: Sequence[str]
    """One line for each photograph that could not be inspected."""


def part_of(
    outcomes: Sequence[Inspection | FailedInspection], first_row: int, detector_sha256: str
) -> bytes:
    """The bytes of a Parquet file with these results.

    Args:
        outcomes: of consecutive photographs.
        first_row: number of the first one.
        detector_sha256: of the detector.
    """
    arrow = pyarrow()
    kinds = {TEXT: arrow.string(), NUMBER: arrow.float64(), INTEGER: arrow.int64()}
    rows = [row_of(outcome, detector_sha256) for outcome in outcomes]
    columns = {ROW: arrow.array(range(first_row, first_row + len(rows)), arrow.int64())}
    for name, kind in COLUMNS.items():
        columns[name] = arrow.array([_sayable(row[name]) for row in rows], kinds[kind])
    stream = io.BytesIO()
    arrow.parquet.write_table(arrow.table(columns), stream)
    return stream.getvalue()


class PartFolder:
    """The folder of the parts of one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def held(self, run: Mapping[str, Any]) -> Iterator[None]:
        """Hold the folder for one run, which begins there or goes on.

        Args:
            run: what its results are computed from, as JSON.

        Raises:
            DataError: another process writes there, the results there are of another detector or
                other photographs, other files are there, or it cannot be written to.
        """
        with ExitStack() as stack:
            try:
                self._check_others()
                make_folders(self._folder / RUN)
                stack.enter_context(locked_folder(self._folder / RUN))
                self._begin(run)
            except FolderInUse:
                raise DataError(
                    f"{self._folder}: expected a folder for one run, but another process writes "
                    "there"
                ) from None
            except OSError as error:
                raise self._not_written(error) from None
            remove_unfinished(self._folder)
            yield

    def summary_of(self, block: Block) -> PartSummary | None:
        """Summarise the part of a block; None where it is not there, or damaged."""
        path = self._path(block)
        try:
            summary = _summary(path)
        except reading_errors():
            return None
        return summary if sum(summary.verdicts.values()) == len(block.names) else None

    def write(self, block: Block, content: bytes) -> PartSummary:
        """Write the part of a block; -> what it says.

        Raises:
            DataError: it cannot be written.
        """
        try:
            replace_file(self._path(block), content)
        except OSError as error:
            raise self._not_written(error) from None
        return _summary(io.BytesIO(content))

    def _path(self, block: Block) -> Path:
        return self._folder / f"part-{block.number:06}.parquet"

    def _check_others(self) -> None:
        if (self._folder / RUN).exists() or not self._folder.exists():
            return
        others = sorted(path.name for path in self._folder.iterdir())
        if others:
            raise DataError(
                f"{self._folder}: expected an empty folder, or one with results of predict, got "
                f"{few(others, 'file')}"
            )

    def _begin(self, run: Mapping[str, Any]) -> None:
        record = self._folder / RUN / RECORD
        wanted = {"schema_version": SCHEMA_VERSION, **run}
        if not record.exists():
            replace_file(record, (json_text(wanted, indent=2) + "\n").encode())
            return
        try:
            found = json.loads(record.read_bytes())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise DataError(f"{record}: expected the record of a run, got no JSON of one")
        other = [name for name, value in wanted.items() if found.get(name) != value]
        if other:
            raise DataError(
                f"{self._folder}: expected results of the same detector and photographs, got those "
                f"of another run, whose {', '.join(other)} differ; give another folder"
            )

    def _not_written(self, error: OSError) -> DataError:
        return DataError(
            f"{self._folder}: expected a folder for results, got: {error.strerror or error}"
        )


def _summary(file: Path | io.BytesIO) -> PartSummary:
    # Not read_table: its threads give back what Python owns at any time, and a process whose
    # interpreter ends meanwhile is aborted.
    with pyarrow().parquet.ParquetFile(file, pre_buffer=False) as opened:
        table = opened.read(columns=["verdict", "error"], use_threads=False)
    verdicts: dict[str, int] = {}
    for verdict in table.column("verdict").to_pylist():
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    errors = [error for error in table.column("error").to_pylist() if error is not None]
    return PartSummary(verdicts, errors)


def _sayable(value: Any) -> Any:
    """A value that Parquet can hold: bytes of a name that are no UTF-8 are escaped."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()
