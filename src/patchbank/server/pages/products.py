"""Pages of the products: all of them, one with its detectors, and a comparison of two of these."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from patchbank.detector.lineage.chain import Lineage
from patchbank.errors import ImageError, PatchbankError
from patchbank.runtime.percent import percent
from patchbank.server.pages import learned, words
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.records.counting import Count
from patchbank.server.records.entries import DetectorEntry, Filter
from patchbank.server.service.catalog import Product
from patchbank.server.service.errors import ApiError
from patchbank.server.service.guarding import caller_of
from patchbank.server.service.routes.setups import A_WHILE, setup_json
from patchbank.server.service.service import Service, service_of
from patchbank.server.service.setups.setup import Setup

ProductName = Annotated[str, Path(max_length=100)]
SEARCHED = 60
"""Good inspections among which one with a photograph is looked for."""
SHOWN_SETTINGS = ("method", "backbone", "image_size", "bank_rows")
MOST_TRIED = 5
"""Learned photographs of which one that can be read is looked for."""
MOST_SHOWN = 60
"""Parts of a comparison that are shown; its own page has more."""


@dataclass(frozen=True, slots=True)
class Card:
    """A product as the list shows it."""

    name: str
    product: Product
    today: Count
    since: datetime
    """Time at which it got its detector."""
    photograph: int | None
    """Number of an inspection with a typical photograph; None where none is kept."""
    has_learned: bool
    """Whether a photograph that it has learned is kept."""


def products(request: Request) -> Response:
    """All products, and set-ups that are under way."""
    service, caller = service_of(request), caller_of(request)
    today = counted_today(service)
    cards = [
        Card(
            one.name,
            one,
            today.get(one.name, Count(group=one.name)),
            _since(one, service.records.detectors(one.name)),
            typical(service, one.name),
            set_up_by(service, one.name) is not None,
        )
        for one in service.catalog.products
    ]
    known = {one.name for one in service.catalog.products}
    setups = [
        setup_json(service, one)
        for one in service.preparation.setups.all()
        if one.facts.activated is None
        and caller.may("engineer" if one.facts.product in known else "admin")
    ]
    return page(request, "products.html", cards=cards, setups=setups, words=_words(request))


def product(request: Request, product: ProductName) -> Response:
    """A product: the detector in use, those before it, and the history in its file."""
    service = service_of(request)
    found = service.catalog.product(product)
    facts, lineage, error = _detector(service, found)
    entries = service.records.detectors(product)
    newest = next((n for n, one in enumerate(entries) if one.sha256 == found.sha256), None)
    return page(
        request,
        "product.html",
        product=product,
        found=found,
        since=_since(found, entries),
        error=found.error or error,
        facts=facts,
        history=[] if lineage is None else learned.states(lineage),
        last_change=None if lineage is None else learned.last_change(lineage),
        newest=newest,
        entries=[(one, service.catalog.versions.has(product, one.sha256)) for one in entries],
        photograph=typical(service, product),
        has_learned=set_up_by(service, product) is not None,
        words=_words(request),
    )


def photograph(request: Request, product: ProductName) -> Response:
    """A small photograph that a product has learned in its set-up, as JPEG."""
    service = service_of(request)
    service.catalog.product(product)
    setup, setups = set_up_by(service, product), service.preparation.setups
    if setup is not None:
        for one in setups.learned(setup)[:MOST_TRIED]:
            with suppress(ImageError):  # one that cannot be read
                content = setups.picture(setup, one.name, "small")
                return Response(content, headers=A_WHILE, media_type="image/jpeg")
    raise ApiError(404, f"photograph: expected one that {product} has learned, got none")


def comparison(
    request: Request,
    product: ProductName,
    id: Annotated[str, Path(pattern="^[0-9a-f]{16}$")],  # name in the path
) -> Response:
    """A comparison: verdicts that differ first, with their photographs."""
    service = service_of(request)
    found = service.catalog.product(product)
    content = service.preparation.comparisons.find(product, id)
    changed = [one for one in content["images"] if one["changed"]]
    for side in (content["a"], content["b"]):
        rate = side["false_alarm_rate"]
        side["expected"] = "-" if rate is None else percent(rate)
    return page(
        request,
        "comparison.html",
        product=product,
        comparison=content,
        changed=changed[:MOST_SHOWN],
        n_more=max(len(changed) - MOST_SHOWN, 0),
        n_flagged=sum(one["b"]["anomalous"] for one in changed),
        n_passed=sum(one["a"]["anomalous"] for one in changed),
        in_use=found.sha256,
        words=_words(request),
    )


def typical(service: Service, product: str) -> int | None:
    """Number of a late inspection whose photograph is kept, a good one; None if there is none."""
    page = service.records.inspections(Filter(product=product, verdict="good"), limit=SEARCHED)
    kept = (one for one in page.inspections if one.photograph is not None)
    return next((one.id for one in kept if service.pictures.has(str(one.photograph))), None)


def set_up_by(service: Service, product: str) -> Setup | None:
    """The last set-up whose detector was put to use for a product, if it is kept."""
    found = service.preparation.setups.all(product)
    return next((one for one in found if one.facts.activated is not None), None)


def _since(product: Product, entries: Sequence[DetectorEntry]) -> datetime:
    """Time at which a product got its detector; that of the start for one that is not on record."""
    found = next((one.time for one in entries if one.sha256 == product.sha256), product.since)
    assert found is not None  # it is in use
    return found


def counted_today(service: Service) -> dict[str, Count]:
    """Counts of each product since midnight here."""
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    found = service.records.counts("product", since=midnight.astimezone(timezone.utc))
    return {str(one.group): one for one in found.groups}


def _detector(
    service: Service, product: Product
) -> tuple[dict[str, Any], Lineage | None, str | None]:
    """Facts of the detector in use, its history, and the reason why it cannot be opened."""
    try:
        detector = service.catalog.detector(product)
    except PatchbankError as error:
        return {}, None, str(error)
    first = detector.members[0]
    settings: dict[str, Any] = {"method": first.method, **first.settings.to_mapping()}
    facts = {
        "photographs": len(detector.fitted_on),
        "expected": percent(detector.calibration.expected_rate),
        "settings": {
            name: settings[name] for name in SHOWN_SETTINGS if settings.get(name) is not None
        },
    }
    return facts, detector.lineage, None


def _words(request: Request) -> dict[str, str]:
    language = words.language_of(request.headers.get("accept-language", ""))
    return words.for_scripts(language, "products")


SPECS = (
    page_spec("GET", "/products", products, "operator"),
    page_spec("GET", "/products/{product}", product, "operator"),
    page_spec("GET", "/products/{product}/photograph", photograph, "operator"),
    page_spec("GET", "/products/{product}/comparisons/{id}", comparison, "engineer"),
)
