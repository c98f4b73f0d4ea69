"""Errors of values that the framework has checked, in the words of the project."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from patchbank.runtime.printable import printable

_BEGINNING = re.compile(
    r"^(?:Value error, |(?:Input|Value|String|List|Number) should (?:be |have |match )?)"
)


def words_of(errors: Sequence[Mapping[str, Any]]) -> str:
    """One line about the first of several errors.

    >>> words_of([{"loc": ("query", "limit"), "msg": "Input should be a valid integer",
    ...            "input": "x", "type": "int_parsing"}])
    "limit: expected a valid integer, got 'x'"
    """
    first = errors[0]
    where = [str(part) for part in first["loc"] if part not in ("query", "path", "body", "header")]
    name = ".".join(where) or "body"
    expected = _BEGINNING.sub("", str(first["msg"])).partition(", unable to ")[0]
    if first["type"] == "missing":
        return f"{name}: expected a value, got none"
    if first["type"] == "extra_forbidden":
        return f"{name}: expected none of that name, got one"
    if first["type"] == "json_invalid":
        return "body: expected JSON, got other text"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{name}: expected {expected}, got {_shown(first.get('input'))}{more}"


def _shown(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
