"""Commands with many options: the options are the fields of a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Any, TypeVar, get_type_hints

Options = TypeVar("Options")


def with_options(record: type[Options]) -> Callable[[Callable[[Options], None]], Any]:
    """Make a command of a function that takes one record of options.

    Typer reads the signature of a command.  The decorated function gets the signature that it would
    have if each field of `record` were a parameter: annotations (``Annotated`` with an argument or
    option of typer) and defaults are those of the fields.  Required fields come first, inherited
    before own ones; then those with a default, own before inherited ones.

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
    own = vars(record).get("__annotations__", {})

    def has_default(field: Field[Any]) -> bool:
        return field.default is not MISSING

    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default if has_default(field) else inspect.Parameter.empty,
            annotation=hints[field.name],
        )
        for field in sorted(
            fields(record),  # type: ignore[arg-type]  # every record is a dataclass
            key=lambda field: (has_default(field), (field.name in own) != has_default(field)),
        )
    ]

    def decorate(function: Callable[[Options], None]) -> Any:
        @wraps(function)
        def command(**given: Any) -> None:
            function(record(**given))

        signature = inspect.Signature(parameters, return_annotation=None)
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        del command.__wrapped__  # typer would read its signature
        return command

    return decorate
