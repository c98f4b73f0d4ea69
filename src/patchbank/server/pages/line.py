"""The operator's screen of a product, its events and its pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from patchbank.server.pages import words
from patchbank.server.pages.feed import Feed, stream
from patchbank.server.pages.photographs import small_jpeg
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.records.entries import StoredInspection
from patchbank.server.service.answers import UNCHANGING
from patchbank.server.service.errors import ApiError
from patchbank.server.service.service import Service, service_of

STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
SMALL_PX = 640
"""Longer side of the small photograph."""
Product = Annotated[str, Path(max_length=100)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


def screen(request: Request, product: Product) -> Response:
    """The operator's screen."""
    service_of(request).catalog.product(product)
    language = words.language_of(request.headers.get("accept-language", ""))
    return page(request, "line.html", product=product, words=words.for_scripts(language, "line"))


async def events(
    request: Request,
    product: Product,
    after: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """Parts as they are recorded, from the newest one or from the last that a screen has."""
    service = service_of(request)
    service.catalog.product(product)
    is_number = last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit()
    position = int(str(last_event_id)) if is_number else after
    feed = Feed(service.records, product, position, lambda: service.inference.trouble)

    async def admit() -> Any:
        return await service.gate.admit(request, "operator")

    texts = stream(feed, service.commits, lambda: service.is_stopping, admit)
    return StreamingResponse(texts, headers=STREAM, media_type="text/event-stream")


def small(request: Request, product: Product, number: Number) -> Response:
    """The kept photograph, small, as JPEG."""
    service = service_of(request)
    content = small_jpeg(service, _found(service, product, number), SMALL_PX)
    return Response(content, headers=UNCHANGING, media_type="image/jpeg")


def odd(request: Request, product: Product, number: Number) -> Response:
    """The oddest spot of a part, as PNG."""
    service = service_of(request)
    pairs = service.made.explanation(_found(service, product, number)).pairs
    if not pairs:
        raise ApiError(404, f"inspection {number}: expected an odd spot, got none")
    return Response(pairs[0][0], headers=UNCHANGING, media_type="image/png")


def nearest(request: Request, product: Product, number: Number) -> Response:
    """The good patch that is nearest to that spot, as PNG."""
    service = service_of(request)
    pairs = service.made.explanation(_found(service, product, number)).pairs
    content = pairs[0][1] if pairs else None
    if content is None:
        raise ApiError(404, f"inspection {number}: expected a picture of a good part, got none")
    return Response(content, headers=UNCHANGING, media_type="image/png")


def _found(service: Service, product: str, number: int) -> StoredInspection:
    found = service.records.inspection(number)
    if found is None or found.product != product:
        raise ApiError(404, f"inspection: expected the number of one of {product}, got {number}")
    return found


SPECS = (
    page_spec("GET", "/line/{product}", screen, "operator"),
    page_spec("GET", "/line/{product}/events", events, "operator"),
    page_spec("GET", "/line/{product}/parts/{number}/small", small, "operator"),
    page_spec("GET", "/line/{product}/parts/{number}/odd", odd, "operator"),
    page_spec("GET", "/line/{product}/parts/{number}/nearest", nearest, "operator"),
)
