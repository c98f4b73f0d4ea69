"""Method specifications of a benchmark: ``graph=graphcore:balanced(image_size=320)``."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from patchbank.errors import ParameterError
from patchbank.methods import METHODS
from patchbank.settings import Setting, Settings, settings_of

FORM = "LABEL=NAME:PRESET(SETTING=VALUE,...), of which only NAME must be there"
WRITTEN = re.compile(
    r"(?:(?P<label>[^=(]*)=)?(?P<method>[^:(=]*)(?::(?P<preset>[^(=]*))?(?:\((?P<changes>.*)\))?",
    re.DOTALL,
)
PLAIN = re.compile(r"[\w./+-]+")
OPENING, CLOSING = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One row of the tables: a method, with a preset and changes to it.

    >>> fast = MethodSpec.parse("patchcore:fast(image_size=320, scales=[1, 0.5])")
    >>> fast.settings.image_size, fast.settings.scales
    (320, (1, 0.5))
    >>> str(fast)
    'patchcore:fast(image_size=320,scales=[1,0.5])'
    """

    method: str
    """Name of the method in METHODS."""
    preset: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    """Label in the tables; None for the specification itself."""

    @classmethod
    def parse(cls, text: str) -> MethodSpec:
        """Parse a specification.

        Values are JSON, or written as for the options of `patchbank fit`: ``256x512``.

        Raises:
            ParameterError: invalid syntax, or unknown method, preset, setting or value.
        """
        found = WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ParameterError(f"methods: expected {FORM}, got {text!r}")
        parts = {key: part.strip() for key, part in found.groupdict().items() if part is not None}
        if not all(part for key, part in parts.items() if key != "changes"):
            raise ParameterError(f"methods: expected {FORM}, got {text!r}")
        _require_known("method", parts["method"], METHODS)
        if "preset" in parts:
            presets = METHODS[parts["method"]].presets
            _require_known(f"preset of {parts['method']}", parts["preset"], presets)
        changes = _changes(METHODS[parts["method"]].settings, parts.get("changes", ""))
        spec = cls(parts["method"], parts.get("preset"), changes, parts.get("label"))
        try:
            _ = spec.settings
        except ParameterError as error:
            raise ParameterError(f"{text.strip()}: {error}") from None
        return spec

    @property
    def label(self) -> str:
        """Label in the tables."""
        return self.name or self._written

    @property
    def settings(self) -> Settings:
        """All settings of the method."""
        return METHODS[self.method].settings_from(self.preset, self.changes)

    def __str__(self) -> str:
        return self._written if self.name is None else f"{self.name}={self._written}"

    @property
    def _written(self) -> str:
        preset = "" if self.preset is None else f":{self.preset}"
        changes = ",".join(f"{name}={_value_text(value)}" for name, value in self.changes.items())
        return f"{self.method}{preset}" + (f"({changes})" if changes else "")


def split_outside(text: str, separator: str = ",") -> list[str]:
    """Split at a separator, except within brackets or double quotes.

    >>> split_outside("patchcore:fast(image_size=320,coreset=0.01),padim")
    ['patchcore:fast(image_size=320,coreset=0.01)', 'padim']

    Raises:
        ParameterError: a bracket or quote is not closed.
    """
    parts, depth, quoted, escaped = [""], 0, False, False
    for letter in text:
        if letter == '"' and not escaped:
            quoted = not quoted
        elif not quoted:
            depth += (letter in OPENING) - (letter in CLOSING)
        escaped = quoted and letter == "\\" and not escaped
        if letter == separator and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if depth or quoted:
        raise ParameterError(f"expected brackets and quotes in pairs, got {text!r}")
    return [part.strip() for part in parts]


def _changes(record: type[Settings], text: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for part in split_outside(text) if text else []:
        name, equals, value = part.partition("=")
        if not equals:
            raise ParameterError(f"expected SETTING=VALUE with commas between, got {part!r}")
        if name.strip() in changes:
            raise ParameterError(f"{name.strip()}: expected once, got it twice in {text!r}")
        changes[name.strip()] = _value(settings_of(record).get(name.strip()), value.strip())
    return changes


def _value(declared: Setting | None, text: str) -> Any:
    """Parse the value of a setting, as JSON or as an option; None stands for an unknown setting.

    A text that is neither is returned unchanged: all settings are checked together later.
    """
    found = _json_or_text(text)
    if declared is None or _is_allowed(declared, found):
        return found
    try:
        parsed = declared.rule.parse(declared.name, text)
    except ParameterError:
        return found
    return list(parsed) if isinstance(parsed, tuple) else parsed


def _is_allowed(declared: Setting, value: Any) -> bool:
    try:
        declared.rule.check(declared.name, value)
    except ParameterError:
        return False
    return True


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _value_text(value: Any) -> str:
    if isinstance(value, str) and PLAIN.fullmatch(value) and _json_or_text(value) == value:
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _require_known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ParameterError(f"{what}: expected one of {', '.join(known)}, got {name!r}{hint}")
