"""JSON that says one thing: no key twice, no number that is not finite, no bottomless nesting."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

MAX_DEPTH = 64
"""Objects and arrays within each other; a detector file has less than ten."""


def parse_json(text: str) -> Any:
    """Parse JSON as `json.loads` does, but refuse what readers of JSON differ about.

    Raises:
        ValueError: the text is not JSON, has a key twice in one object, NaN, Infinity or a number
            beyond float64, or is nested too deep.

    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parse_json('{"a": 1e999}')
    Traceback (most recent call last):
    ValueError: the number 1e999 is not finite
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_finite, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("objects or arrays are nested too deep") from None
    _check_depth(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name, count in times.items() if count > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice in one object")
    return found


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number[:40]} is not finite")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise ValueError("objects or arrays are nested too deep")
