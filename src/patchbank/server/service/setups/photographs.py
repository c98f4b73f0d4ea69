"""Photographs of a set-up: files under names that are no paths, and small pictures of them."""

from __future__ import annotations

import io
import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as pillow

from patchbank.errors import ImageError
from patchbank.images.opening import header_of
from patchbank.images.source import read_image
from patchbank.runtime.atomic_file import PREFIX, create_file, make_folders

LONGEST = 100
"""Characters of the name of a file."""
LONGEST_BYTES = 200
SIDES = {"small": 320, "large": 1600}
"""Longer side of each picture of a photograph, in pixels."""
_UNSAFE = re.compile(r"[^\w .()+-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph of a set-up."""

    name: str
    """Name of its file, which is that of the sender as far as it can be one."""
    n_bytes: int


def safe_name(given: str) -> str:
    r"""A name for a file, of letters, digits and few signs: never a path, hidden, or too long.

    >>> safe_name("../../etc/x.png"), safe_name("C:\\parts\\größe 1.PNG"), safe_name("/.hidden")
    ('x.png', 'größe 1.PNG', 'hidden')
    >>> safe_name("<script>.png"), safe_name("..."), safe_name("nul.png")
    ('_script_.png', 'photograph', '_nul.png')
    """
    last = re.split(r"[/\\]", given)[-1]
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", last)).strip(" .")
    stem, dot, ending = text.rpartition(".")
    if not dot or len(ending) > 8:
        stem, dot, ending = text, "", ""
    stem = stem[: LONGEST - len(ending) - 1].rstrip(" .")
    while len(f"{stem}.{ending}".encode()) > LONGEST_BYTES:
        stem = stem[:-1]
    name = f"{stem}{dot}{ending}" if stem else ending or "photograph"
    return f"_{name}" if _RESERVED.match(name) else name


def check_photograph(name: str, content: bytes, max_pixels: int) -> None:
    """Check what is seen without decoding: that it is a photograph, and not too large.

    Raises:
        ImageError: it is none, or has more pixels.
    """
    header = header_of(name, content)
    if header.height * header.width > max_pixels:
        raise ImageError(
            f"{name}: expected at most {max_pixels / 1e6:g} million pixels, got {header.width} x "
            f"{header.height}; send a smaller one, or start the service with a higher --max-pixels"
        )


def keep(folder: Path, given: str, content: bytes) -> tuple[str, bool]:
    """Write a photograph to a folder, under a name that no other one has.

    Returns:
        Its name, and whether it is new: the same bytes under the same name are kept once.

    Raises:
        OSError: it cannot be written.
    """
    make_folders(folder)
    wanted = safe_name(given)
    stem, dot, ending = wanted.rpartition(".")
    for number in itertools.count(2):
        path = folder / wanted
        try:
            create_file(path, content)
        except FileExistsError:
            if path.stat().st_size == len(content) and path.read_bytes() == content:
                return wanted, False
            wanted = f"{stem}-{number}.{ending}" if dot else f"{ending}-{number}"
        else:
            return wanted, True
    raise AssertionError("unreachable")


def listed(folder: Path) -> list[Photograph]:
    """The photographs of a folder by their names; none where there is no such folder."""
    return sorted(_found(folder), key=lambda one: one.name)


def _found(folder: Path) -> Iterator[Photograph]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if not path.name.startswith(PREFIX):  # it is being written
            yield Photograph(path.name, path.stat().st_size)


def picture(path: Path, side: int) -> bytes:
    """A photograph as a JPEG file whose longer side is not longer than this.

    Raises:
        ImageError: it cannot be read.
    """
    drawn = pillow.fromarray(read_image(path, path.name))
    drawn.thumbnail((side, side))
    stream = io.BytesIO()
    drawn.save(stream, "JPEG", quality=80)
    return stream.getvalue()
