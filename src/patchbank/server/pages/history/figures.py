"""Numbers as they are written in the reader's language."""

from __future__ import annotations

COMMA = ("de",)
"""Languages whose decimal mark is a comma, and whose thousands have dots."""


def decimal_mark(language: str) -> str:
    """The decimal mark of a language."""
    return "," if language in COMMA else "."


def number(language: str, value: float, digits: int = 0) -> str:
    """A number with its thousands.

    >>> number("en", 1234.5, 1), number("de", 1234.5, 1)
    ('1,234.5', '1.234,5')
    """
    written = f"{value:,.{digits}f}"
    return written.translate(str.maketrans(",.", ".,")) if language in COMMA else written


def percent(language: str, share: float) -> str:
    """A share, with two digits or more that mean something.

    >>> percent("en", 0.0084), percent("en", 0.128), percent("de", 0.1), percent("en", 1.54)
    ('0.84 %', '12.8 %', '10 %', '154 %')
    """
    hundredths = 100 * share
    digits = 0 if hundredths >= 100 else 1 if hundredths >= 10 else 2
    written = number(language, hundredths, digits)
    mark = decimal_mark(language)
    return f"{written.rstrip('0').rstrip(mark) if mark in written else written} %"
