"""Lines of `patchbank predict --json`, read back: what every command that reads them checks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from io import BufferedReader, RawIOBase
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from patchbank.detector.inspection import SCHEMA_VERSION
from patchbank.detector.result_rows import COLUMNS
from patchbank.detector.strict_json import parse_json
from patchbank.errors import DataError
from patchbank.images.formats import HEAD_BYTES, UNKNOWN, described
from patchbank.runtime.printable import one_line

Used = TypeVar("Used")

CURE = "run patchbank predict with --json, and give the file that it writes"
PRINTED = re.compile(rb"(good|ANOMALOUS) +\S+ +p[=<]")
"""Beginning of the lines that `patchbank predict` prints."""
TABLE = re.compile("[,;]".join(list(COLUMNS)[:3]).encode())
"""Beginning of the table of `predict --csv`, as it is or saved again by a spreadsheet program."""
MARK = b"\xef\xbb\xbf"
"""Mark that Windows puts in front of UTF-8."""


def used_lines(
    stream: BinaryIO,
    name: str,
    use: Callable[[dict[str, Any]], Used],
    damaged: list[str],
) -> Iterator[Used]:
    """Yield what each line is used for, as the lines arrive; empty ones are skipped.

    Args:
        stream: of lines, read from where it stands.
        name: of the stream, for messages.
        use: record of a photograph -> what is wanted of it; raises ValueError where that is absent.
        damaged: receives name, number and fault of each line that cannot be used.

    Raises:
        DataError: it is another output of `predict`, or a file of a kind that is known.
    """
    if not isinstance(stream, BufferedReader):
        stream = BufferedReader(cast(RawIOBase, stream))
    head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    if head and (kind := kind_of_results(head)) != UNKNOWN:
        raise DataError(f"{name}: expected lines of predict --json, got {kind}; {CURE}")
    for number, line in enumerate(stream, 1):
        text = line.removeprefix(MARK).strip()
        if not text:
            continue
        try:
            used = use(_checked(parse_json(text.decode("utf-8"))))
        except ValueError as error:
            fault = _fault(error)
            damaged.append(f"{name}:{number}: expected a line of predict --json, got: {fault}")
            continue
        yield used


def unreadable_lines(path: Path, error: OSError) -> DataError:
    """The error about a file of lines that cannot be opened or read."""
    if path.is_dir():
        return DataError(f"{path}: expected lines of predict --json, got a folder; {CURE}")
    return DataError(f"{path}: expected lines of predict --json, got: {error.strerror}")


def kind_of_results(head: bytes) -> str:
    """Kind of a file of no results by its first HEAD_BYTES, in words that follow "got".

    >>> kind_of_results(b"image,verdict,score"), kind_of_results(b'{"image": "a.png"}')
    ('the table of predict --csv', 'something else')
    """
    text = head.removeprefix(MARK)
    if TABLE.match(text):
        return "the table of predict --csv"
    if PRINTED.match(text):
        return "the lines that predict prints"
    return described(head)


def number_of(record: dict[str, Any], name: str) -> float:
    """A finite number of a record.

    Raises:
        ValueError: there is none.
    """
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"no {name}")
    return float(value)


def _checked(record: Any) -> dict[str, Any]:
    """The record of a photograph, which names it.

    Raises:
        ValueError: it is not one of `predict --json`.
    """
    if not isinstance(record, dict):
        raise ValueError("no object")
    version = record.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version {version!r}, which this program does not know")
    if not isinstance(record.get("image"), str):
        raise ValueError("no image")
    return record


def _fault(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "text that is not UTF-8"
    if isinstance(error, JSONDecodeError):
        return "text that is not JSON"
    return one_line(str(error))
