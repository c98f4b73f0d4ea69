"""Inspections as tables for other programs: CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from sqlalchemy import ColumnElement, String, func, select, type_coerce

from patchbank.errors import DataError, ParameterError
from patchbank.runtime.printable import json_text
from patchbank.runtime.spreadsheets import text_cell
from patchbank.server.records.entries import Filter
from patchbank.server.records.listing import Listing, check_filter
from patchbank.server.records.tables import INSPECTIONS

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")
DECIMALS = (".", ",")
AT_ONCE = 5000
TEXT, NUMBER, INTEGER, TIME = "text", "number", "integer", "time"
STORED = {
    "id": INTEGER,
    "time": TIME,
    "product": TEXT,
    "verdict": TEXT,
    "review": TEXT,
    "score": NUMBER,
    "threshold": NUMBER,
    "p_value": NUMBER,
    "serial_number": TEXT,
    "lot": TEXT,
    "station": TEXT,
    "shift": TEXT,
    "operator": TEXT,
    "camera": TEXT,
    "detector_sha256": TEXT,
    "photograph_sha256": TEXT,
    "source": TEXT,
    "by": TEXT,
    "instance": TEXT,
    "idempotency_key": TEXT,
}
"""Columns of the table of inspections, in the order of the exported ones."""
OF_RESULT = {
    "image": TEXT,
    "width": INTEGER,
    "height": INTEGER,
    "regions": INTEGER,
    "error": TEXT,
}
"""Columns that come from the result."""
KINDS = {**STORED, **OF_RESULT}
OWN_KEYS = [
    name for name in STORED if name not in ("score", "threshold", "p_value", "detector_sha256")
]
"""Keys of JSON lines that are not among those of the result."""
AT = {name: at for at, name in enumerate(STORED)}


class Exporting(Listing):
    """The part of the records that writes tables."""

    def export(
        self,
        wanted: Filter,
        form: Format,
        stream: BinaryIO,
        *,
        decimal: str = ".",
    ) -> int:
        """Write inspections, oldest first, and return how many.

        Args:
            wanted: which of them.
            form: ``csv``, ``jsonl`` or ``parquet``.
            stream: they are written to it as they are read.
            decimal: of CSV; with a comma, columns are separated by semicolons, as spreadsheet
                programs expect it where numbers have commas.

        Raises:
            ParameterError: there is no such format or decimal.
            DataError: Parquet needs pyarrow.
            NotRecorded: the database does not answer.
        """
        number = 0
        for part in self.exported(wanted, form, decimal=decimal):
            stream.write(part.content)
            number += part.inspections
        return number

    def exported(self, wanted: Filter, form: Format, *, decimal: str = ".") -> Iterator[Part]:
        """Yield the parts of what `export` writes; what is wrong is raised before the first one."""
        if form not in FORMATS:
            raise ParameterError(f"format: expected one of {', '.join(FORMATS)}, got {form!r}")
        if decimal not in DECIMALS:
            raise ParameterError(f"decimal: expected . or , got {decimal!r}")
        check_filter(wanted)
        table = _Csv(decimal) if form == "csv" else _JsonLines() if form == "jsonl" else _Parquet()
        return self._parts(wanted, table)

    def _parts(self, wanted: Filter, table: _Table) -> Iterator[Part]:
        yield Part(table.begin(), 0)
        for rows in self._rows(wanted):
            yield Part(table.rows(rows), len(rows))
        yield Part(table.end(), 0)

    def _rows(self, wanted: Filter) -> Iterator[Sequence[Sequence[Any]]]:
        """Rows in the order of their numbers, in parts; each part is one short transaction.

        A reader that waits for a slow network then holds back nothing.  Inspections that come
        while it reads are not among them.
        """
        after = newest = -1
        while True:
            with self._database.reading() as connection:
                if newest < 0:
                    newest = connection.execute(select(func.max(INSPECTIONS.c.id))).scalar() or 0
                conditions = self._conditions(connection, wanted, newest + 1)
                if conditions is None:
                    return
                statement = (
                    select(*self._columns(), INSPECTIONS.c.result)
                    .where(*conditions, INSPECTIONS.c.id > after)
                    .order_by(INSPECTIONS.c.id)
                    .limit(AT_ONCE)
                )
                rows = connection.execute(statement).all()
            if rows:
                yield rows
                after = rows[-1][0]
            if len(rows) < AT_ONCE:
                return

    def _columns(self) -> Iterator[ColumnElement[Any]]:
        """Stored columns, with the time as ISO text up to its zone, which is UTC."""
        for name in STORED:
            column = INSPECTIONS.c[name]
            if name != "time":
                yield column
            elif self.is_sqlite:
                yield type_coerce(column, String)
            else:
                utc = func.timezone("UTC", column)
                yield func.to_char(utc, "YYYY-MM-DD HH24:MI:SS.US")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an exported file."""

    content: bytes
    inspections: int


class _Table:
    """A format."""

    def begin(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        raise NotImplementedError

    def end(self) -> bytes:
        return b""


class _Csv(_Table):
    """UTF-8 with the mark by which Excel recognises it; texts are no formulas."""

    def __init__(self, decimal: str) -> None:
        self._has_comma = decimal == ","
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, delimiter=";" if self._has_comma else ",")
        self._numbers = [at for at, kind in enumerate(KINDS.values()) if kind == NUMBER]
        self._texts = [at for at, kind in enumerate(KINDS.values()) if kind == TEXT]

    def begin(self) -> bytes:
        self._writer.writerow("time_utc" if name == "time" else name for name in KINDS)
        return b"\xef\xbb\xbf" + self._written()

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        self._writer.writerows(map(self._cells, rows))
        return self._written()

    def _cells(self, row: Sequence[Any]) -> list[Any]:
        cells = [*row[:-1], *_of_result(row[-1])]
        cells[AT["time"]] = cells[AT["time"]][:23]  # Excel knows no microseconds
        for at in self._texts:
            text = cells[at]
            if text is not None and not text.isalnum():
                cells[at] = text_cell(text)
        if self._has_comma:
            for at in self._numbers:
                if cells[at] is not None:
                    cells[at] = repr(cells[at]).replace(".", ",")
        return cells

    def _written(self) -> bytes:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()


class _JsonLines(_Table):
    """The line of ``predict --json`` and what is recorded, for each inspection."""

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        return "".join(map(self._line, rows)).encode()

    def _line(self, row: Sequence[Any]) -> str:
        own = {name: row[AT[name]] for name in OWN_KEYS}
        own["time"] = f"{own['time'].replace(' ', 'T')}Z"
        return f"{row[-1][:-1]}, {json_text(own)[1:]}\n"


class _Parquet(_Table):
    """A row group for each part."""

    def __init__(self) -> None:
        try:
            import pyarrow  # noqa: PLC0415  # only where it is asked for
            import pyarrow.parquet  # noqa: PLC0415
        except ImportError:
            raise DataError(
                "parquet: expected pyarrow, got none; pip install 'patchbank[parquet]'"
            ) from None
        self._arrow: Any = pyarrow
        kinds = {
            TEXT: pyarrow.string(),
            NUMBER: pyarrow.float64(),
            INTEGER: pyarrow.int64(),
            TIME: pyarrow.timestamp("us", tz="UTC"),
        }
        self._schema = pyarrow.schema([(name, kinds[kind]) for name, kind in KINDS.items()])
        self._pieces = _Pieces()
        self._writer = pyarrow.parquet.ParquetWriter(self._pieces, self._schema)

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        columns = [*zip(*rows, strict=True)]
        columns[-1:] = zip(*map(_of_result, columns[-1]), strict=True)
        arrays = []
        for values, field in zip(columns, self._schema, strict=True):
            if field.name == "time":
                texts = self._arrow.array([f"{value}Z" for value in values])
                arrays.append(texts.cast(field.type))
            else:
                arrays.append(self._arrow.array(values, field.type))
        batch = self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._writer.write_batch(batch)
        return self._pieces.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._pieces.take()


class _Pieces(io.RawIOBase):
    """A file that is read from its beginning while it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, content: Any) -> int:
        self._parts.append(bytes(content))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def take(self) -> bytes:
        """All that was written since the last time."""
        content = b"".join(self._parts)
        self._parts.clear()
        return content


def _of_result(text: str) -> tuple[Any, ...]:
    """Cells of `OF_RESULT`."""
    result = json.loads(text)
    width, height = result.get("size") or (None, None)
    regions = result.get("regions")
    count = None if regions is None else len(regions)
    return (result.get("image"), width, height, count, result.get("error"))
