"""Routes that say what another threshold would do."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from patchbank.detector.changes import Thresholds
from patchbank.server.records.recent import MOST_RECENT
from patchbank.server.service.answers import answer
from patchbank.server.service.examples import SCORES, THRESHOLD
from patchbank.server.service.guarding import Spec
from patchbank.server.service.routes.products import Name
from patchbank.server.service.score_table import (
    alike,
    comparable,
    expected_of,
    scores_json,
)
from patchbank.server.service.service import service_of


def scores(
    request: Request,
    name: Name,
    parts: Annotated[
        int, Query(ge=1, le=MOST_RECENT, description="Latest parts that are wanted.")
    ] = 500,
) -> Response:
    """Left-out scores, latest parts with their reviews, and what thresholds are expected to do.

    Parts that another detector has inspected, with other scores, are left out, and counted.
    """
    service = service_of(request)
    product = service.catalog.product(name)
    detector = service.catalog.detector(product)
    digests = alike(service.records.detectors(name), detector.sha256)
    recent = comparable(service.records.recent_scores(name, parts), digests)
    found = scores_json(detector, recent, service.records.shift_size(name))
    return answer({"product": name, **found})


def expected_threshold(
    request: Request,
    name: Name,
    threshold: Annotated[float | None, Query(allow_inf_nan=False)] = None,  # name of the query
    false_alarm_rate: Annotated[float | None, Query(gt=0, lt=1)] = None,
) -> Response:
    """The rate of a threshold, or the threshold at a rate, as `tune` would set it."""
    service = service_of(request)
    detector = service.catalog.detector(service.catalog.product(name))
    wanted = Thresholds(threshold=threshold, false_alarm_rate=false_alarm_rate)
    return answer({"product": name, **expected_of(detector, wanted)})


SPECS = (
    Spec(
        method="GET",
        path="/v1/products/{name}/scores",
        endpoint=scores,
        role="engineer",
        tag="products",
        example=SCORES,
        errors=(404,),
    ),
    Spec(
        method="GET",
        path="/v1/products/{name}/threshold",
        endpoint=expected_threshold,
        role="engineer",
        tag="products",
        example=THRESHOLD,
        errors=(404,),
    ),
)
