"""The check of a detector file's record: every key that is read, its type and its range.

`RULES` is the one list of them; docs/file-format.md has the meaning of each.  Settings are checked
by their own rules, tensors by the table of their method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from patchbank.core.scores.calibration import RULES as RULES_OF_CALIBRATION
from patchbank.detector.likeness_file import KEY as KINDS
from patchbank.detector.likeness_file import are_kinds
from patchbank.detector.remembered import KEY as REMEMBERED
from patchbank.detector.remembered import MOST, are_names
from patchbank.detector.roi_file import KEY as ROI
from patchbank.detector.roi_file import is_roi
from patchbank.detector.settings_choice import KEY as CHOICE
from patchbank.detector.settings_choice import is_settings_choice
from patchbank.detector.updates import KEY as UPDATES
from patchbank.detector.updates import are_updates
from patchbank.errors import DetectorFileError

MAX_MEMBERS = 64


@dataclass(frozen=True, slots=True)
class Rule:
    """The values that a key may have."""

    words: str
    """The rule, for the message of an error."""
    holds: Callable[[Any], bool]
    optional: bool = False
    """Whether the key may be missing."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value < 2**31


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30 and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 1e-30


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1


def _is_calibration_rule(value: Any) -> bool:
    return isinstance(value, str) and value in RULES_OF_CALIBRATION


def _list_of(holds: Callable[[Any], bool], low: int, high: float = math.inf) -> Any:
    return lambda v: isinstance(v, list) and low <= len(v) <= high and all(map(holds, v))


def _once_each(value: Any) -> bool:
    return bool(_list_of(_is_text, 1)(value)) and len(set(value)) == len(value)


def _or_null(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or holds(value)


_three_numbers = _list_of(_is_number, 3, 3)
_three_positive = _list_of(_is_positive, 3, 3)


def _is_normalisation(value: Any) -> bool:
    return bool(
        isinstance(value, list)
        and len(value) == 2
        and _three_numbers(value[0])
        and _three_positive(value[1])
    )


def _are_layers(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(layer, dict)
            and _is_count(layer.get("channels"))
            and _is_count(layer.get("stride"))
            for layer in value.values()
        )
    )


TEXT = Rule("a text", _is_text)
NUMBER = Rule("a finite number", _is_number)
POSITIVE = Rule("a positive number", _is_positive)
OBJECT = Rule("an object", _is_object)
COUNT = Rule("an integer, 1 or more", _is_count)
LAYERS = Rule("names, each once", _once_each)

RULES: Mapping[str, Rule] = {
    "fitted_on": Rule("at least one name", _list_of(_is_text, 1)),
    "false_alarm_rate": Rule("a number between 0 and 1", _is_rate),
    "views_of_one": Rule("true or false", _is_flag, optional=True),
    "calibration_rule": Rule(
        " or ".join(RULES_OF_CALIBRATION), _is_calibration_rule, optional=True
    ),
    "set_threshold": Rule("null, or a finite number", _or_null(_is_number), optional=True),
    "set_pixel_threshold": Rule("null, or a finite number", _or_null(_is_number), optional=True),
    ROI: Rule("an object with size, roi and ignore", is_roi, optional=True),
    KINDS: Rule("kinds of photographs, each with its number", are_kinds, optional=True),
    CHOICE: Rule("a choice of settings with its trials", is_settings_choice, optional=True),
    REMEMBERED: Rule(f"1 to {MOST:,} names", are_names, optional=True),
    UPDATES: Rule("numbers of photographs, and rows of members", are_updates, optional=True),
    "versions": Rule(
        "an object of texts", lambda v: _is_object(v) and all(map(_is_text, v.values()))
    ),
    "members": Rule(f"1 to {MAX_MEMBERS} objects", _list_of(_is_object, 1, MAX_MEMBERS)),
    "members[].method": TEXT,
    "members[].facts": OBJECT,
    "members[].settings": OBJECT,
    "members[].image_scale": OBJECT,
    "members[].image_scale.centre": NUMBER,
    "members[].image_scale.spread": POSITIVE,
    "members[].map_scale": OBJECT,
    "members[].map_scale.centre": NUMBER,
    "members[].map_scale.spread": POSITIVE,
    "members[].backbone": OBJECT,
    "members[].backbone.kind": TEXT,
    "members[].backbone.layers": LAYERS,
    "members[].backbone.normalisation": Rule(
        "null, or mean and standard deviation of three colours",
        _or_null(_is_normalisation),
        optional=True,
    ),
    "members[].backbone.precision": Rule(
        "float32, bfloat16 or int8", lambda v: v in ("float32", "bfloat16", "int8"), optional=True
    ),
    "members[].backbone.engine": Rule(
        "onnxruntime or openvino", lambda v: v in ("onnxruntime", "openvino"), optional=True
    ),
    "members[].backbone.info": OBJECT,
    "members[].backbone.info.name": TEXT,
    "members[].backbone.info.taps": Rule("layers with channels and stride", _are_layers),
    "members[].backbone.info.default_layers": LAYERS,
    "members[].backbone.info.mean": Rule("three numbers", _three_numbers),
    "members[].backbone.info.std": Rule("three positive numbers", _three_positive),
    "members[].backbone.info.size_multiple": COUNT,
    "members[].backbone.info.input_size": Rule(
        "null, or height and width", _or_null(_list_of(_is_count, 2, 2))
    ),
    "members[].backbone.info.license": TEXT,
    "members[].backbone.info.source": TEXT,
    "members[].backbone.info.sha256": TEXT,
    "members[].backbone.info.source_sha256": Rule("a text", _is_text, optional=True),
}
"""Key -> its rule; each object stands before its keys."""


def check_record(record: Mapping[str, Any]) -> None:
    """Check every key of the record that is read.

    Raises:
        DetectorFileError: a key is missing, or its value is not what it may be.
    """
    for path, rule in RULES.items():
        for key, parent, name in _parents(record, path):
            if name not in parent:
                if not rule.optional:
                    raise DetectorFileError(f"{key}: expected {rule.words}, got nothing")
            elif not rule.holds(parent[name]):
                got = repr(parent[name])
                got = got if len(got) <= 60 else f"{got[:57]}..."
                raise DetectorFileError(f"{key}: expected {rule.words}, got {got}")
    for number, member in enumerate(record["members"]):
        backbone = member["backbone"]
        known = backbone["info"]["taps"]
        for name, layers in (
            ("layers", backbone["layers"]),
            ("info.default_layers", backbone["info"]["default_layers"]),
        ):
            for layer in layers:
                if layer not in known:
                    raise DetectorFileError(
                        f"members[{number}].backbone.{name}: expected layers of the backbone, "
                        f"got {layer[:60]!r}"
                    )


def _parents(record: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """(key with numbers of members, the object that holds it, its name) for each key of a path."""
    *above, name = path.split(".")
    found: list[tuple[str, Any]] = [("", record)]
    for step in above:
        if step == "members[]":
            members = enumerate(record["members"])
            found = [(f"members[{number}].", member) for number, member in members]
        else:
            found = [(f"{prefix}{step}.", parent[step]) for prefix, parent in found]
    for prefix, parent in found:
        yield f"{prefix}{name}", parent, name
