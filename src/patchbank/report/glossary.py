"""Words of a page that have an explanation: a hover or a tap shows it, and the page ends with all.

The explanations are those of docs/glossary.md; ``tools/make_glossary.py`` writes those that pages
need into ``glossary.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from markupsafe import Markup, escape

FILE = "glossary.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the glossary."""

    words: tuple[str, ...]
    phrases: tuple[str, ...]
    """Further texts of pages that mean the same."""
    meaning: str

    @property
    def id(self) -> str:
        """The id of the entry in a page.

        >>> Entry(("F1-max", "F1"), (), "...").id
        'word-f1-max'
        """
        return "word-" + re.sub(r"[^a-z0-9]+", "-", self.words[0].lower())


class Glossary:
    """The words of one page; it remembers those that the page has."""

    def __init__(self) -> None:
        self._used: dict[str, Entry] = {}

    def term(self, text: str, word: str = "") -> Markup:
        """A text with the explanation of a word, or of itself.

        Raises:
            KeyError: the word has none.
        """
        entry = _entries()[word or text]
        self._used[entry.id] = entry
        return Markup(
            '<button type="button" class="term" popovertarget="{}" title="{}">{}</button>'
        ).format(entry.id, entry.meaning, text)

    def terms(self, text: str) -> Markup:
        """A text in which each word that has an explanation has it, at its first occurrence."""
        seen: set[str] = set()
        parts: list[Markup] = []
        for part, is_word in _split(text):
            entry = _entries()[part] if is_word else None
            is_first = entry is not None and entry.id not in seen
            parts.append(self.term(part) if is_first else escape(part))
            seen |= {entry.id} if entry is not None else set()
        return Markup("").join(parts)

    @property
    def used(self) -> list[Entry]:
        """Entries of the words so far, in the order of the alphabet."""
        return sorted(self._used.values(), key=lambda entry: entry.words[0].lower())


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """Parts of a text in their order, and whether each is a word that has an explanation."""
    end = 0
    for match in _pattern().finditer(text):
        yield text[end : match.start()], False
        yield match[0], True
        end = match.end()
    yield text[end:], False


@cache
def _entries() -> dict[str, Entry]:
    """Each word and phrase -> its entry."""
    content = json.loads(files("patchbank.report").joinpath(FILE).read_text(encoding="utf-8"))
    entries = [Entry(tuple(one["words"]), tuple(one["phrases"]), one["meaning"]) for one in content]
    return {word: entry for entry in entries for word in (*entry.words, *entry.phrases)}


@cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_entries(), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")
