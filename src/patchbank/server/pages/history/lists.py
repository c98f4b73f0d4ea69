"""Parts of a filter as pictures or as a table, in pages of the records' cursor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages import words
from patchbank.server.pages.history.asked import Asked, Wanted, resolved, suggestions
from patchbank.server.pages.history.figures import decimal_mark, number, percent
from patchbank.server.pages.photographs import Number, found_part, small_jpeg
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.records.entries import StoredInspection, iso_utc
from patchbank.server.service.answers import UNCHANGING
from patchbank.server.service.service import service_of

IN_A_PAGE = {"pictures": 24, "table": 50}
TILE_PX = 320
"""Longer side of the photograph of a tile."""
STATES = {"good": "ok", "anomalous": "ng", "unread": "unread"}
Translate = Callable[[str], str]


def shared(request: Request, asked: Asked) -> tuple[Wanted, dict[str, Any]]:
    """The filter of a query, and the content that all pages of the history have."""
    service, now = service_of(request), datetime.now(timezone.utc)
    wanted = resolved(asked, service.records, now)
    language = words.language_of(request.headers.get("accept-language", ""))
    products = sorted(product.name for product in service.catalog.products)
    content = {
        "words": words.for_scripts(language, "history"),
        "asked": wanted.asked,
        "wanted": wanted,
        "products": products,
        "known_products": [
            (name, name) for name in sorted({*products, asked.product or ""} - {""})
        ],
        "suggested": suggestions(service.records, asked.product),
        "zone_name": wanted.zone.name(now),
        "zone_offsets": wanted.zone.offsets(now.year),
        "states": STATES,
        "mark": decimal_mark(language),
        "number": partial(number, language),
        "percent": partial(percent, language),
        "local": partial(written, wanted),
    }
    return wanted, content


def written(wanted: Wanted, moment: datetime) -> str:
    """A moment in the zone of the page, to the second."""
    return wanted.zone.local(moment).strftime("%Y-%m-%d %H:%M:%S")


def history(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Parts that are on record, newest first."""
    wanted, content = shared(request, asked)
    records = service_of(request).records
    limit = IN_A_PAGE[asked.view]
    found = records.inspections(wanted.filter, limit=limit, cursor=asked.cursor)
    total, is_more = records.total(wanted.filter)
    return page(
        request,
        "history.html",
        **content,
        page_name="parts",
        own_path="/history",
        parts=[seen(one) for one in found.inspections],
        cursor=found.cursor,
        total=total,
        is_more=is_more,
    )


def seen(one: StoredInspection) -> dict[str, Any]:
    """The facts of a part that a list shows."""
    score, threshold = one.result.get("score"), one.result.get("threshold")
    return {
        "id": one.id,
        "time": one.time,
        "iso": iso_utc(one.time),
        "product": one.product,
        "verdict": one.verdict,
        "review": one.review,
        "share": None if score is None or not threshold else score / threshold,
        "fields": one.fields,
        "image": one.result.get("image"),
        "size": one.result.get("size"),
        "regions": one.result.get("regions") or [],
        "is_kept": one.photograph is not None,
    }


def small(request: Request, number: Number) -> Response:
    """The kept photograph of a part, small, as JPEG."""
    service = service_of(request)
    content = small_jpeg(service, found_part(service, number), TILE_PX)
    return Response(content, headers=UNCHANGING, media_type="image/jpeg")


SPECS = (
    page_spec("GET", "/history", history, "operator"),
    page_spec("GET", "/history/{number}/small", small, "operator"),
)
