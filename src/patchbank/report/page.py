"""Render a page from the template of its room, and write it."""

from __future__ import annotations

import os
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchbank.errors import DataError
from patchbank.report.glossary import Glossary
from patchbank.report.made import made_now
from patchbank.report.plots import HEIGHT, WIDTH
from patchbank.runtime.atomic_file import make_folders, real_target, replace_file

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = "index.html"
"""Name of the file in its folder."""


def render(room: str, **content: Any) -> str:
    """Render the template ``page.html`` of a room.  -> HTML, in which names stay text.

    The template begins with ``{% extends "base.html" %}`` and fills the blocks `title` and
    `content`; ``{% import "parts.html" as parts %}`` gives it figures, plots and galleries, and
    `glossary` explains words.

    Args:
        room: the package in which the template lies, as ``patchbank.evaluation.report``.
        content: all that the template names.
    """
    return environment(room).get_template("page.html").render(content)


def environment(*rooms: str) -> Environment:
    """The environment of the templates of one page: those of its rooms, and those of this one.

    It counts pictures and collects words, so each page needs its own.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader(room, "") for room in (*rooms, "patchbank.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        width=WIDTH,
        height=HEIGHT,
        glossary=Glossary(),
        made=made_now(),
        number_of_picture=count(1).__next__,
    )
    return made


def check_page(folder: Path) -> None:
    """Check, before the work that it reports, that a page can be written into a folder.

    Raises:
        DataError: the folder cannot be made or written to, or something else has its place.
    """
    try:
        existing = Path(os.path.realpath(folder))
        while not os.path.lexists(existing):
            existing = existing.parent
        if not existing.is_dir():
            raise NotADirectoryError(0, f"{existing.name} is a file")
        with tempfile.TemporaryFile(dir=existing):
            pass
        real_target(folder / PAGE)
    except OSError as error:
        raise DataError(
            f"report: expected a folder that can be written to, got {folder} ({error.strerror})"
        ) from None


def write_page(folder: Path, page: str) -> Path:
    """Write a page into a folder, which is made if it is not there.  -> the path of the page.

    After a crash the page is the old one or the new one.

    Raises:
        DataError: it cannot be written.
    """
    path = folder / PAGE
    try:
        make_folders(folder)
        replace_file(path, page.encode("utf-8", "backslashreplace"))  # names need not be text
    except OSError as error:
        raise DataError(f"{path}: expected to write the report, got: {error.strerror}") from error
    return path
