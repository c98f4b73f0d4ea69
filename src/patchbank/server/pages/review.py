"""The page on which quality engineers review what was flagged, one part after the other."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages import words
from patchbank.server.pages.photographs import marked_jpeg, plain_jpeg
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.records.entries import StoredInspection
from patchbank.server.service.answers import UNCHANGING
from patchbank.server.service.errors import ApiError
from patchbank.server.service.service import Service, service_of

LARGE_PX = 1600
"""Longer side of the pictures of a part."""
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Text = Annotated[str, Query(max_length=200)]


def review(
    request: Request,
    product: Text = "",
    lot: Text = "",
    order: Literal["oldest", "newest"] = "oldest",
    which: Literal["all", "flagged"] = "all",
) -> Response:
    """The page; its script claims the parts."""
    service = service_of(request)
    if product:
        service.catalog.product(product)
    language = words.language_of(request.headers.get("accept-language", ""))
    return page(
        request,
        "review.html",
        products=[one.name for one in service.catalog.products],
        chosen={"product": product, "lot": lot, "order": order, "which": which},
        words=words.for_scripts(language, "review"),
    )


def plain(request: Request, number: Number) -> Response:
    """The kept photograph as JPEG."""
    service = service_of(request)
    content = plain_jpeg(service, _found(service, number), LARGE_PX)
    return Response(content, headers=UNCHANGING, media_type="image/jpeg")


def marked(request: Request, number: Number) -> Response:
    """The kept photograph with its mark as JPEG."""
    service = service_of(request)
    content = marked_jpeg(service, _found(service, number), LARGE_PX)
    return Response(content, headers=UNCHANGING, media_type="image/jpeg")


def _found(service: Service, number: int) -> StoredInspection:
    found = service.records.inspection(number)
    if found is None:
        raise ApiError(404, f"inspection: expected the number of one on record, got {number}")
    return found


SPECS = (
    page_spec("GET", "/review", review, "operator"),
    page_spec("GET", "/review/parts/{number}/plain", plain, "operator"),
    page_spec("GET", "/review/parts/{number}/marked", marked, "operator"),
)
