"""Files that are kept of an inspection: the photograph, and for flagged ones overlay and map."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image as pillow
from PIL.PngImagePlugin import PngInfo

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.overlay import draw_overlay
from patchbank.runtime.logs import LOGGER
from patchbank.types import AnomalyMap

JPEG_QUALITY = 90
LARGEST_JPEG_PX = 65_500
"""Largest side of a JPEG file; larger overlays are made smaller."""
LOW, HIGH = "low", "high"
"""Texts in the PNG file of a map: the values that 0 and 65,535 stand for."""
LARGEST_VALUE = 65_535
OTHER = ".bin"
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WEBP": ".webp"}


class PictureStore(Protocol):
    """The part of the data folder that has the pictures."""

    def keep(self, content: bytes, suffix: str) -> str:
        """Keep a file.  -> its name."""
        ...

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None if it was deleted."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Names of what is kept of one photograph."""

    photograph: str | None = None
    overlay: str | None = None
    map: str | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """Content of the files of one photograph that are to be kept."""

    photograph: tuple[bytes, str] | None = None
    """Bytes, and the ending of the name."""
    overlay: bytes | None = None
    map: bytes | None = None

    def keep(self, store: PictureStore) -> Kept:
        """Bring them to the disk.

        Raises:
            NotRecorded: they cannot be written.
        """
        return Kept(
            None if self.photograph is None else store.keep(*self.photograph),
            None if self.overlay is None else store.keep(self.overlay, ".jpg"),
            None if self.map is None else store.keep(self.map, ".png"),
        )


def files_of(
    content: bytes, digest: str, outcome: Inspection | FailedInspection, keep_good: float
) -> Files:
    """Files that a setting asks to keep.

    A photograph that is good is kept if its digest lies in the lowest share of all digests, so that
    the same photograph is always kept or never.

    Args:
        content: bytes of the photograph.
        digest: SHA-256 of them.
        outcome: of the inspection.
        keep_good: share of good photographs that are kept.
    """
    if isinstance(outcome, FailedInspection):
        return Files((content, OTHER))
    if outcome.is_anomalous:
        return Files(
            (content, _suffix(content)),
            _drawn("overlay", lambda: overlay_jpeg(outcome), outcome),
            _drawn("map", lambda: map_png(outcome.anomaly_map), outcome),
        )
    return Files((content, _suffix(content)) if is_sampled(digest, keep_good) else None)


def _drawn(what: str, draw: Callable[[], bytes], outcome: Inspection) -> bytes | None:
    """A picture; None, and a line in the log, where it cannot be made: it costs no verdict."""
    try:
        return draw()
    except Exception as error:
        LOGGER.error("%s: no %s: %s: %s", outcome.image, what, type(error).__name__, error)
        return None


def is_sampled(digest: str, share: float) -> bool:
    """Whether a digest is in the lowest share of all digests.

    >>> is_sampled("80" + 62 * "0", 0.5), is_sampled("7f" + 62 * "f", 0.5)
    (False, True)
    """
    return int(digest[:8], 16) < share * 2**32


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def overlay_jpeg(inspection: Inspection) -> bytes:
    """The overlay as a JPEG file.

    Raises:
        ImageError: the photograph cannot be read any more.
    """
    drawn, stream = draw_overlay(inspection.pixels, inspection), io.BytesIO()
    drawn.thumbnail((LARGEST_JPEG_PX, LARGEST_JPEG_PX))
    drawn.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def map_png(anomaly_map: AnomalyMap) -> bytes:
    """The map, (H, W), as a PNG file of 16 bits, with the values that its ends stand for."""
    low, high = float(anomaly_map.min()), float(anomaly_map.max())
    span = (high - low) or 1.0
    levels = np.round((anomaly_map - low) / span * LARGEST_VALUE).astype(np.uint16)
    texts, stream = PngInfo(), io.BytesIO()
    texts.add_text(LOW, repr(low))
    texts.add_text(HIGH, repr(low + span))
    pillow.fromarray(levels).save(
        stream, "PNG", pnginfo=texts, compress_level=1, compress_type=zlib.Z_RLE
    )
    return stream.getvalue()


def map_range(content: bytes) -> tuple[str, str]:
    """The values that 0 and 65,535 stand for in the PNG file of a map."""
    texts: dict[Any, Any] = pillow.open(io.BytesIO(content)).info
    return str(texts[LOW]), str(texts[HIGH])


def _suffix(content: bytes) -> str:
    """The suffix of an image file that was read."""
    try:
        with pillow.open(io.BytesIO(content)) as image:
            return SUFFIXES.get(image.format or "", OTHER)
    except Exception:  # the reader of the package knows more kinds than Pillow
        return OTHER
