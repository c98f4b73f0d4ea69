"""Messages that scripts show, by page; templates have their own."""

from __future__ import annotations

from collections.abc import Mapping

from patchbank.server.pages.scripted import (
    history,
    line,
    products,
    review,
    setup,
    sheet,
    threshold,
    try_it,
)

ALL: Mapping[str, Mapping[str, str]] = {
    "history": history.WORDS,
    "line": line.WORDS,
    "products": products.WORDS,
    "review": review.WORDS,
    "setup": setup.WORDS,
    "sheet": sheet.WORDS,
    "threshold": threshold.WORDS,
    "try_it": try_it.WORDS,
}
"""Messages of each page, by the keys under which its script finds them."""
