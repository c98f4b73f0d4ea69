"""The page on which the threshold of a product is judged and moved."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages import words
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.records.recent import MOST_RECENT
from patchbank.server.service.service import service_of

NUMBERS = (500, 2000, MOST_RECENT)
"""Latest parts that the page offers to show."""


def threshold(
    request: Request,
    product: Annotated[str, Path(max_length=100)],
    parts: Annotated[int, Query(ge=1, le=MOST_RECENT)] = NUMBERS[0],
) -> Response:
    """The page; its script asks for the scores."""
    service_of(request).catalog.product(product)
    language = words.language_of(request.headers.get("accept-language", ""))
    return page(
        request,
        "threshold.html",
        product=product,
        parts=parts,
        numbers=NUMBERS,
        words=words.for_scripts(language, "threshold"),
    )


SPECS = (page_spec("GET", "/products/{product}/threshold", threshold, "engineer"),)
