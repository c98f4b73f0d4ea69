"""Small HTML tables for notebooks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

import numpy as np
from PIL import Image as pillow

from patchbank.detector.overlay import png_bytes
from patchbank.types import Image

LARGEST_SIDE_PX = 480  # of a picture in a table


def html_table(title: str, rows: Mapping[str, object], picture: Image | None = None) -> str:
    """A table with a picture above it; whatever the names are, they stay text.

    >>> html_table("a", {"image": "<b>"})
    '<table><caption>a</caption><tr><th>image</th><td>&lt;b&gt;</td></tr></table>'
    """
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    table = f"<table><caption>{escape(title)}</caption>{cells}</table>"
    return table if picture is None else f"<div>{_embedded(picture)}{table}</div>"


def _embedded(picture: Image) -> str:
    """An element with a small copy of a picture in it."""
    small = pillow.fromarray(np.ascontiguousarray(picture))
    small.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX))
    content = base64.b64encode(png_bytes(small)).decode("ascii")
    return f'<img alt="overlay" src="data:image/png;base64,{content}">'
