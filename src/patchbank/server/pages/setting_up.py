"""Pages on which a product is set up: from good photographs to a detector in use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from patchbank.errors import DataError
from patchbank.report.plots import HEIGHT, WIDTH, Histogram, histogram
from patchbank.runtime.percent import percent, percent_at_most
from patchbank.server.intake import UnknownProduct
from patchbank.server.pages import words
from patchbank.server.pages.products import ProductName
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.service.errors import ApiError
from patchbank.server.service.request_facts import session_of
from patchbank.server.service.routes.setups import check_may, found_setup, setup_json
from patchbank.server.service.service import Service, service_of
from patchbank.server.service.setups.earlier import is_other
from patchbank.server.service.setups.setup import Setup
from patchbank.server.service.setups.store import KEPT_DAYS
from patchbank.server.service.versions import check_name

RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
"""False-alarm rates that can be chosen."""
USUAL_RATE = 0.01
USUAL_PRESET = "balanced"
MOST_SHOWN = 24
"""Photographs of a finding that are shown at once."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Facts of a fit, as its part of the page shows them."""

    facts: dict[str, Any]
    plot: Histogram | None
    """Scores when left out; None with a single photograph."""
    is_stale: bool
    """Whether other photographs are chosen now than those that were given to the fit."""
    expected: str
    """Rate of false alarms to expect, as the report of the fit writes it."""
    at_most: str
    """The rate that is guaranteed on average, rounded up as in that report."""
    is_other: bool
    """Whether the photographs look like another product to the detector in use so far."""


def start(request: Request) -> Response:
    """The start of a new product: its name."""
    return _start(request, None)


def start_of(request: Request, product: ProductName) -> Response:
    """The start of another detector of a product."""
    service_of(request).catalog.product(product)
    return _start(request, product)


def setup(
    request: Request,
    product: ProductName,
    id: Annotated[str, Path(pattern="^[0-9a-f]{16}$")],  # name in the path
) -> Response:
    """A set-up: photographs, check, fit, and its detector comes into use."""
    service, found = service_of(request), found_setup(request, id)
    if found.facts.product != product:
        raise ApiError(404, "setup: expected one of this product, got that of another")
    left_out = set(found.facts.left_out)
    names = {one.name for one in service.preparation.setups.photographs(found)}
    checked = found.checked
    preset, rate = _asked(found)
    return page(
        request,
        "setup.html",
        product=product,
        setup=setup_json(service, found),
        is_new=_is_new(service, product),
        left_out=left_out,
        names=names,
        checked=checked,
        n_unchecked=0 if checked is None else len(names - left_out - set(checked["names"])),
        fitted=_fitted(found, names - left_out),
        rates=[(one, needed(one)) for one in sorted({*RATES, rate})],
        asked_rate=rate,
        asked_preset=preset,
        most_shown=MOST_SHOWN,
        plot_size=(WIDTH, HEIGHT),
        sending=sending_line(request, product),
        kept_days=KEPT_DAYS,
        max_bytes=service.settings.max_bytes,
        has_folders=service.settings.allow_root is not None,
        words=_words(request),
    )


def sending_line(request: Request, product: str) -> str:
    """The command that sends a photograph to the service."""
    service = service_of(request)
    token = ' -H "Authorization: Bearer $TOKEN"' if session_of(request) is not None else ""
    host = f"{request.url.scheme}://{request.url.netloc}{service.settings.root_path}"
    return f"curl{token} -F image=@photograph.png -F product={product} {host}/v1/inspections"


def _start(request: Request, product: str | None) -> Response:
    service = service_of(request)
    if product is not None:
        check_name(product, "product")
        check_may(request, product)
    found = service.preparation.setups.all(product)
    is_open = [one for one in found if product is not None or _is_new(service, one.facts.product)]
    setups = [setup_json(service, one) for one in is_open if one.facts.activated is None]
    return page(request, "setup_start.html", product=product, setups=setups, words=_words(request))


def _fitted(setup: Setup, chosen: set[str]) -> Fitted | None:
    """Facts of the last fit; None before that."""
    facts = setup.fitted
    if facts is None:
        return None
    plot = None
    if facts["scores"]:
        scores = np.array(facts["scores"], np.float64)
        plot = histogram({"good": scores}, [(facts["threshold"], "")])
    return Fitted(
        facts,
        plot,
        is_stale=set(facts["names"]) != chosen,
        expected=percent(facts["expected_false_alarm_rate"]),
        at_most=percent_at_most(facts["guaranteed_false_alarm_rate"]),
        is_other=is_other(facts.get("seen_before")),
    )


def _asked(setup: Setup) -> tuple[str, float]:
    """Preset and false-alarm rate that were asked for last; the usual ones before that."""
    facts, fitted = setup.facts, setup.fitted or {}
    preset = facts.preset or fitted.get("preset", USUAL_PRESET)
    return preset, facts.false_alarm_rate or fitted.get("false_alarm_rate", USUAL_RATE)


def needed(rate: float) -> int:
    """Fewest photographs, of different parts, by which a false-alarm rate can be measured.

    One of n photographs that is left out is above all others with the probability 1 / (n + 1).

    >>> needed(0.01), needed(0.1), needed(0.001)
    (99, 9, 999)
    """
    return math.ceil(1 / rate - 1 - 1e-9)


def _is_new(service: Service, product: str) -> bool:
    """Whether there is no product of that name yet."""
    try:
        service.catalog.product(product)
    except (UnknownProduct, DataError):
        return True
    return False


def _words(request: Request) -> dict[str, str]:
    language = words.language_of(request.headers.get("accept-language", ""))
    return words.for_scripts(language, "setup")


SPECS = (
    page_spec("GET", "/products/new", start, "admin"),
    page_spec("GET", "/products/{product}/new", start_of, "engineer"),
    page_spec("GET", "/products/{product}/new/{id}", setup, "engineer"),
)
