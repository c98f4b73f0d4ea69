"""The page on which a photograph is tried: inspected, shown, and recorded only when asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages import words
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.service.service import service_of


def trying(
    request: Request, product: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """The page of trials, with a product chosen already if its address names one."""
    service = service_of(request)
    language = words.language_of(request.headers.get("accept-language", ""))
    return page(
        request,
        "try.html",
        products=[one.name for one in service.catalog.products],
        chosen=product,
        max_bytes=service.settings.max_bytes,
        words=words.for_scripts(language, "try_it"),
    )


SPECS = (page_spec("GET", "/try", trying, "operator"),)
