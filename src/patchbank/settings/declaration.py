"""The declaration of a setting: all that is known of it, in one place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from patchbank.settings.rules import Rule

Value = TypeVar("Value")

METADATA_KEY = "setting"
BACKBONE = "Backbone"
PHOTOGRAPH = "Photograph"
AUGMENTATION = "Augmentation"
PATCHES = "Patches"
BANK = "Bank"
SCORE = "Score"
MAP = "Map"
GENERAL = "General"
GROUPS = (PHOTOGRAPH, BACKBONE, AUGMENTATION, PATCHES, BANK, SCORE, MAP, GENERAL)
"""Headings of what methods share, in the order of help and docs; those of the methods follow."""


def _nothing(value: Any) -> Collection[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, from which validation, command line, docs and contract test are made."""

    default: Any
    help: str
    """Effect of the setting, in one or two sentences for the command line and the docs."""
    rule: Rule
    group: str
    """Heading under which help and docs list it: one of GROUPS, or another."""
    everyday: bool = False
    """Whether the help of the command lists it first, among the options of every day."""
    formerly: str | None = None
    """Name of the setting in earlier versions."""
    rules_out: Callable[[Any], Collection[str]] = _nothing
    """Value -> settings that have no meaning with it, and are dropped from a preset."""
    name: str = ""
    """Name of the field, once it has one."""

    @property
    def option(self) -> str:
        """Option of the setting on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default as it is written on the command line; empty where there is none.

        >>> from patchbank.settings import InputSettings, settings_of
        >>> [settings_of(InputSettings)[name].default_text for name in ("scales", "crop")]
        ['1,0.5', '']
        """
        return "" if self.default in (None, ()) else self.rule.text(self.default)


def setting(
    default: Value,
    help: str,
    *,
    rule: Rule,
    group: str,
    everyday: bool = False,
    formerly: str | None = None,
    rules_out: Callable[[Any], Collection[str]] = _nothing,
) -> Value:
    """Declare a setting as a field of a dataclass.

    Like `dataclasses.field` it is annotated as its default, so that type checkers and editors see
    ``image_size: int = setting(448, ...)`` as an integer with a default.
    """
    declared = Setting(default, help, rule, group, everyday, formerly, rules_out)
    made: Any = field(default=default, metadata={METADATA_KEY: declared})
    return made  # type: ignore[no-any-return]


def redeclared(
    group: type,
    name: str,
    default: Value,
    *,
    help: str | None = None,
    rule: Rule | None = None,
) -> Value:
    """Declare a setting of `group` again, with another default, help or rule."""
    known = settings_of(group)[name]
    changed = replace(known, default=default, help=help or known.help, rule=rule or known.rule)
    made: Any = field(default=default, metadata={METADATA_KEY: changed})
    return made  # type: ignore[no-any-return]


def settings_of(record: type) -> Mapping[str, Setting]:
    """The settings that a dataclass declares or inherits, by name."""
    return _settings_of(record)


@cache
def _settings_of(record: Any) -> Mapping[str, Setting]:
    return MappingProxyType({known.name: _declared(known) for known in fields(record)})


def _declared(known: Field[Any]) -> Setting:
    if METADATA_KEY not in known.metadata:
        raise TypeError(f"{known.name}: expected a field made by setting(), got another")
    declared: Setting = known.metadata[METADATA_KEY]
    return replace(declared, name=known.name)
