"""Pictures of a trial: all are made while its photograph is in memory, for a browser to show."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image as pillow

from patchbank.detector.heat import heat_picture
from patchbank.detector.inspection import Inspection
from patchbank.detector.overlay import png_bytes
from patchbank.images.opening import opened
from patchbank.images.orientation import orientation_of
from patchbank.runtime.logs import LOGGER
from patchbank.server.service.keeping import LARGEST_JPEG_PX, map_png, overlay_jpeg
from patchbank.server.service.pictures import Explained, explained
from patchbank.types import Image

SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""Formats that every browser shows, and their types."""
MODES = ("L", "RGB")
LARGEST_PNG_PX = 4_000_000
"""Pixels up to which a photograph that is converted loses nothing."""
QUALITY = 95
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class TrialPictures:
    """Pictures by their names, with their types, and what is said of the odd spots."""

    files: Mapping[str, tuple[bytes, str]]
    explained: Explained | None
    """Odd spots with their crops; None where that failed, which the log says."""

    @property
    def n_bytes(self) -> int:
        """Bytes of all of them."""
        own = sum(len(content) for content, _ in self.files.values())
        if self.explained is None:
            return own
        pairs = (one for pair in self.explained.pairs for one in pair)
        return own + sum(len(one) for one in (*self.explained.crops, *pairs) if one is not None)


def pictures_of(content: bytes, inspection: Inspection) -> TrialPictures:
    """All pictures of a trial.

    A picture that cannot be made is left out, and costs no verdict.

    Args:
        content: bytes of the photograph.
        inspection: of it, which has its pixels and its map.
    """
    made = {
        "photograph": lambda: shown_photograph(content, inspection.image, inspection.pixels),
        "heat": lambda: (png_bytes(heat_picture(inspection)), "image/png"),
        "map": lambda: (map_png(inspection.anomaly_map), "image/png"),
        "overlay": lambda: (overlay_jpeg(inspection), "image/jpeg"),
    }
    found = {name: _tried(name, make, inspection) for name, make in made.items()}
    return TrialPictures(
        {name: file for name, file in found.items() if file is not None},
        _tried("explanation", lambda: explained(inspection), inspection),
    )


def _tried(name: str, make: Callable[[], Made], inspection: Inspection) -> Made | None:
    try:
        return make()
    except Exception as error:
        LOGGER.error("%s: no %s: %s: %s", inspection.image, name, type(error).__name__, error)
        return None


def shown_photograph(content: bytes, name: str, pixels: Image) -> tuple[bytes, str]:
    """The photograph as a browser shows it: as it came, or as the detector has read it.

    A file that a browser does not show, or shows otherwise than it was read (turned, of 16 bits,
    with several frames, of inks), is converted.

    Args:
        content: bytes of the file.
        name: of the photograph, for messages.
        pixels: (H, W, 3) as they were read.

    Returns:
        Bytes of a file, and its type.
    """
    kind = _kind_as_it_is(content, name)
    if kind is not None:
        return content, kind
    picture, stream = pillow.fromarray(pixels), io.BytesIO()
    if picture.height * picture.width <= LARGEST_PNG_PX:
        picture.save(stream, "PNG", compress_level=1)
        return stream.getvalue(), "image/png"
    picture.thumbnail((LARGEST_JPEG_PX, LARGEST_JPEG_PX))
    picture.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue(), "image/jpeg"


def _kind_as_it_is(content: bytes, name: str) -> str | None:
    """The type of a file that browsers show as it was read; None of any other."""
    try:
        with opened(name, content) as image:
            is_plain = (
                image.mode in MODES
                and ";16" not in _stored(image)
                and "transparency" not in image.info
                and not getattr(image, "is_animated", False)
                and orientation_of(image) == 1
            )
            return SHOWN.get(image.format or "") if is_plain else None
    except Exception:  # the reader of the package knows more kinds than Pillow
        return None


def _stored(image: pillow.Image) -> str:
    """Layout of the stored pixels, in the words of Pillow."""
    return str([tile[3] for tile in getattr(image, "tile", [])])
