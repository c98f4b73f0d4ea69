"""Lines of `patchbank predict --json`, read back: what every command that reads them checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from patchbank.detector.inspection import SCHEMA_VERSION
from patchbank.detector.strict_json import parse_json
from patchbank.runtime.printable import one_line

Used = TypeVar("Used")

MARK = b"\xef\xbb\xbf"
"""Mark that Windows puts in front of UTF-8."""


def used_lines(
    stream: Iterable[bytes],
    name: str,
    use: Callable[[dict[str, Any]], Used],
    damaged: list[str],
) -> Iterator[Used]:
    """Yield what each line is used for, as the lines arrive; empty ones are skipped.

    Args:
        stream: of lines.
        name: of the stream, for messages.
        use: record of a photograph -> what is wanted of it; raises ValueError where that is absent.
        damaged: receives name, number and fault of each line that cannot be used.
    """
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
    return one_line(str(error))
