"""An earlier JSON value, coded against the one after it.

A step is null where both are equal, or an object with one of these keys: ``value`` (the earlier
value whole), ``keys`` (steps by the key of an object, with ``removed`` for keys that the earlier
one lacks), ``items`` (steps by the index of an array of equal length), or ``runs`` (the earlier
array: ``[first, count]`` items of the later one, or ``{"values": [...]}``).

>>> names = ["bolts/1.png", "bolts/2.png", "bolts/3.png"]
>>> encoded({"fitted_on": names, "seed": 0}, {"fitted_on": [*names, "more/1.png"], "seed": 0})
{'keys': {'fitted_on': {'runs': [[0, 3]]}}, 'removed': []}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from patchbank.detector.lineage.entry import canonical

Step = dict[str, Any]
MOST_REPEATED = 2
"""Times that all items of an array may occur in another one, before it is stored whole."""


def encoded(earlier: Any, later: Any) -> Step | None:
    """The step that leads from the later value to the earlier one; None if they are equal.

    Values are compared as they are written, so 1 differs from 1.0, and 0.0 from -0.0.
    """
    if canonical(earlier) == canonical(later):
        return None
    whole = {"value": earlier}
    if isinstance(earlier, dict) and isinstance(later, dict):
        step = _of_objects(earlier, later)
    elif isinstance(earlier, list) and isinstance(later, list):
        step = _of_arrays(earlier, later)
    else:
        return whole
    return step if len(canonical(step)) < len(canonical(whole)) else whole


def decoded(step: Step | None, later: Any) -> Any:
    """The earlier value.

    Raises:
        KeyError, IndexError, TypeError, ValueError: the step is not one of this value.
    """
    if step is None:
        return later
    if "value" in step:
        return step["value"]
    if "runs" in step:
        return _decoded_runs(step["runs"], later)
    if "items" in step:
        return [decoded(step["items"].get(str(i)), item) for i, item in enumerate(later)]
    kept = {key: value for key, value in later.items() if key not in step["removed"]}
    for key, inner in step["keys"].items():
        kept[key] = decoded(inner, later.get(key))
    return kept


def _of_objects(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> Step:
    keys = {}
    for key, value in earlier.items():
        step = encoded(value, later[key]) if key in later else {"value": value}
        if step is not None:
            keys[key] = step
    return {"keys": keys, "removed": [key for key in later if key not in earlier]}


def _of_arrays(earlier: list[Any], later: list[Any]) -> Step:
    if len(earlier) == len(later) and all(isinstance(item, dict) for item in earlier):
        steps = {str(i): encoded(*pair) for i, pair in enumerate(zip(earlier, later, strict=True))}
        return {"items": {key: step for key, step in steps.items() if step is not None}}
    place: dict[str, int] = {}
    for number, item in enumerate(later):
        place.setdefault(canonical(item), number)
    found = [
        i if i < len(later) and canonical(later[i]) == text else place.get(text)
        for i, text in enumerate(map(canonical, earlier))
    ]
    n_stored = found.count(None)
    if len(earlier) > MOST_REPEATED * (len(later) + n_stored):
        return {"value": earlier}
    return {"runs": _runs(earlier, found)}


def _runs(earlier: Sequence[Any], found: Sequence[int | None]) -> list[Any]:
    """Runs of consecutive items, and between them the items that are stored."""

    def run_of(pair: tuple[int, int | None]) -> int | None:
        i, number = pair
        return None if number is None else number - i

    runs: list[Any] = []
    for key, group in groupby(enumerate(found), run_of):
        members = [i for i, _ in group]
        if key is None:
            runs.append({"values": [earlier[i] for i in members]})
        else:
            runs.append([members[0] + key, len(members)])
    return runs


def _decoded_runs(runs: Sequence[Any], later: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    n_stored = sum(len(run["values"]) for run in runs if isinstance(run, dict))
    for run in runs:
        if isinstance(run, dict):
            found += run["values"]
            continue
        first, count = run
        if not (first >= 0 and count > 0 and first + count <= len(later)):
            raise ValueError("a run of items is not in the later array")
        found += later[first : first + count]
        if len(found) > MOST_REPEATED * (len(later) + n_stored):
            raise ValueError("items are repeated too often")
    return found
