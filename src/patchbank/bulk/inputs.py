"""The photographs of a large run: those of a list, or those that a Parquet table names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from patchbank.bulk.arrow import pyarrow, reading_errors
from patchbank.errors import DataError
from patchbank.images.folders import few
from patchbank.runtime.digest import file_sha256

COLUMN = "path"
"""Column of a table that names the photographs, unless another is given."""
MOST_ROWS_OF_A_PART, FEWEST_ROWS_OF_A_PART = 1000, 50
USUAL_PARTS = 500


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive photographs, whose results are one part."""

    number: int
    first_row: int
    """Number of its first photograph, from 0."""
    names: Sequence[str | None]
    """Paths and URLs as given; None where a table has none."""
    folder: str
    """Absolute folder that paths are relative to."""

    def __str__(self) -> str:
        return f"rows {self.first_row:,} to {self.first_row + len(self.names) - 1:,}"


class Photographs(Protocol):
    """Photographs in an order that stays."""

    @property
    def n_rows(self) -> int:
        """Number of them."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of their names and order."""
        ...

    @property
    def folder(self) -> str:
        """Absolute folder that paths are relative to."""
        ...

    def names(self) -> Iterator[str | None]:
        """Paths and URLs, one after the other."""
        ...


@dataclass(frozen=True)
class PhotographList:
    """Photographs whose names are in memory."""

    given: Sequence[str]

    @property
    def n_rows(self) -> int:
        """Number of them."""
        return len(self.given)

    @property
    def sha256(self) -> str:
        """Digest of their names and order."""
        found = hashlib.sha256()
        for name in (self.folder, *self.given):
            found.update(name.encode("utf-8", "surrogateescape") + b"\0")
        return found.hexdigest()

    @property
    def folder(self) -> str:
        """The working directory."""
        return os.getcwd()

    def names(self) -> Iterator[str | None]:
        """The paths."""
        return iter(self.given)


class PhotographTable:
    """Photographs that a column of a Parquet file names; paths are relative to its folder."""

    def __init__(self, path: Path, column: str = COLUMN) -> None:
        """Open the table; its rows are read when they are asked for.

        Raises:
            DataError: it cannot be read, has no such column of texts, or no row.
        """
        self._path, self._column = path, column
        with self._opened() as file:
            schema = file.schema_arrow
            names = schema.names
            self.n_rows: int = file.metadata.num_rows
        if column not in names:
            raise DataError(
                f"{path}: expected a column {column} with paths or URLs, got "
                f"{few(names, 'column')}; name yours by --column"
            )
        if names.count(column) > 1:
            raise DataError(
                f"{path}: expected one column {column}, got {names.count(column)} of that name; "
                "rename the others"
            )
        kind = pyarrow().types
        found = schema.field(column).type
        plain = found.value_type if kind.is_dictionary(found) else found
        is_text = (kind.is_string, kind.is_large_string, kind.is_string_view)
        if not any(is_kind(plain) for is_kind in is_text):
            raise DataError(f"{path}: expected texts in the column {column}, got {found}")
        if not self.n_rows:
            raise DataError(f"{path}: expected one row a photograph, got none")

    @property
    def sha256(self) -> str:
        """Digest of the column's name and the file."""
        return hashlib.sha256(f"{self._column}\0{file_sha256(self._path)}".encode()).hexdigest()

    @property
    def folder(self) -> str:
        """The folder of the table."""
        return str(self._path.absolute().parent)

    def names(self) -> Iterator[str | None]:
        """The column's texts; no more than some thousand rows are in memory.

        Raises:
            DataError: the file is damaged.
        """
        with self._opened() as file:
            batches = file.iter_batches(MOST_ROWS_OF_A_PART, columns=[self._column])
            while (batch := self._read(lambda: next(batches, None))) is not None:
                yield from self._read(batch.column(self._column).to_pylist)

    def _opened(self) -> Any:
        parquet = pyarrow().parquet
        return self._read(lambda: parquet.ParquetFile(self._path))

    def _read(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except reading_errors() as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"{self._path}: expected a Parquet table that can be read, got: {reason}"
            ) from None


def rows_per_part(n_rows: int) -> int:
    """Photographs of one part: some hundred parts of a small run, larger parts of a large one.

    >>> rows_per_part(600), rows_per_part(100_000), rows_per_part(10_000_000)
    (50, 200, 1000)
    """
    wanted = -(-n_rows // USUAL_PARTS)
    return min(MOST_ROWS_OF_A_PART, max(FEWEST_ROWS_OF_A_PART, wanted))


def blocks(photographs: Photographs, size: int) -> Iterator[Block]:
    """Cut photographs into blocks of `size`."""
    names: list[str | None] = []
    number = 0
    for name in photographs.names():
        names.append(name)
        if len(names) == size:
            yield Block(number, number * size, names, photographs.folder)
            names, number = [], number + 1
    if names:
        yield Block(number, number * size, names, photographs.folder)
