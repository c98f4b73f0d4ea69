"""The start: links for programs, and for people the screens of the products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchbank.server.pages.products import counted_today
from patchbank.server.pages.rendering import page, page_spec, wants_page
from patchbank.server.records.counting import Count
from patchbank.server.records.entries import Filter
from patchbank.server.service.guarding import Spec
from patchbank.server.service.routes.service import start_page
from patchbank.server.service.service import Service, service_of

PATH = "/"


@dataclass(frozen=True, slots=True)
class Tile:
    """A product as the start page shows it."""

    name: str
    today: Count
    last: datetime | None
    """Time of its last part; None before the first one."""


def shared(spec: Spec) -> Spec:
    """The route that a browser asks as well as a program."""
    return replace(spec, endpoint=start_of_both)


def start_of_both(request: Request) -> Response:
    """Where to go on; a browser goes to the screens."""
    if not wants_page(request):
        return start_page(request)
    return RedirectResponse(f"{service_of(request).settings.root_path}/line", 303)


def lines(request: Request) -> Response:
    """The screens of all products."""
    service = service_of(request)
    today = counted_today(service)
    tiles = [
        Tile(one.name, today.get(one.name, Count(group=one.name)), _last(service, one.name))
        for one in service.catalog.products
    ]
    return page(request, "lines.html", tiles=tiles, words={})


def _last(service: Service, product: str) -> datetime | None:
    """Time of the last part of a product; None before the first one."""
    found = service.records.inspections(Filter(product=product), limit=1).inspections
    return found[0].time if found else None


SPECS = (page_spec("GET", "/line", lines, "operator"),)
