"""Commands with many options: the options are the fields of a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Annotated, Any, Optional, TypeVar, get_type_hints

from typer.models import OptionInfo

from patchbank.settings.rules import Rule

Options = TypeVar("Options")


def with_options(record: type[Options]) -> Callable[[Callable[[Options], None]], Any]:
    """Make a command of a function that takes one record of options.

    Typer reads the signature of a command.  The decorated function gets the signature that it would
    have if each field of `record` were a parameter: annotations (``Annotated`` with an argument or
    option of typer) and defaults are those of the fields.  Required fields come first, inherited
    before own ones; then those with a default, own before inherited ones.

    A field whose annotation holds a `Rule` as well is read by it from the text that was written, so
    that a wrong value is answered as a wrong setting is.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Options:
    ...     name: str
    ...     count: int = 1
    >>> @with_options(Options)
    ... def repeat(options: Options) -> None:
    ...     print(options.name * options.count)
    >>> inspect.signature(repeat)
    <Signature (*, name: str, count: int = 1) -> None>
    >>> repeat(name="ab", count=2)
    abab
    """
    hints = get_type_hints(record, include_extras=True)
    rules = rules_of(record)
    own = vars(record).get("__annotations__", {})

    def has_default(field: Field[Any]) -> bool:
        return field.default is not MISSING

    def parameter(field: Field[Any]) -> inspect.Parameter:
        default = field.default if has_default(field) else inspect.Parameter.empty
        kind, rule = hints[field.name], rules.get(field.name)
        if rule is not None:
            kind = _written(kind, rule)
            default = default if default is None else rule.text(default)
        return inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )

    parameters = [
        parameter(field)
        for field in sorted(
            fields(record),  # type: ignore[arg-type]  # every record is a dataclass
            key=lambda field: (has_default(field), (field.name in own) != has_default(field)),
        )
    ]

    def decorate(function: Callable[[Options], None]) -> Any:
        @wraps(function)
        def command(**given: Any) -> None:
            for name, rule in rules.items():
                if isinstance(given.get(name), str):
                    given[name] = rule.parse(name, given[name])
            function(record(**given))

        signature = inspect.Signature(parameters, return_annotation=None)
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        del command.__wrapped__  # typer would read its signature
        return command

    return decorate


def rules_of(record: type) -> dict[str, Rule]:
    """Rules that the annotations of the fields hold, by the name of the field."""
    return {
        name: part
        for name, kind in get_type_hints(record, include_extras=True).items()
        for part in getattr(kind, "__metadata__", ())
        if isinstance(part, Rule)
    }


def _written(annotation: Any, rule: Rule) -> Any:
    """The annotation of an option whose value is read as it is written."""
    option = next(part for part in annotation.__metadata__ if isinstance(part, OptionInfo))
    option = copy(option)
    option.metavar = option.metavar or rule.metavar
    option.help = f"{option.help} [{rule.written}]"
    return Annotated[Optional[str], option]
