"""Groups of settings, and the flat records that combine several groups."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from typing_extensions import Self

from patchbank.errors import ParameterError
from patchbank.settings.declaration import settings_of

Part = TypeVar("Part", bound="Group")


@dataclass(frozen=True, kw_only=True)
class Group:
    """A frozen dataclass whose fields are all made by `setting`.

    A record of several groups is a dataclass that inherits from them.  Where two declare the same
    setting, that of the base class named first counts.  Groups have no slots (two bases with slots
    cannot be combined) and no ``__post_init__``: every value is checked by its rule here, then the
    `check_combination` of each group runs, once.
    """

    def __post_init__(self) -> None:
        for name, declared in settings_of(type(self)).items():
            _set(self, name, declared.rule.check(name, getattr(self, name)))
        for name, value in self.implied().items():
            _set(self, name, value)
        for group in reversed(type(self).__mro__):
            if "check_combination" in vars(group):
                group.check_combination(self)  # type: ignore[attr-defined]

    def implied(self) -> Mapping[str, Any]:
        """Values that follow from the others, and replace those given.

        They are set before combinations are checked.  A record in which they are set implies them
        too.
        """
        return {}

    def check_combination(self) -> None:
        """Check settings of this group against each other.

        Each group of a record defines its own; none calls that of another.

        Raises:
            ParameterError: two settings contradict each other.
        """

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Check values that were given by name against those that `implied` put in their place.

        Raises:
            ParameterError: one was given that cannot be had together with others.
        """

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Build from parsed JSON or TOML.

        Raises:
            ParameterError: a key that is not a setting, a value that is out of range, or one that
                cannot be had together with others.
        """
        cls.check_names(given)
        made = cls(**given)
        made.check_given(given)
        return made

    @classmethod
    def check_names(cls, names: Iterable[str]) -> None:
        """Check that these are names of settings.

        Raises:
            ParameterError: one is not; it says which was meant, or how it is called now.
        """
        known = settings_of(cls)
        renamed = {s.formerly: name for name, s in known.items() if s.formerly is not None}
        for key in names:
            if key in known:
                continue
            near = difflib.get_close_matches(key, known, n=1)
            if key in renamed:
                hint = f"it was renamed to {renamed[key]!r}"
            elif near:
                hint = f"did you mean {near[0]!r}?"
            else:
                hint = f"settings are {', '.join(known)}"
            raise ParameterError(f"expected a setting of {cls.__name__}, got {key!r}; {hint}")

    def to_mapping(self) -> dict[str, Any]:
        """All settings, as JSON can hold them."""
        return asdict(self)

    def with_changes(self, **changes: Any) -> Self:
        """The same settings but for those given.

        A setting that another one implied returns to its default where nothing implies it anymore.

        Raises:
            ParameterError: a name that is not a setting, or a value that is out of range.
        """
        self.check_names(changes)
        changed = replace(self, **changes)
        changed.check_given(changes)
        known = settings_of(type(self))
        no_longer = set(self.implied()) - set(changed.implied()) - set(changes)
        if not no_longer:
            return changed
        return replace(changed, **{name: known[name].default for name in no_longer})


def part_of(record: Group, part: type[Part]) -> Part:
    """The settings of a record that belong to one of its groups, as that group alone.

    The record has checked the values; they are not checked again, as the rules of a group can be
    narrower than those of a record that declares a setting anew.

    >>> from patchbank.settings import MapSettings, Settings
    >>> part_of(Settings(smoothing=2), MapSettings)
    MapSettings(smoothing=2, map_interpolation='bilinear', map_border='reflect')
    """
    made = object.__new__(part)
    for known in fields(part):
        _set(made, known.name, getattr(record, known.name))
    return made


def with_preset(
    record: type[Group], preset: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """A preset with changes; what the changes rule out is dropped from the preset.

    >>> from patchbank.settings import Settings
    >>> preset = {"resize": "squash", "image_size": 256}
    >>> with_preset(Settings, preset, {"image_size": (96, 128)})
    {'image_size': (96, 128)}
    """
    known = settings_of(record)
    dropped = {
        name
        for changed, value in changes.items()
        if changed in known
        for name in known[changed].rules_out(value)
    }
    return {name: value for name, value in preset.items() if name not in dropped} | dict(changes)


def _set(group: Group, name: str, value: object) -> None:
    object.__setattr__(group, name, value)  # while it is made: groups are frozen
