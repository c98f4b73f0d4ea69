"""The start: links for programs, and for people the screens of the products."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchbank.server.pages.rendering import page, page_spec, wants_page
from patchbank.server.service.guarding import Spec
from patchbank.server.service.routes.service import start_page
from patchbank.server.service.service import service_of

PATH = "/"


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
    products = sorted(product.name for product in service_of(request).catalog.products)
    return page(request, "lines.html", products=products)


SPECS = (page_spec("GET", "/line", lines, "operator"),)
