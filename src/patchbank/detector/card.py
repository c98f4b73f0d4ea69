"""Texts of an author about a detector, which travel in its file and stand in its model card."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from patchbank.errors import DetectorFileError, ParameterError
from patchbank.runtime.arguments import of_kind

LONGEST_LINE, LONGEST_TEXT = 200, 20_000
"""Characters of a text of one line, and of one of several."""
OF_SEVERAL_LINES = ("description", "intended_use")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Texts of an author; empty where none was given.

    Raises:
        ParameterError: a text is too long, has several lines where one is expected, or has a
            character that cannot be shown.

    >>> Card(title="Bolts M6, line 3").to_json()
    {'title': 'Bolts M6, line 3'}
    >>> Card(contact="a" * 300)
    Traceback (most recent call last):
    patchbank.errors.ParameterError: contact: expected at most 200 characters, got 300
    """

    title: str = ""
    description: str = ""
    """Markdown: the product, the camera, the light."""
    intended_use: str = ""
    """Markdown: where it is to be used, and where not."""
    license: str = ""
    """License of the file, such as ``CC-BY-4.0`` or ``internal use only``."""
    contact: str = ""

    def __post_init__(self) -> None:
        for name, text in asdict(self).items():
            of_kind(name, text, str, "a text")
            is_long = name in OF_SEVERAL_LINES
            most = LONGEST_TEXT if is_long else LONGEST_LINE
            if len(text) > most:
                raise ParameterError(
                    f"{name}: expected at most {most:,} characters, got {len(text):,}"
                )
            if not is_long and "\n" in text:
                raise ParameterError(f"{name}: expected one line, got {text.count(chr(10)) + 1}")
            odd = [c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs")]
            if odd:
                raise ParameterError(f"{name}: expected a text that can be shown, got {odd[0]!r}")

    def changed(self, texts: Mapping[str, str]) -> Card:
        """The card with other texts.

        Raises:
            ParameterError: no such name, or a text that is refused.
        """
        names = [field.name for field in fields(self)]
        for name in texts:
            if name not in names:
                raise ParameterError(f"card: expected some of {', '.join(names)}, got {name}")
        for name, text in texts.items():
            of_kind(name, text, str, "a text")
        return replace(self, **{n: text.replace("\r\n", "\n") for n, text in texts.items()})

    def to_json(self) -> dict[str, str]:
        """The texts that were given, by their names."""
        return {name: text for name, text in asdict(self).items() if text}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Card:
        """The texts of a file; those that a newer program may have added are left out.

        Raises:
            DetectorFileError: one of them is no such text.
        """
        known = {f.name: content[f.name] for f in fields(cls) if f.name in content}
        for name, text in known.items():
            if not isinstance(text, str):
                raise DetectorFileError(f"card.{name}: expected a text, got {type(text).__name__}")
        try:
            return cls(**known)
        except ParameterError as error:
            raise DetectorFileError(f"card.{error}") from None


NO_CARD = Card()
