"""Routes that count, compare and export what is on record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from patchbank.server.records.counting import Grouping
from patchbank.server.records.times import zone_of
from patchbank.server.service.answers import answer
from patchbank.server.service.errors import ApiError
from patchbank.server.service.guarding import Spec
from patchbank.server.service.routes.records import FilterQuery, Moment
from patchbank.server.service.service import service_of

KINDS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
Product = Annotated[str, Query(max_length=200)]
Share = Annotated[float, Query(gt=0, lt=1)]


def statistics(
    request: Request,
    by: Grouping = "day",
    product: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    zone: Annotated[str, Query(max_length=60, description="Zone in which days begin.")] = "UTC",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Counts by time, product, shift, lot or station, with rates from reviews."""
    found = service_of(request).records.counts(
        by, product=product, since=since, until=until, zone=zone_of("zone", zone), limit=limit
    )
    return answer({"by": by, "product": product, "zone": zone, **found.to_json()})


def drift(
    request: Request,
    product: Product,
    false_alarm_rate: Share = 0.01,
) -> Response:
    """Whether good parts have changed since the product has its detector (a test martingale)."""
    from patchbank.server.records.statements import drift_of

    service = service_of(request)
    found = service.catalog.product(product)
    detector = service.catalog.detector(found)
    statement = drift_of(
        service.records,
        product,
        detector.calibration,
        detector.sha256,
        false_alarm_rate=false_alarm_rate,
    )
    return answer(statement.to_json())


def lot(
    request: Request,
    lot: Annotated[str, Path(min_length=1, max_length=200)],
    product: Product,
    level: Share = 0.1,
) -> Response:
    """Flagged parts of a lot: how many are expected to be good, and which clearly are not."""
    from patchbank.server.records.statements import lot_statement

    service = service_of(request)
    detector = service.catalog.detector(service.catalog.product(product))
    statement = lot_statement(
        service.records, product, lot, detector.calibration, detector.sha256, level=level
    )
    if statement is None:
        raise ApiError(404, "lot: expected one with an inspection of this product, got none")
    return answer(statement.to_json())


class ExportQuery(FilterQuery):
    """Which inspections, and as what."""

    form: Literal["csv", "jsonl", "parquet"] = Field("csv", alias="format")
    decimal: Literal[".", ","] = Field(".", description="Of numbers in CSV.")


def export(request: Request, query: Annotated[ExportQuery, Query()]) -> Response:
    """Inspections as a file, oldest first: CSV for spreadsheet programs, JSON lines or Parquet."""
    if query.decimal == "," and query.form != "csv":
        raise ApiError(422, f"decimal: expected with format=csv, got format={query.form}")
    parts = service_of(request).records.exported(query.wanted, query.form, decimal=query.decimal)
    first = next(parts)  # what is wrong is raised before the answer begins

    def content() -> Iterator[bytes]:
        yield first.content
        for part in parts:
            yield part.content

    name = f"inspections.{query.form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content(), headers=headers, media_type=KINDS[query.form])


def _spec(path: str, endpoint: Any, role: Any, **more: Any) -> Spec:
    return Spec(
        method="GET", path=f"/v1/{path}", endpoint=endpoint, role=role, tag="statistics", **more
    )


COUNT = {
    "group": "2026-11-26",
    "good": 960,
    "anomalous": 40,
    "unread": 1,
    "confirmed_defects": 25,
    "false_alarms": 5,
    "missed_defects": 0,
    "undecided": 10,
    "confirmed_share": 0.833,
    "false_alarm_rate": {"least": 0.0052, "most": 0.0154},
    "defect_rate": {"least": 0.025, "most": 0.035},
}
SPECS = (
    _spec(
        "statistics",
        statistics,
        "engineer",
        example={"by": "day", "product": None, "zone": "UTC", "groups": [COUNT], "is_cut": False},
    ),
    _spec("drift", drift, "engineer", errors=(404,)),
    _spec("lots/{lot}", lot, "engineer", errors=(404,), has_slashes=True),
    _spec("records/export", export, "engineer", media_types=tuple(KINDS.values())),
)
