"""Messages in the reader's language, from the catalogues (gettext, ``locale/*.po``)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "locale"
SOURCE = "en"
"""Language of the messages in templates and code, which has no catalogue."""
LANGUAGES = (SOURCE, *sorted(path.stem for path in FOLDER.glob("*.po")))

OF_SCRIPTS = {
    "ok": "OK",
    "ng": "NG",
    "unread": "UNREAD",
    "not_live": "NOT LIVE",
    "waiting": "READY",
    "first_part": "Waiting for the first part",
    "share": "score {share} of the threshold",
    "could_not_be_read": "Could not be inspected: not a good part",
    "no_number": "no serial number",
    "since": "No connection since {time}. It is tried again by itself.",
    "not_recorded": "The service does not record since {time}.",
    "last_part": "Last part: {part}, {time}",
    "earlier": "Earlier part",
    "missed": "While the screen was not live",
    "false_alarm": "False alarm",
    "confirmed_defect": "Confirmed defect",
    "unsure": "Unsure",
    "defect": "This is a defect",
    "counts": "{inspected} parts · {ng} NG ({share}) · {unread} unread",
    "today": "Today",
    "shift": "Shift {name}",
    "live": "live",
    "connecting": "connecting",
    "no_picture": "The photograph is not kept.",
    "no_good": "There is no picture of a good part to compare with.",
    "reviewed": "{part}: {decision}",
    "withdrawn": "{part}: review withdrawn",
    "failed": "Not recorded: {reason}",
    "sound_waits": "Sound is on: touch the screen once, so that the browser allows it.",
    "next": "Next: {number} more",
    "acknowledge": "Acknowledge",
    "just_came": "A new part has just come: press again.",
}
"""Messages that scripts show, by the keys under which they find them."""


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Translations of a language by their messages."""
    if language == SOURCE:
        return {}
    return read_po((FOLDER / f"{language}.po").read_text(encoding="utf-8"))


def translated(language: str, message: str) -> str:
    """A message in a language."""
    return catalogue(language).get(message, message)


def for_scripts(language: str) -> dict[str, str]:
    """The messages of scripts in a language."""
    return {key: translated(language, message) for key, message in OF_SCRIPTS.items()}


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
