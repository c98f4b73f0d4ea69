"""Kept photographs and their overlays as JPEG files that browsers show and pages can preload."""

from __future__ import annotations

import io

from PIL import Image as pillow

from patchbank.images.source import read_image
from patchbank.server.records.entries import StoredInspection
from patchbank.server.service.service import Service

QUALITY = 80


def plain_jpeg(service: Service, inspection: StoredInspection, longest_px: int) -> bytes:
    """The photograph of an inspection.

    Args:
        service: that keeps it.
        inspection: whose photograph it is.
        longest_px: of the longer side; larger photographs are made smaller.

    Raises:
        ApiError: it is not kept.
        ImageError: it cannot be read.
    """
    content = service.made.photograph(inspection)
    return _jpeg(pillow.fromarray(read_image(content, str(inspection.result["image"]))), longest_px)


def marked_jpeg(service: Service, inspection: StoredInspection, longest_px: int) -> bytes:
    """The overlay without its caption, so that it lies exactly over the plain photograph.

    Raises:
        ApiError: the photograph is not kept, or was not inspected.
    """
    with pillow.open(io.BytesIO(service.made.overlay(inspection))) as picture:
        width, height = inspection.result["size"]
        caption = picture.height - round(picture.width * height / width)
        return _jpeg(picture.crop((0, max(caption, 0), picture.width, picture.height)), longest_px)


def _jpeg(picture: pillow.Image, longest_px: int) -> bytes:
    stream = io.BytesIO()
    picture.thumbnail((longest_px, longest_px))
    picture.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
