"""One part with all that is on record of it, and the buttons to review it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchbank.errors import ParameterError, PatchbankError
from patchbank.server.pages.history.asked import Asked
from patchbank.server.pages.history.lists import seen, shared
from patchbank.server.pages.photographs import Number, found_part
from patchbank.server.pages.rendering import failed, page, page_spec
from patchbank.server.records.entries import WITHDRAWN, DetectorEntry, Review, StoredInspection
from patchbank.server.service.answers import api_error
from patchbank.server.service.errors import ApiError
from patchbank.server.service.guarding import caller_of
from patchbank.server.service.request_facts import texts_of_form
from patchbank.server.service.routes.records import LONGEST_NOTE
from patchbank.server.service.service import Service, service_of

SHOWN = ("jpg", "png", "webp", "bmp")
"""Kinds of photographs that browsers show."""


def part(request: Request, number: Number, asked: Annotated[Asked, Query()]) -> Response:
    """One part."""
    return _seen(request, number, asked)


def _seen(
    request: Request, number: int, asked: Asked, error: ApiError | None = None, note: str = ""
) -> Response:
    """The page of a part, which says why a review was not saved, and still has its note."""
    service = service_of(request)
    one = found_part(service, number)
    wanted, content = shared(request, asked)
    reviews = service.records.reviews(number)
    standing = standing_review(reviews)
    kind = str(one.photograph).rpartition(".")[2]
    return page(
        request,
        "history_part.html",
        200 if error is None else error.status_code,
        **content,
        trouble="" if error is None else str(error.detail),
        note=note,
        part=seen(one),
        one=one,
        result=one.result,
        is_shown=kind in SHOWN,
        reviews=reviews,
        may_withdraw=standing is not None and standing.by == caller_of(request).name,
        neighbours=service.records.neighbours(wanted.filter, number),
        detector=detector_of(service, one),
        longest_note=LONGEST_NOTE,
    )


def standing_review(reviews: Sequence[Review]) -> Review | None:
    """The latest review that was not withdrawn."""
    standing: list[Review] = []
    for review in reviews:
        if review.decision == WITHDRAWN:
            standing.pop()
        else:
            standing.append(review)
    return standing[-1] if standing else None


def detector_of(service: Service, one: StoredInspection) -> DetectorEntry | None:
    """The detector that decided, as the product got it the last time before; None if unknown."""
    sha256 = one.result.get("detector_sha256")
    found = [each for each in service.records.detectors(one.product) if each.sha256 == sha256]
    return next((each for each in found if each.time <= one.time), found[-1] if found else None)


async def review(request: Request, number: Number, asked: Annotated[Asked, Query()]) -> Response:
    """Record what a person says of a part, and show it again."""
    given = await texts_of_form(request)
    try:
        await run_in_threadpool(_add_review, request, number, given)
    except PatchbankError as error:
        note = given.get("note", "")
        return await run_in_threadpool(_seen, request, number, asked, api_error(error), note)
    root, query = service_of(request).settings.root_path, asked.query()
    return RedirectResponse(f"{root}/history/{number}{'?' if query else ''}{query}#reviews", 303)


def _add_review(request: Request, number: int, given: dict[str, str]) -> None:
    service = service_of(request)
    found_part(service, number)
    decision: Any = given.get("decision", "")
    note = given.get("note", "").strip()
    if len(note) > LONGEST_NOTE:
        raise ParameterError(
            f"note: expected at most {LONGEST_NOTE:,} characters, got {len(note):,}; shorten it"
        )
    service.records.add_review(number, decision, caller_of(request).name, note)
    service.metrics.reviewed(decision)


def not_saved(request: Request, error: Exception) -> Response:
    """The error of a review that was refused unread, with the way back to the part."""
    path = request.url.path.removeprefix(service_of(request).settings.root_path)
    back = f"{path}{'?' if request.url.query else ''}{request.url.query}"
    return failed(request, error, back=back)


SPECS = (
    page_spec("GET", "/history/{number}", part, "operator"),
    replace(page_spec("POST", "/history/{number}", review, "operator"), failed=not_saved),
)
