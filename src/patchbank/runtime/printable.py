"""Text that is safe to print: names of files may hold line breaks, terminal commands or no text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

# Not printable for Python: control, format, private and unassigned characters, halves of surrogate
# pairs (bytes of a name that is not UTF-8), all kinds of space.  The spaces are harmless.
_SUSPECT = re.compile(r"[^\x20-\x7e]")


def printable(text: str) -> str:
    r"""Escape what would break a line, command a terminal, or is no character, as Python does.

    The result is one line that every UTF-8 stream accepts.  Letters of all languages stay.

    >>> print(printable("größe\n\x1b[31m\udcff.png"))
    größe\n\x1b[31m\udcff.png
    """
    return _escaped(text, lambda found: found.encode("unicode_escape").decode("ascii"))


def one_line(text: str) -> str:
    r"""Put a text on one line, with one space for each run of spaces and line breaks.

    >>> one_line("no such file:\n  a.png ")
    'no such file: a.png'
    """
    return " ".join(text.split())


def json_text(content: Any, *, indent: int | None = None) -> str:
    r"""JSON in which the same characters are escaped as JSON does: parsing gives them back.

    Nothing is lost of a name that is not UTF-8: the parsed text is the name that Python uses.

    >>> print(json_text({"image": "größe\n\x9b\udcff.png"}))
    {"image": "größe\n\u009b\udcff.png"}
    """
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    if indent is None:
        return _escaped(text, _as_json)
    return "\n".join(_escaped(line, _as_json) for line in text.split("\n"))


def _as_json(found: str) -> str:
    return json.dumps(found)[1:-1]


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        found = match.group()
        is_shown = found.isprintable() or unicodedata.category(found) == "Zs"
        return found if is_shown else escape(found)

    return text if text.isprintable() else _SUSPECT.sub(replaced, text)
