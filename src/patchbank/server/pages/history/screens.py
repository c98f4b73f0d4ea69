"""The charts of a filter, and what is asked for by a second request: drift, and the lot."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages.history.asked import Asked, By, Wanted
from patchbank.server.pages.history.charts import (
    REACH,
    USUAL_DAYS,
    Course,
    course,
    midnight,
    pareto,
    usual_by,
)
from patchbank.server.pages.history.lists import shared
from patchbank.server.pages.history.plots import (
    HEIGHT,
    LEFT,
    PARETO_WIDTH,
    RIGHT,
    TOP,
    WIDTH,
    drift_plot,
    p_chart,
    pareto_bars,
)
from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.records.counting import begin_of
from patchbank.server.records.entries import Fields, Filter, StoredInspection
from patchbank.server.records.store import Records
from patchbank.server.service.service import Service, service_of

MOST_FLAGGED = 2000
"""Flagged parts whose regions are counted: the newest ones."""
MOST_DRIFT = 4000
"""Parts by which the monitor of drift goes on in one request; the page asks again."""
MOST_OF_A_LOT = 20_000
NEWEST = 20
"""Good parts among which one with a kept photograph is searched for."""


def charts(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Charts of a filter."""
    service = service_of(request)
    wanted, content = shared(request, asked)
    wanted, by, found, is_cut = counted(service.records, wanted)
    flagged = replace(wanted.filter, verdict="anomalous")
    spots = pareto(service.records.results(flagged, most=MOST_FLAGGED))
    product = wanted.filter.product or _only(service)
    return page(
        request,
        "history_charts.html",
        **content,
        page_name="charts",
        own_path="/history/charts",
        by=by,
        course=found,
        chart=p_chart(found),
        is_cut=is_cut or found.is_cut,
        has_usual_time=asked.when is None and asked.first_day is None,
        usual_days=USUAL_DAYS,
        since=wanted.filter.since,
        spots=spots,
        bars_of=pareto_bars(spots),
        shown=_shown(service.records, product),
        most_flagged=MOST_FLAGGED,
        product=product,
        is_turned=_is_turned(service, product),
        chart_size=(WIDTH, HEIGHT, LEFT, RIGHT, TOP, PARETO_WIDTH),
    )


def counted(records: Records, wanted: Wanted) -> tuple[Wanted, By, Course, bool]:
    """Count the parts of a filter; of the last days before the newest part where it has no time.

    Returns:
        The filter, what one point is, the chart, and whether earlier parts are left out.
    """
    asked, given = wanted.asked, wanted.filter
    newest = records.inspections(Filter(product=given.product), limit=1).inspections
    is_narrow = given.fields.lot is not None or given.fields.serial_number is not None
    if newest and not (is_narrow and given.since is None):
        last = newest[0].time if given.until is None else min(given.until, newest[0].time)
        days = REACH[asked.by or "day"] if given.since is not None else USUAL_DAYS
        first = midnight(wanted.zone, last, days - 1)
        given = replace(given, since=max(first, given.since or first))
    is_cut = wanted.filter.since is not None and given.since != wanted.filter.since
    by = asked.by
    hours = records.hour_counts(given, by if by in ("shift", "lot") else None)
    if by is None:
        every = [one.hour for one in hours.counts] or [0]
        by = usual_by(begin_of(min(every)), begin_of(max(every)))
    wanted = replace(wanted, filter=given)
    found = course(hours.counts, by, wanted.zone, given.since)
    return wanted, by, found, is_cut or hours.is_cut


def drift(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Whether good parts have changed, and what is in the lot that is chosen."""
    from patchbank.server.records.statements import drift_of, lot_statement

    service = service_of(request)
    wanted, content = shared(request, asked)
    name = wanted.filter.product or _only(service)
    found: dict[str, Any] = {"statement": None, "plot": None, "lot": None, "is_large": False}
    if name is not None:
        detector = service.catalog.detector(service.catalog.product(name))
        sha256, calibration = detector.sha256, detector.calibration
        statement = drift_of(service.records, name, calibration, sha256, at_most=MOST_DRIFT)
        found["statement"] = statement
        found["plot"] = drift_plot(statement.course, statement.alarm_line)
        found["changed"] = {
            kind: _time(service.records, None if change is None else change["inspection"])
            for kind, change in (
                ("passed", statement.change),
                ("flagged", statement.more_flagged),
            )
        }
        lot = wanted.filter.fields.lot
        if lot is not None:
            number, _ = service.records.total(Filter(product=name, fields=Fields(lot=lot)))
            found["is_large"] = number > MOST_OF_A_LOT
            if not found["is_large"]:
                found["lot"] = lot_statement(service.records, name, lot, calibration, sha256)
    return page(
        request,
        "history_drift.html",
        **content,
        product=name,
        most_of_a_lot=MOST_OF_A_LOT,
        chart_size=(WIDTH, HEIGHT, LEFT, RIGHT, TOP, PARETO_WIDTH),
        **found,
    )


def _time(records: Records, number: int | None) -> tuple[int, datetime] | None:
    """An inspection by which something has changed, and its time."""
    one = None if number is None else records.inspection(number)
    return None if one is None else (one.id, one.time)


def _only(service: Service) -> str | None:
    """The product, where there is only one."""
    products = service.catalog.products
    return products[0].name if len(products) == 1 else None


def _is_turned(service: Service, product: str | None) -> bool:
    """Whether the parts of a product lie anywhere in the photograph and are turned first."""
    if product is None or product not in {one.name for one in service.catalog.products}:
        return False
    detector = service.catalog.detector(service.catalog.product(product))
    return any(member.settings.position == "canonical" for member in detector.members)


def _shown(records: Records, product: str | None) -> StoredInspection | None:
    """A part under the grid: a good one whose photograph is kept, or else a flagged one."""
    for verdict in ("good", "anomalous"):
        wanted = Filter(product=product, verdict=verdict)
        for one in records.inspections(wanted, limit=NEWEST).inspections:
            if one.photograph is not None:
                return one
    return None


SPECS = (
    page_spec("GET", "/history/charts", charts, "engineer"),
    page_spec("GET", "/history/drift", drift, "engineer"),
)
