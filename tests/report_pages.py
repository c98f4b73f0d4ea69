"""Read the pages of results: words without their explanations, and pictures with their marks."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from typing import NamedTuple

import numpy as np
from PIL import Image

TERM = re.compile(r'<button type="button" class="term"[^>]*>(.*?)</button>')
FIGURE = re.compile(r'<figure class="shot".*?</figure>', re.S)


class Shot(NamedTuple):
    """One figure of a gallery, as it is drawn."""

    caption: str
    photograph: Image.Image | None
    heat: np.ndarray | None
    """(h, W, 4), RGBA."""
    outlines: dict[str, str]
    """Class of each outline (``found``, ``defect``, ``dark``) -> its path."""
    scale: float
    """Pixels of a unit of the paths."""
    size: tuple[int, int] | None
    """(width, height) of the drawing."""
    state: str
    """``ok``, ``ng`` or nothing."""
    wrong: str
    said: str
    """Score and p-value."""


def without_explanations(page: str) -> str:
    """A page whose words are plain text."""
    return TERM.sub(r"\1", page)


def shots_of(section: str) -> list[Shot]:
    """The figures of a page, or of a part of one."""
    return [_shot(match[0]) for match in FIGURE.finditer(section)]


def decoded(url: str) -> Image.Image:
    """The picture of a data URL."""
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def _shot(figure: str) -> Shot:
    links = re.findall(r'<use href="#(photo-\d+)"', figure)
    photograph = re.search(r'<image id="(photo-\d+)" href="(data:image/jpeg[^"]*)"', figure)
    plain = re.search(r'<img src="(data:image/jpeg[^"]*)"', figure)
    if photograph:
        assert links, "an overlay is drawn over its own photograph"
        assert set(links) == {photograph[1]}
    url = photograph[2] if photograph else plain[1] if plain else ""
    heat = re.search(r'href="(data:image/webp[^"]*)"', figure)
    paths = re.findall(r'<path class="(\w+)" transform="scale\(([\d.]+)\)" d="([^"]*)"', figure)
    size = re.search(r'viewBox="0 0 (\d+) (\d+)" role="img"', figure)
    chip = re.search(r'data-state="(\w+)">.*?</span>(.*?)</p>', figure, re.S)
    wrong = re.search(r'class="wrong">(.*?)<', figure)
    caption = re.search(r"<figcaption>(.*?)</figcaption>", figure)
    said = re.sub(r"<strong.*?</strong>", "", chip[2]).strip() if chip else ""
    return Shot(
        unescape(caption[1]) if caption else "",
        decoded(url) if url else None,
        np.asarray(decoded(heat[1])) if heat else None,
        {kind: path for kind, _, path in paths},
        float(paths[0][1]) if paths else 0.0,
        (int(size[1]), int(size[2])) if size else None,
        chip[1] if chip else "",
        wrong[1] if wrong else "",
        said,
    )
