"""The page on which quality engineers review what was flagged, one part after the other."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages import words
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.service.service import service_of

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


SPECS = (page_spec("GET", "/review", review, "operator"),)
