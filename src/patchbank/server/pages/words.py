"""Messages in the reader's language, from the catalogues (gettext, ``locale/*/*.po``)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from patchbank.server.pages.scripted import ALL

FOLDER = Path(__file__).parent / "locale"
SOURCE = "en"
"""Language of the messages in templates and code, which has no catalogue."""
LANGUAGES = (SOURCE, *sorted(path.name for path in FOLDER.iterdir()))


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Translations of a language by their messages."""
    if language == SOURCE:
        return {}
    found: dict[str, str] = {}
    for path in sorted((FOLDER / language).glob("*.po")):
        found |= read_po(path.read_text(encoding="utf-8"))
    return found


def translated(language: str, message: str) -> str:
    """A message in a language."""
    return catalogue(language).get(message, message)


def for_scripts(language: str, page: str) -> dict[str, str]:
    """The messages of the script of a page in a language."""
    return {key: translated(language, message) for key, message in ALL[page].items()}


def read_po(text: str) -> dict[str, str]:
    r"""The translations of a catalogue; empty and fuzzy ones are left out.

    >>> read_po('msgid "good"\nmsgstr "gut"\n\nmsgid "a "\n"part"\nmsgstr "ein "\n"Teil"\n')
    {'good': 'gut', 'a part': 'ein Teil'}
    """
    found: dict[str, str] = {}
    for block in text.split("\n\n"):
        entry = {"msgid": "", "msgstr": ""}
        keyword, is_fuzzy = "", False
        for line in block.splitlines():
            is_fuzzy |= line.startswith("#,") and "fuzzy" in line
            if line.startswith(("msgid ", "msgstr ")):
                keyword, _, line = line.partition(" ")
            if line.startswith('"') and keyword:
                entry[keyword] += ast.literal_eval(line)
        if entry["msgid"] and entry["msgstr"] and not is_fuzzy:
            found[entry["msgid"]] = entry["msgstr"]
    return found


def language_of(accepted: str) -> str:
    """The language that a browser prefers of those that there are.

    Args:
        accepted: header ``Accept-Language``.

    >>> language_of("fr-FR, de-AT;q=0.8, en;q=0.5"), language_of("fr"), language_of("en;q=x, de")
    ('de', 'en', 'de')
    """
    wanted: list[tuple[float, str]] = []
    for one in accepted.split(","):
        name, _, weight = one.strip().partition(";q=")
        try:
            wanted.append((float(weight or 1), name.partition("-")[0].strip().lower()))
        except ValueError:
            continue
    for preference, language in sorted(wanted, key=lambda each: -each[0]):
        if language in LANGUAGES and preference > 0:
            return language
    return SOURCE
