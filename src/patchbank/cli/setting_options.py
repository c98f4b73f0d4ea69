"""Options of `patchbank fit`, made from the declarations of the settings of all methods.

Importing this imports the methods, so it waits until `fit` runs or its help is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Optional

import typer

from patchbank.choices import AUTO_PRESET, EngineName, Precision, SavedBackbone
from patchbank.cli.options import NONE, OF_MEMBERS
from patchbank.errors import ParameterError
from patchbank.methods import METHODS
from patchbank.settings import AugmentationSettings, Group, Setting, Settings, setting, settings_of
from patchbank.settings import rules as r
from patchbank.settings.declaration import GROUPS, PHOTOGRAPH

EVERY_DAY = "Options of every day"
METHOD = "Method"
MACHINE = "Machine and file"


def _presets() -> str:
    """Names of the presets, methods with the same ones together, those without any left out.

    >>> _presets().split("; ")[-1]
    'graphcore, padim, spade, simplenet: balanced, paper'
    """
    by_presets: dict[str, list[str]] = {}
    for method in METHODS.values():
        if method.presets:
            by_presets.setdefault(", ".join(method.presets), []).append(method.name)
    return "; ".join(f"{', '.join(names)}: {presets}" for presets, names in by_presets.items())


@dataclass(frozen=True, kw_only=True)
class FitOptions(Group):
    """Options of `fit` that are no settings of a method; declared and checked like those."""

    method: str = setting(
        "patchcore",
        "Method that learns what good parts look like.",
        rule=r.Choice(METHODS.declared_names()),
        group=METHOD,
        everyday=True,
    )
    preset: str | None = setting(
        None,
        "Settings to start from, which the other options change; if not given, the defaults. "
        f"{_presets()}. auto (patchcore): settings are chosen from the photographs, by trials with "
        "synthetic defects on some that are held out.",
        rule=r.Optional(r.Text()),
        group=METHOD,
        everyday=True,
    )
    time_limit_s: float | None = setting(
        None,
        "Seconds for the choice of preset auto. Trials that are not finished do not count; each is "
        "of one image size, with all patch sizes and scales.",
        rule=r.Optional(r.SECONDS),
        group=MACHINE,
    )
    groups: str = setting(
        "auto",
        "Photographs that belong together, and are left out together when the threshold is found. "
        "auto: subfolders if there are six or more, a column group of a table, copies, and series "
        "in the order of names or times, unless the numbers in the names are those of a random "
        "draw; series: also then; none: each alone; an expression: photographs in whose names it "
        "finds the same, its first group if it has one.",
        rule=r.Text(
            "auto, none, subfolders, series or an expression", "auto|none|subfolders|series|REGEX"
        ),
        group=PHOTOGRAPH,
        everyday=True,
    )
    augment: str | None = setting(
        None,
        "Learn augmented copies too: several settings of augmentation in one, such as "
        "rotations=8,flips=horizontal,zooms=0.9:1.1.",
        rule=r.Optional(r.Text("a list of settings", "NAME=VALUE,...")),
        group=METHOD,
        everyday=True,
    )
    device: str = setting(
        "auto",
        "Device that computes: auto (a GPU where there is one), cpu, cuda or cuda:NUMBER.",
        rule=r.Text("a device", "DEVICE"),
        group=MACHINE,
        everyday=True,
    )
    engine: EngineName = setting(
        "onnxruntime",
        "Program that runs ONNX backbones; openvino is an extra of the installation.",
        rule=r.Choice.of(EngineName),
        group=MACHINE,
        everyday=True,
    )
    precision: Precision = setting(
        "float32",
        "Precision of the backbone; bfloat16 (with openvino) and int8 are faster, round, and are "
        "compared with a second fit in float32.",
        rule=r.Choice.of(Precision),
        group=MACHINE,
    )
    save_backbone: SavedBackbone = setting(
        "onnx",
        "Form in which the detector file holds a timm backbone: ONNX (opens anywhere), or torch "
        "(for a GPU).",
        rule=r.Choice.of(SavedBackbone),
        group=MACHINE,
    )
    skip_unreadable: bool = setting(
        False,
        "Leave out photographs that cannot be read, name them, and end with status 1.",
        rule=r.Flag(),
        group=PHOTOGRAPH,
    )


@dataclass(frozen=True, slots=True)
class SettingOption:
    """One option, and the settings of that name of all methods that have one."""

    name: str
    declared: Mapping[str, Setting]
    """By method; the option of `FitOptions` has one entry, of no method."""

    @property
    def first(self) -> Setting:
        """The declaration that comes first in METHODS; others may have another default or rule."""
        return next(iter(self.declared.values()))

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that have the setting; none where all have it."""
        return () if set(self.declared) in ({""}, set(METHODS)) else tuple(self.declared)

    @property
    def metavar(self) -> str:
        """Placeholder of the value; all choices of all methods."""
        words = [w for one in self.declared.values() for w in one.rule.metavar.split("|")]
        return "|".join(dict.fromkeys(words))

    @property
    def help(self) -> str:
        """Effect, range and default of the setting, for each method where they differ."""
        facts = []
        ranges = self._by_text({m: _range(s.rule) for m, s in self.declared.items()})
        if len(ranges) > 1:
            facts += [f"{', '.join(methods)}: {text}" for text, methods in ranges.items()]
        elif _has_range(self.first.rule):
            facts += list(ranges)
        defaults = self._by_text({m: s.default_text for m, s in self.declared.items()})
        also = [m for m, s in self.declared.items() if s.group != self.first.group]
        if also:
            facts.append(f"also of {', '.join(also)}")
        default = self.first.default_text
        others = [
            f"{text or NONE} for {', '.join(methods)}"
            for text, methods in defaults.items()
            if text != default
        ]
        if default or others:
            facts.append(f"default: {', '.join([default or NONE, *others])}")
        texts = self._by_text({m: s.help for m, s in self.declared.items()})
        effects = [
            text if text == self.first.help else f"For {', '.join(methods)}: {text}"
            for text, methods in texts.items()
        ]
        text = " ".join(effects) + self._for_each_member
        return f"{text}  [{'; '.join(facts)}]" if facts else text

    @property
    def _for_each_member(self) -> str:
        if self.name == "backbone":
            return " Several times for an ensemble."
        return f" Once for each backbone, {NONE} for none." if self.name in OF_MEMBERS else ""

    @staticmethod
    def _by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
        """Text -> the methods for which it holds."""
        found: dict[str, list[str]] = {}
        for method, text in texts.items():
            found.setdefault(text, []).append(method)
        return found

    @property
    def annotation(self) -> Any:
        """The annotation from which typer makes the option."""
        if self._is_flag:
            return Annotated[Optional[bool], typer.Option(self.flags, help=self.help)]
        kind = Optional[list[str]] if self.name in OF_MEMBERS else Optional[str]
        option = typer.Option(self.first.option, metavar=self.metavar, help=self.help)
        return Annotated[kind, option]

    @property
    def flags(self) -> str:
        """The option as it is written: with its placeholder, or with its opposite."""
        option = self.first.option
        if self._is_flag:
            return f"{option}/{option.replace('--', '--no-')}"
        return f"{option} {self.metavar}"

    @property
    def _is_flag(self) -> bool:
        return all(isinstance(one.rule, r.Flag) for one in self.declared.values())


def _has_range(rule: r.Rule) -> bool:
    """Whether there is more to say of the values than the placeholder says."""
    inner = rule.rule if isinstance(rule, r.Optional) else rule
    return not isinstance(inner, (r.Choice, r.Flag, r.Text, r.Names, r.ThreeNumbers))


def _range(rule: r.Rule) -> str:
    return rule.metavar if isinstance(rule, r.Choice) else rule.written


@cache
def setting_options() -> Mapping[str, SettingOption]:
    """All options, by name of the setting: those of the command, then those of the methods."""
    own = settings_of(FitOptions)
    found = {name: {"": declared} for name, declared in own.items()}
    for method in METHODS.values():
        for name, declared in settings_of(method.settings).items():
            found.setdefault(name, {})[method.name] = declared
    return {name: SettingOption(name, declared) for name, declared in found.items()}


def panels() -> Mapping[str, Sequence[str]]:
    """Heading -> names of the settings whose options are listed below it."""
    options = setting_options()
    groups = list(dict.fromkeys(option.first.group for option in options.values()))
    others = [group for group in groups if group not in (METHOD, MACHINE, *GROUPS)]
    found: dict[str, list[str]] = {EVERY_DAY: []}
    for group in (METHOD, *GROUPS, *others, MACHINE):
        members = [name for name, option in options.items() if option.first.group == group]
        found[EVERY_DAY] += [name for name in members if options[name].first.everyday]
        rest = [name for name in members if not options[name].first.everyday]
        if rest:
            found[_heading(group)] = rest
    return found


def _heading(group: str) -> str:
    """A group of settings, and the methods that have such settings, unless all have.

    >>> _heading("Bank"), _heading("Map")
    ('Bank (patchcore, graphcore)', 'Map')
    """
    methods = [
        method.name
        for method in METHODS.values()
        if any(declared.group == group for declared in settings_of(method.settings).values())
    ]
    if len(methods) in (0, len(METHODS)) or methods == [group.lower()]:
        return group
    return f"{group} ({', '.join(methods)})"


def option_parameters() -> list[Any]:
    """The options, as a command of typer holds them."""

    def stub(**given: Any) -> None:
        """Carry the signature from which typer makes options."""

    annotations = {name: option.annotation for name, option in setting_options().items()}
    stub.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in annotations.items()
        ]
    )
    stub.__annotations__ = annotations
    app = typer.Typer(add_completion=False)
    app.command()(stub)
    return list(typer.main.get_command(app).params)


def refuse_former_names(arguments: Iterable[str]) -> None:
    """Say how an option is called now.

    Raises:
        ParameterError: an argument is an option under its former name.
    """
    known = setting_options()  # a package may have a setting of a former name
    options = {
        "--" + option.first.formerly.replace("_", "-"): option.first.option
        for option in known.values()
        if option.first.formerly is not None and option.first.formerly not in known
    }
    for argument in arguments:
        former = argument.split("=")[0]
        if former in options:
            raise ParameterError(
                f"{former}: expected an option of fit, got one that was renamed; "
                f"use {options[former]}"
            )


def fit_options(given: Mapping[str, Any]) -> FitOptions:
    """The options of the command itself among all that are given."""
    known = settings_of(FitOptions)
    return FitOptions(
        **{
            n: known[n].rule.parse(n, v) if isinstance(v, str) else v
            for n, v in given.items()
            if n in known and v is not None
        }
    )


def members_of(options: FitOptions, given: Mapping[str, Any]) -> list[Settings]:
    """The settings of each member of the detector, one for each backbone.

    Raises:
        ParameterError: a setting of another method, or a value that is out of range.
    """
    method = METHODS[options.method]
    known = settings_of(method.settings)
    changes = changed_settings(given, options.augment)
    for name in changes:
        if name not in known:
            raise _of_another_method(setting_options()[name], method.name)
    return [
        method.settings_from(
            None if options.preset == AUTO_PRESET else options.preset,
            {n: known[n].rule.parse(n, v) if isinstance(v, str) else v for n, v in one.items()},
        )
        for one in of_members(changes)
    ]


def changed_settings(given: Mapping[str, Any], augment: str | None) -> dict[str, Any]:
    """Settings of the method that are given, by themselves or in --augment."""
    own = settings_of(FitOptions)
    changes = {n: v for n, v in given.items() if n not in own and v not in (None, [])}
    for name, value in augmentation(augment or "").items():
        if name in changes:
            raise ParameterError(f"{name}: expected once, got it as an option and in --augment")
        changes[name] = value
    return changes


def _of_another_method(option: SettingOption, method: str) -> ParameterError:
    return ParameterError(
        f"{option.first.option}: expected a setting of {method}, got a setting of "
        f"{' and '.join(option.methods)}; give --method {option.methods[0]}, or leave it out"
    )


def of_members(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Deal options that may come several times out to the members of an ensemble.

    >>> of_members({"backbone": ["a", "b"], "seed": 1})
    [{'seed': 1, 'backbone': 'a'}, {'seed': 1, 'backbone': 'b'}]
    >>> of_members({"backbone": ["a", "b"], "weights": ["a.pth", "-"]})
    [{'backbone': 'a', 'weights': 'a.pth'}, {'backbone': 'b'}]
    """
    shared = {name: value for name, value in given.items() if name not in OF_MEMBERS}
    several = {name: list(given[name]) for name in OF_MEMBERS if given.get(name)}
    count = len(several.get("backbone", [None]))
    for name, values in several.items():
        if len(values) != count:
            raise ParameterError(
                f"{name}: expected one for each backbone ({count}; - for none), got {len(values)}"
            )
    return [
        {**shared, **{n: values[number] for n, values in several.items() if values[number] != NONE}}
        for number in range(count)
    ]


def augmentation(text: str) -> dict[str, Any]:
    """The settings in ``rotations=8,flips=horizontal,translations=4,zooms=0.9:1.1``.

    >>> augmentation("rotations=8,zooms=0.9:1.1")
    {'rotations': 8, 'zooms': (0.9, 1.1)}

    Raises:
        ParameterError: another form, or no such setting.
    """
    known = settings_of(AugmentationSettings)
    found: dict[str, Any] = {}
    for part in text.split(",") if text else []:
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            found[name] = known[name].rule.convert(value)
        except (KeyError, ValueError):
            forms = ", ".join(f"{n}={s.rule.metavar.replace(',', ':')}" for n, s in known.items())
            raise ParameterError(
                f"augment: expected {forms}, with commas between them, got {part!r}"
            ) from None
    return found
