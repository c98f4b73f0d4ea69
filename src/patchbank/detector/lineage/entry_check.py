"""The check of stored entries and deltas: every key that is read, its type and its range."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from patchbank.detector.lineage.entry import MOST_NAMED
from patchbank.errors import DetectorFileError

LARGEST = 2**31 - 1
DIGITS = re.compile("[0-9a-f]{64}")
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
WORD = re.compile("[a-z_]{1,40}")
MOST_ARRAYS = 100_000


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _or_null(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or holds(value)


def _are_limits(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"threshold", "pixel_threshold"}
        and all(map(_is_number, value.values()))
    )


def _are_added(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_NAMED
        and all(
            isinstance(one, dict)
            and one.keys() == {"name", "digest"}
            and _is_text(one["name"])
            and _or_null(_is_text)(one["digest"])
            for one in value
        )
    )


def _is_forced(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"reason", "lost", "n_lost"}
        and _is_text(value["reason"])
        and isinstance(value["lost"], list)
        and all(map(_is_text, value["lost"]))
        and _is_count(value["n_lost"])
    )


ENTRY: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "number": ("its place", _is_count),
    "time": ("null, or a time in UTC", _or_null(_matches(TIMES))),
    "kind": ("a word", _matches(WORD)),
    "by": ("a text", _is_text),
    "reason": ("a text", _is_text),
    "n_added": ("a number of photographs", _is_count),
    "added": (f"at most {MOST_NAMED} photographs", _are_added),
    "before": ("null, or thresholds", _or_null(_are_limits)),
    "after": ("thresholds", _are_limits),
    "forced": ("null, or a reason with what was lost", _or_null(_is_forced)),
    "restored": ("null, or the number of an earlier entry", _or_null(_is_count)),
    "version": ("a text", _is_text),
    "state": ("a SHA-256", _matches(DIGITS)),
    "previous": ("null, or a SHA-256", _or_null(_matches(DIGITS))),
}
"""Key of an entry -> (its rule in words, whether a value holds it)."""
DELTA: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "later": ("a number of an entry", _is_count),
    "earlier": ("a number of an entry", _is_count),
    "arrays": ("a number of arrays", lambda v: _is_count(v) and v <= MOST_ARRAYS),
    "record": ("null, or an object", _or_null(lambda v: isinstance(v, dict))),
    "tensors": (
        "an object of objects",
        lambda v: isinstance(v, dict) and all(isinstance(how, dict) for how in v.values()),
    ),
    "removed": ("names", lambda v: isinstance(v, list) and all(map(_is_text, v))),
}


def check_entry(number: int, stored: Any) -> None:
    """Check an entry; keys that a newer program added are let through.

    Raises:
        DetectorFileError: a key is missing, or its value is not what it may be.
    """
    _check(f"lineage.entries[{number}]", stored, ENTRY)
    restored = stored["restored"]
    if stored["number"] != number or (restored is not None and restored >= number):
        raise DetectorFileError(
            f"lineage.entries[{number}]: expected the number {number}, and to restore an earlier "
            f"entry, got {stored['number']} and {restored}"
        )


def check_delta(number: int, stored: Any) -> None:
    """Check how a delta is stored.

    Raises:
        DetectorFileError: a key is missing, or its value is not what it may be.
    """
    _check(f"lineage.deltas[{number}]", stored, DELTA)


def _check(where: str, stored: Any, rules: Mapping[str, tuple[str, Callable[[Any], bool]]]) -> None:
    if not isinstance(stored, dict):
        raise DetectorFileError(f"{where}: expected an object, got {_short(stored)}")
    for key, (words, holds) in rules.items():
        if key not in stored:
            raise DetectorFileError(f"{where}.{key}: expected {words}, got nothing")
        if not holds(stored[key]):
            raise DetectorFileError(f"{where}.{key}: expected {words}, got {_short(stored[key])}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
