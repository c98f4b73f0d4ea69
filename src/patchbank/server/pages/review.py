"""The page on which quality engineers review what was flagged, one part after the other."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Literal

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages import words
from patchbank.server.pages.history.asked import Asked, When, resolved
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.records.entries import iso_utc
from patchbank.server.service.answers import answer
from patchbank.server.service.lessons import unlearned
from patchbank.server.service.service import service_of

Text = Annotated[str, Query(max_length=200)]


def review(
    request: Request,
    product: Text = "",
    lot: Text = "",
    order: Literal["oldest", "newest"] = "oldest",
    which: Literal["all", "flagged"] = "all",
    when: When | Literal[""] = "",
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
        chosen={"product": product, "lot": lot, "order": order, "which": which, "when": when},
        words=words.for_scripts(language, "review"),
    )


def period(
    request: Request,
    when: When,
    product: Text = "",
    zone: Annotated[str | None, Query(max_length=60)] = None,
) -> Response:
    """Between which moments the parts of a time are, and in which shift, as the history has it."""
    asked = Asked.model_validate({"product": product, "when": when, "zone": zone})
    found = resolved(asked, service_of(request).records, datetime.now(timezone.utc)).filter
    times = {
        name: None if time is None else iso_utc(time)
        for name, time in (("since", found.since), ("until", found.until))
    }
    return answer({**times, "shift": found.fields.shift})


def false_alarms(request: Request, product: Text = "") -> Response:
    """Late false alarms that were not taught, the newest first."""
    service = service_of(request)
    root = service.settings.root_path
    found = unlearned(service, product or None)
    return answer({"inspections": [one.to_json(root) for one in found]})


SPECS = (
    page_spec("GET", "/review", review, "operator"),
    page_spec("GET", "/review/period", period, "operator"),
    page_spec("GET", "/review/false-alarms", false_alarms, "engineer"),
)
