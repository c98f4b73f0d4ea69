"""Routes that find what is on record, and take reviews."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from patchbank.errors import ParameterError
from patchbank.server.records.entries import (
    Decision,
    Fields,
    Filter,
    Judgement,
    Review,
    StoredInspection,
    Verdict,
    iso_utc,
)
from patchbank.server.records.times import time_of
from patchbank.server.service.answers import UNCHANGING, answer
from patchbank.server.service.errors import ApiError
from patchbank.server.service.examples import INSPECTION, PAGE, REVIEW
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.keeping import map_range
from patchbank.server.service.service import Service, service_of
from patchbank.server.service.tokens import Caller

MOST_IN_A_PAGE = 1000
LONGEST_NOTE = 2000
KINDS = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "tif": "image/tiff",
    "bmp": "image/bmp",
    "webp": "image/webp",
}
OTHER_KIND = "application/octet-stream"
Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the inspection.")]
Short = Annotated[str | None, Field(max_length=200)]
Reviewer = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{8,64}$")]
"""Name of a page or a program that reviews; each of them has its own."""


def _moment_of(written: Any) -> Any:
    try:
        return time_of("time", written) if isinstance(written, str) else written
    except ParameterError:
        raise ValueError("a date or time such as 2026-03-01 or 2026-03-01T06:00:00Z") from None


Moment = Annotated[datetime, BeforeValidator(_moment_of)]
"""A date or time; UTC where no zone is written."""


class FilterQuery(BaseModel):
    """Which inspections are asked for."""

    model_config = ConfigDict(extra="forbid")

    product: Short = None
    verdict: Verdict | None = None
    review: Decision | Literal["none"] | None = Field(
        None, description="The latest review; `none` for those without."
    )
    since: Moment | None = Field(None, description="At this time or later.")
    until: Moment | None = Field(None, description="Before this time.")
    serial_number: Short = None
    lot: Short = None
    station: Short = None
    shift: Short = None
    operator: Short = None
    camera: Short = None
    min_score: float | None = Field(None, allow_inf_nan=False)
    max_score: float | None = Field(None, allow_inf_nan=False)

    @property
    def wanted(self) -> Filter:
        """The filter."""
        texts = {name: getattr(self, name) for name in Fields.__slots__}
        return Filter(
            product=self.product,
            verdict=self.verdict,
            review=self.review,
            since=self.since,
            until=self.until,
            fields=Fields(**texts),
            min_score=self.min_score,
            max_score=self.max_score,
        )


class PageQuery(FilterQuery):
    """Which page of them."""

    limit: int = Field(50, ge=1, le=MOST_IN_A_PAGE)
    cursor: str | None = Field(None, max_length=200, description="Of the page before.")


class NewReview(BaseModel):
    """A review by a person."""

    model_config = ConfigDict(extra="forbid")

    decision: Judgement = Field(
        description="`withdrawn` takes the latest review back, if it is of the same person."
    )
    note: str = Field("", max_length=LONGEST_NOTE)
    by: str | None = Field(
        None,
        min_length=1,
        max_length=60,
        description="Name of the person, where several share a token.",
    )
    reviewer: Reviewer | None = Field(
        None,
        description="Name under which the inspection was claimed: nobody else's is decided.",
    )


def inspections(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Inspections, newest first, in pages."""
    service = service_of(request)
    page = service.records.inspections(query.wanted, limit=query.limit, cursor=query.cursor)
    root = service.settings.root_path
    items = [one.to_json(root) for one in page.inspections]
    return answer({"inspections": items, "cursor": page.cursor})


def inspection(request: Request, number: Number) -> Response:
    """One inspection."""
    service = service_of(request)
    return answer(_found(service, number).to_json(service.settings.root_path))


def photograph(request: Request, number: Number) -> Response:
    """The photograph as it was received, where it is kept."""
    service = service_of(request)
    found = _found(service, number)
    content = service.made.photograph(found)
    kind = KINDS.get(str(found.photograph).rpartition(".")[2], OTHER_KIND)
    return Response(content, headers=UNCHANGING, media_type=kind)


def overlay(request: Request, number: Number) -> Response:
    """The photograph with map and regions drawn over it, as JPEG."""
    service = service_of(request)
    content = service.made.overlay(_found(service, number))
    return Response(content, headers=UNCHANGING, media_type="image/jpeg")


def anomaly_map(request: Request, number: Number) -> Response:
    """The anomaly map as PNG of 16 bits; the headers X-Map-Low, X-Map-High say its range."""
    service = service_of(request)
    content = service.made.map(_found(service, number))
    low, high = map_range(content)
    headers = UNCHANGING | {"X-Map-Low": low, "X-Map-High": high}
    return Response(content, headers=headers, media_type="image/png")


def explanation(request: Request, number: Number) -> Response:
    """Odd spots of the photograph and the nearest good patches, as `predict --explain` has them."""
    service = service_of(request)
    made = service.made.explanation(_found(service, number))
    own = f"{service.settings.root_path}/v1/inspections/{number}"
    crops = [f"{own}/crops/{n}" for n in range(len(made.crops))]
    return answer({"inspection": number, **made.content, "crops": crops})


def crop(
    request: Request,
    number: Number,
    spot: Annotated[int, Path(ge=0, le=1000, description="Number of the odd spot, from 0.")],
) -> Response:
    """An odd spot next to the nearest good patches, as PNG."""
    crops = service_of(request).made.explanation(_found(service_of(request), number)).crops
    if spot >= len(crops):
        raise ApiError(404, f"spot: expected less than {len(crops)}, got {spot}")
    return Response(crops[spot], headers=UNCHANGING, media_type="image/png")


def add_review(request: Request, number: Number, review: NewReview) -> Response:
    """Say that an inspection was right or wrong; earlier reviews stay, the latest one counts."""
    service, caller = service_of(request), caller_of(request)
    _found(service, number)
    by = caller.name if review.by is None else f"{review.by} ({caller.name})"
    claimed = None if review.reviewer is None else reviewer_of(caller, review.reviewer)
    added = service.records.add_review(number, review.decision, by, review.note, reviewer=claimed)
    service.metrics.reviewed(review.decision)
    return answer(_review(added), 201)


def reviews(request: Request, number: Number) -> Response:
    """Reviews of an inspection, oldest first."""
    service = service_of(request)
    _found(service, number)
    return answer({"reviews": [_review(one) for one in service.records.reviews(number)]})


def _found(service: Service, number: int) -> StoredInspection:
    found = service.records.inspection(number)
    if found is None:
        raise ApiError(404, f"inspection: expected the number of one on record, got {number}")
    return found


def reviewer_of(caller: Caller, reviewer: str) -> str:
    """The name of a reviewer in the records, which nobody with another token can have."""
    return f"{caller.name}/{reviewer}"


def _review(review: Review) -> dict[str, Any]:
    return {
        "inspection_id": review.inspection_id,
        "time": iso_utc(review.time),
        "decision": review.decision,
        "by": review.by,
        "note": review.note,
    }


def moment(time: datetime | None) -> str | None:
    """A time in an answer."""
    return None if time is None else iso_utc(time)


def _get(path: str, endpoint: Any, **more: Any) -> Spec:
    return Spec(
        method="GET",
        path=f"/v1/inspections{path}",
        endpoint=endpoint,
        role="operator",
        tag="inspections",
        **more,
    )


OF_ONE, KEPT = (404,), (404, 410)
SPECS = (
    _get("", inspections, example=PAGE, schemas=("Page",)),
    _get("/{number}", inspection, example=INSPECTION, schemas=("Inspection",), errors=OF_ONE),
    _get(
        "/{number}/photograph", photograph, media_types=(*KINDS.values(), OTHER_KIND), errors=KEPT
    ),
    _get("/{number}/overlay", overlay, media_types=("image/jpeg",), errors=KEPT),
    _get("/{number}/map", anomaly_map, media_types=("image/png",), errors=KEPT),
    _get("/{number}/explanation", explanation, errors=KEPT),
    _get("/{number}/crops/{spot}", crop, media_types=("image/png",), errors=KEPT),
    Spec(
        method="POST",
        path="/v1/inspections/{number}/review",
        endpoint=add_review,
        role="operator",
        tag="reviews",
        example=REVIEW,
        errors=(404, 409),
        creates=True,
    ),
    Spec(
        method="GET",
        path="/v1/inspections/{number}/reviews",
        endpoint=reviews,
        role="operator",
        tag="reviews",
        example={"reviews": [REVIEW]},
        errors=OF_ONE,
    ),
)
