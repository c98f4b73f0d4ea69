"""Arguments of public functions that are of another kind than what is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from patchbank.errors import ParameterError

Asked = TypeVar("Asked")

DETECTOR = "a Detector, as fit and load return"
RECIPE = "a recipe, such as PatchCore()"


def of_kind(name: str, given: Asked, kind: type | tuple[type, ...], words: str) -> Asked:
    """Return an argument that is of a kind.

    Args:
        name: of the argument.
        given: its value.
        kind: a class, or several.
        words: for what is asked for, in the error.

    Raises:
        ParameterError: it is of another kind.
    """
    if isinstance(given, kind):
        return given
    found = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
    raise ParameterError(f"{name}: expected {words}, got {found}")


def path_argument(name: str, given: str | os.PathLike[str]) -> Path:
    """The path that an argument is.

    Raises:
        ParameterError: it is something else, or no file can have such a path.
    """
    of_kind(name, given, (str, os.PathLike), "a path")
    text = of_kind(name, os.fspath(given), str, "a path")
    if not text:  # which `Path` would take for the working directory
        raise ParameterError(
            f'{name}: expected a path, got an empty text; the working directory is "."'
        )
    if "\0" in text:
        raise ParameterError(f"{name}: expected a path, got {text!r}")
    return Path(given)
