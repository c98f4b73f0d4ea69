"""Messages that scripts show, by page; templates have their own."""

from __future__ import annotations

from collections.abc import Mapping

from patchbank.server.pages.scripted import line, products, setup

ALL: Mapping[str, Mapping[str, str]] = {
    "line": line.WORDS,
    "products": products.WORDS,
    "setup": setup.WORDS,
}
"""Messages of each page, by the keys under which its script finds them."""
