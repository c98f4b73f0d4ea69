"""Inspections as tables for other programs: CSV, JSON lines and Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from sqlalchemy import ColumnElement, String, func, select, type_coerce

from patchbank.errors import DataError, ParameterError
from patchbank.runtime.printable import json_text
from patchbank.runtime.spreadsheets import FORMULA_STARTS, text_cell
from patchbank.server.records.entries import Filter
from patchbank.server.records.listing import Listing, check_filter
from patchbank.server.records.tables import INSPECTIONS

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")
DECIMALS = (".", ",")
AT_ONCE = 5000
TEXT, NUMBER, INTEGER, TIME = "text", "number", "integer", "time"
COLUMNS = {
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
    "image": TEXT,
    "width": INTEGER,
    "height": INTEGER,
    "regions": INTEGER,
    "error": TEXT,
}
"""Exported columns of the table of inspections."""
RESULT = "result"
OWN_KEYS = [
    name
    for name in COLUMNS
    if name not in ("score", "threshold", "p_value", "detector_sha256", "image", "error")
    and name not in ("width", "height", "regions")
]
"""Keys of JSON lines that are not among those of the result."""
CONTROLLED = ("verdict", "review", "detector_sha256", "photograph_sha256", "source")
"""Columns whose texts this program has chosen."""
FORMULAS = tuple(f"\n{start}" for start in FORMULA_STARTS)


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
        return written(self.exported(wanted, form, decimal=decimal), stream)

    def exported(self, wanted: Filter, form: Format, *, decimal: str = ".") -> Iterator[Part]:
        """Yield the parts of what `export` writes; what is wrong is raised before the first one."""
        if form not in FORMATS:
            raise ParameterError(f"format: expected one of {', '.join(FORMATS)}, got {form!r}")
        if decimal not in DECIMALS:
            raise ParameterError(f"decimal: expected . or , got {decimal!r}")
        check_filter(wanted)
        table = Csv(decimal) if form == "csv" else _JsonLines() if form == "jsonl" else _Parquet()
        return self._parts(wanted, table)

    def _parts(self, wanted: Filter, table: Table, *, newest_first: bool = False) -> Iterator[Part]:
        yield Part(table.begin(), 0)
        for rows in self._rows(wanted, table.columns, newest_first):
            yield Part(table.rows(rows), len(rows))
        yield Part(table.end(), 0)

    def _rows(
        self, wanted: Filter, names: Sequence[str], newest_first: bool
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Rows in the order of their numbers, in parts; each part is one short transaction.

        A reader that waits for a slow network then holds back nothing.  Inspections that come
        while it reads are not among them.
        """
        last = newest = -1
        while True:
            with self._database.reading() as connection:
                if newest < 0:
                    newest = connection.execute(select(func.max(INSPECTIONS.c.id))).scalar() or 0
                    last = newest + 1 if newest_first else -1
                search = self._search(connection, wanted, newest + 1)
                if search is None:
                    return
                number = INSPECTIONS.c.id
                statement = (
                    select(*map(self._column, names))
                    .where(*search.conditions, number < last if newest_first else number > last)
                    .order_by(search.number.desc() if newest_first else search.number)
                    .limit(AT_ONCE)
                )
                rows = connection.execute(statement).all()
            if rows:
                yield rows
                last = rows[-1][0]
            if len(rows) < AT_ONCE:
                return

    def _column(self, name: str) -> ColumnElement[Any]:
        """A column; the time as ISO text up to its zone, which is UTC."""
        column = INSPECTIONS.c[name]
        if name != "time":
            return column
        if self.is_sqlite:
            return type_coerce(column, String)
        return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD HH24:MI:SS.US")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an exported file."""

    content: bytes
    inspections: int


def written(parts: Iterable[Part], stream: BinaryIO) -> int:
    """Write the parts of a file, and return the number of inspections."""
    number = 0
    for part in parts:
        stream.write(part.content)
        number += part.inspections
    return number


class Table:
    """A format."""

    columns: Sequence[str] = tuple(COLUMNS)
    """Columns of the table of inspections that it needs."""

    def begin(self) -> bytes:
        """Return the bytes before all rows."""
        return b""

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Some rows, which have the values of `columns`."""
        raise NotImplementedError

    def end(self) -> bytes:
        """Return the bytes after all rows."""
        return b""


class Csv(Table):
    """Rows for spreadsheets: UTF-8 with the mark by which Excel knows it; texts are no formulas.

    Columns are made one after the other, which is three times as fast as `csv.writer`.
    """

    def __init__(self, decimal: str) -> None:
        self.decimal = decimal
        self.delimiter = ";" if decimal == "," else ","

    def begin(self) -> bytes:
        """The names of the columns."""
        names = ("time_utc" if name == "time" else name for name in COLUMNS)
        return b"\xef\xbb\xbf" + f"{self.delimiter.join(names)}\r\n".encode()

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """A line for each inspection."""
        columns = map(self._cells, COLUMNS, zip(*rows, strict=True))
        lines = map(self.delimiter.join, zip(*columns, strict=True))
        return ("\r\n".join(lines) + "\r\n").encode()

    def _cells(self, name: str, values: Sequence[Any]) -> list[str]:
        """Cells of a column."""
        kind = COLUMNS[name]
        if kind == TIME:
            return [value[:23] for value in values]  # Excel knows no microseconds
        if kind != TEXT:
            cells = ["" if value is None else repr(value) for value in values]
            return [c.replace(".", ",") for c in cells] if self.decimal == "," else cells
        if name in CONTROLLED:
            return [value or "" for value in values]
        return self.texts(values)

    def texts(self, values: Sequence[str | None]) -> list[str]:
        """Cells of texts that anybody may have written; most are harmless, which one test shows."""
        given = list(filter(None, values))
        texts = "\n".join(["", *given])
        is_harmless = "".join(given).isprintable() and not any(
            risk in texts for risk in (*FORMULAS, self.delimiter, '"')
        )
        return [value or "" if is_harmless else self._text(value or "") for value in values]

    def _text(self, value: str) -> str:
        cell = text_cell(value)
        if self.delimiter in cell or '"' in cell:
            return '"' + cell.replace('"', '""') + '"'
        return cell


class _JsonLines(Table):
    """The line of ``predict --json`` and what is recorded, for each inspection."""

    columns = (*OWN_KEYS, RESULT)

    def __init__(self) -> None:
        self._line = "".join(f', "{name}": %s' for name in OWN_KEYS) + "}\n"

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        *own, results = zip(*rows, strict=True)
        lines = map(self._line.__mod__, zip(*map(_json_cells, OWN_KEYS, own), strict=True))
        return "".join(
            f"{result[:-1]}{line}" for result, line in zip(results, lines, strict=True)
        ).encode()


def _json_cells(name: str, values: Sequence[Any]) -> Sequence[str]:
    """JSON of the values of a column."""
    if name == "id":
        return [str(value) for value in values]
    if name == "time":
        return [f'"{value[:10]}T{value[11:]}Z"' for value in values]
    texts = "".join(filter(None, values))
    if texts.isprintable() and '"' not in texts and "\\" not in texts:
        return ["null" if value is None else f'"{value}"' for value in values]
    return [json_text(value) for value in values]


class _Parquet(Table):
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
        self._schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
        self._pieces = _Pieces()
        self._writer = pyarrow.parquet.ParquetWriter(self._pieces, self._schema)

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        arrays = []
        for values, field in zip(zip(*rows, strict=True), self._schema, strict=True):
            if COLUMNS[field.name] == TIME:
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

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Position, which cannot be changed; `io.IOBase` asks for it in this way."""
        return self._position

    def write(self, content: Any) -> int:
        self._parts.append(bytes(content))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def take(self) -> bytes:
        """Content that was written since the last time."""
        content = b"".join(self._parts)
        self._parts.clear()
        return content
