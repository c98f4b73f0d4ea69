"""Write the pages of the docs that are made from declarations: settings and commands.

    python tools/make_reference.py            writes docs/settings.md and docs/commands.md

A test compares the pages with what this makes, so run it after a change to a setting or a command.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

from patchbank.cli.app import app
from patchbank.cli.fit_each import option_of_each
from patchbank.cli.setting_options import panels, setting_options
from patchbank.cli.statuses import MEANINGS
from patchbank.methods import METHODS
from patchbank.settings import Setting, settings_of
from patchbank.settings.declaration import GROUPS

DOCS = Path(__file__).parent.parent / "docs"
MADE = "<!-- Made by tools/make_reference.py: change the declarations, not this page. -->"

SETTINGS_HEAD = f"""{MADE}

# Settings

Every setting of every method, from its one declaration in the code. A setting has the same name
everywhere: it is a keyword argument of the recipes (`PatchCore(image_size=320)`), an option of
`patchbank fit` (`--image-size 320`), a change to a method of `patchbank benchmark`
(`patchcore:fast(image_size=320)`), and a key of the settings that `patchbank info FILE --json -`
prints.
A value that is out of range, and a name that does not exist, is an error that says what is
expected.

A setting without a default is None in Python (`zooms`: an empty tuple), and not given (or `none`)
on the command line.
"""
STATUSES = "\n".join(f"| {int(status)} | {text} |" for status, text in MEANINGS.items())
COMMANDS_HEAD = f"""{MADE}

# Commands

All commands with their arguments and options, as `--help` of each lists them.

| exit status | meaning |
|---|---|
{STATUSES}
"""


def settings_page() -> str:
    """docs/settings.md: one table for each group of settings, then the presets."""
    groups = [*GROUPS, *(g for g in _declared() if g not in GROUPS)]
    parts = [SETTINGS_HEAD]
    for group in groups:
        rows = [_setting_row(group, *row) for row in _declared()[group]]
        methods = [name for name in METHODS if any(group == s.group for s in _settings(name))]
        parts.append(f"## {group}")
        if methods != [group.lower()]:
            parts.append(f"For {'all methods' if methods == list(METHODS) else _words(methods)}.")
        parts.append(_table(("setting", "option", "values", "default", "what it does"), rows))
    parts.append(
        "## Presets\n\nA preset changes some defaults; settings that are given change the preset."
        " `balanced` is all defaults."
    )
    parts.append(_table(("method", "preset", "settings"), _preset_rows()))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _settings(method: str) -> Iterable[Setting]:
    return settings_of(METHODS[method].settings).values()


def _declared() -> dict[str, list[tuple[str, Mapping[str, Setting]]]]:
    """Group -> (name, method -> declaration) of its settings; another help is another entry."""
    found: dict[str, dict[tuple[str, str], dict[str, Setting]]] = {}
    for method in METHODS:
        for setting in _settings(method):
            rows = found.setdefault(setting.group, {})
            rows.setdefault((setting.name, setting.help), {})[method] = setting
    return {
        group: [(name, by_method) for (name, _), by_method in rows.items()]
        for group, rows in found.items()
    }


def _setting_row(group: str, name: str, by_method: Mapping[str, Setting]) -> Sequence[str]:
    first = next(iter(by_method.values()))
    is_one_of_several = sum(name == other for other, _ in _declared()[group]) > 1
    methods = f"<br>({', '.join(by_method)})" if is_one_of_several else ""
    values = _where_they_differ({m: s.rule.describe() for m, s in by_method.items()})
    values = values.removesuffix(", or None").replace("one of ", "")
    defaults = {m: f"`{s.default_text}`" if s.default_text else "" for m, s in by_method.items()}
    return (
        f"`{name}`{methods}",
        f"`{first.option}`",
        values,
        _where_they_differ(defaults),
        first.help,
    )


def _where_they_differ(texts: Mapping[str, str]) -> str:
    """The text that holds for the first method, then those of the methods that differ."""
    first = next(iter(texts.values()))
    others: dict[str, list[str]] = {}
    for method, text in texts.items():
        if text != first:
            others.setdefault(text, []).append(method)
    return "; ".join([first, *(f"{text} ({', '.join(names)})" for text, names in others.items())])


def _words(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _preset_rows() -> Iterator[Sequence[str]]:
    for method in METHODS.values():
        known = settings_of(method.settings)
        for preset, changes in method.presets.items():
            values = (f"`{name}={known[name].rule.text(v)}`" for name, v in changes.items())
            yield f"`{method.name}`", f"`{preset}`", " ".join(values) or "the defaults"


def commands_page() -> str:
    """docs/commands.md: what every command does, with its arguments and options."""
    parts = [COMMANDS_HEAD]
    for words, command in _commands("patchbank", typer.main.get_command(app)):
        rows = list(_parameter_rows(inspect.unwrap(command.callback)))
        if words == "patchbank fit":
            rows += _parameter_rows(option_of_each)
        arguments = [name.strip("`") for name, _ in rows if not name.startswith("`-")]
        below = ["COMMAND"] if getattr(command, "commands", None) else []
        usage = " ".join([words, "[OPTIONS]", *arguments, *below])
        parts += [f"## `{words}`", command.help, f"    {usage}"]
        if rows:
            parts.append(_table(("argument or option", "what it does"), rows))
        if words == "patchbank fit":
            parts += _panel_tables()
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _commands(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield words, command
    own = {**getattr(command, "commands", {}), **getattr(command, "first_words", {})}
    for name, below in own.items():
        yield from _commands(f"{words} {name}", below)


def _panel_tables() -> Iterator[str]:
    options = setting_options()
    for heading, names in panels().items():
        yield f"### {heading}"
        rows = [(_code(options[name].flags), options[name].help) for name in names]
        yield _table(("option", "what it does"), rows)


def _parameter_rows(function: Callable[..., Any]) -> Iterator[Sequence[str]]:
    """Read arguments and options from the signature of a command's function."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if get_origin(hints[name]) is not Annotated:
            continue  # the context
        kind, info = get_args(hints[name])[:2]
        words = [] if kind is bool else [info.metavar or _placeholder(kind)]
        if isinstance(info, OptionInfo):
            words.insert(0, ", ".join(_names(info) or ["--" + name.replace("_", "-")]))
        default = parameter.default
        is_listed = (
            default not in (None, False, "", parameter.empty) and "[default" not in info.help
        )
        note = f" [default: {default}]" if is_listed else ""
        needed = isinstance(info, OptionInfo) and default is parameter.empty
        yield _code(" ".join(words)), info.help + note + (" [required]" if needed else "")


def _names(option: OptionInfo) -> list[str]:
    """Names of an option; in an annotation typer takes the first argument for one."""
    given = [option.default, *(option.param_decls or ())]
    return [name for name in given if isinstance(name, str)]


def _placeholder(kind: Any) -> str:
    """Placeholder of a value whose option does not name one."""
    inner = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if inner:
        return _placeholder(inner[0])
    return {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}[kind]


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("  [", " [")


PAGES = {"settings.md": settings_page, "commands.md": commands_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(DOCS / name)
