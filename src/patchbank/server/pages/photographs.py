"""Kept photographs as JPEG files that browsers show and pages can preload, with marks or without.

What a caption would say stands on the pages themselves, in the language of the reader.
"""

from __future__ import annotations

import io
from typing import Annotated, Literal

from fastapi import Path, Query
from PIL import Image as pillow
from starlette.requests import Request
from starlette.responses import Response

from patchbank.images.source import read_image
from patchbank.server.pages.rendering import page_spec
from patchbank.server.records.entries import StoredInspection
from patchbank.server.service.answers import UNCHANGING
from patchbank.server.service.errors import ApiError
from patchbank.server.service.service import Service, service_of

QUALITY = 80
LONGEST_PX = {"large": 1600, "full": None}
"""Longer side of the pictures of a part; None as large as the photograph."""
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Size = Annotated[Literal["large", "full"], Query()]


def plain(request: Request, number: Number, size: Size = "large") -> Response:
    """The kept photograph of a part as JPEG."""
    service = service_of(request)
    content = plain_jpeg(service, found_part(service, number), LONGEST_PX[size])
    return Response(content, headers=UNCHANGING, media_type="image/jpeg")


def marked(request: Request, number: Number, size: Size = "large") -> Response:
    """The kept photograph of a part with its marks as JPEG."""
    service = service_of(request)
    content = marked_jpeg(service, found_part(service, number), LONGEST_PX[size])
    return Response(content, headers=UNCHANGING, media_type="image/jpeg")


def found_part(service: Service, number: int) -> StoredInspection:
    """The inspection of a number.

    Raises:
        ApiError: there is none.
    """
    found = service.records.inspection(number)
    if found is None:
        raise ApiError(404, f"inspection: expected the number of one on record, got {number}")
    return found


def small_jpeg(service: Service, inspection: StoredInspection, longest_px: int) -> bytes:
    """The photograph of an inspection with a longer side of that many pixels.

    Raises:
        ApiError: it is not kept.
        ImageError: it cannot be read.
    """
    return service.made.small(
        inspection, longest_px, lambda content: _read_jpeg(content, inspection, longest_px)
    )


def plain_jpeg(service: Service, inspection: StoredInspection, longest_px: int | None) -> bytes:
    """The photograph of an inspection.

    Args:
        service: that keeps it.
        inspection: whose photograph it is.
        longest_px: of the longer side; larger photographs are made smaller.  None as it is.

    Raises:
        ApiError: it is not kept.
        ImageError: it cannot be read.
    """
    return _read_jpeg(service.made.photograph(inspection), inspection, longest_px)


def marked_jpeg(service: Service, inspection: StoredInspection, longest_px: int | None) -> bytes:
    """The overlay without its caption, so that it lies exactly over the plain photograph.

    Raises:
        ApiError: the photograph is not kept, or was not inspected.
    """
    with pillow.open(io.BytesIO(service.made.overlay(inspection))) as picture:
        width, height = inspection.result["size"]
        caption = picture.height - round(picture.width * height / width)
        return _jpeg(picture.crop((0, max(caption, 0), picture.width, picture.height)), longest_px)


def _read_jpeg(content: bytes, inspection: StoredInspection, longest_px: int | None) -> bytes:
    image = read_image(content, str(inspection.result["image"]))
    return _jpeg(pillow.fromarray(image), longest_px)


def _jpeg(picture: pillow.Image, longest_px: int | None) -> bytes:
    stream = io.BytesIO()
    if longest_px is not None:
        picture.thumbnail((longest_px, longest_px))
    picture.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


SPECS = (
    page_spec("GET", "/parts/{number}/plain", plain, "operator"),
    page_spec("GET", "/parts/{number}/marked", marked, "operator"),
)
