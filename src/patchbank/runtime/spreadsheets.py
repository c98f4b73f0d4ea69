"""Texts for tables that spreadsheet programs open."""

from __future__ import annotations

from patchbank.runtime.printable import printable

FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001  # wide ones count too


def text_cell(text: str) -> str:
    r"""Text that no spreadsheet program takes for a formula, in one line.

    A text that begins as formulas do gets an apostrophe in front, by which these programs know
    text; control characters are escaped as in all output.

    >>> print(text_cell("=HYPERLINK(1).png"), text_cell("a\tb.png"))
    '=HYPERLINK(1).png a\tb.png
    """
    shown = printable(text)
    return f"'{shown}" if shown.startswith(FORMULA_STARTS) else shown
