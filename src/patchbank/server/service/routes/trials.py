"""Routes of trials: a photograph is inspected, and nothing is recorded."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from patchbank.detector.inspection import FailedInspection
from patchbank.server.intake import NotRecorded
from patchbank.server.service.answers import answer, in_time
from patchbank.server.service.errors import ApiError
from patchbank.server.service.examples import TRIAL, TRIAL_BODY
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.keeping import map_range
from patchbank.server.service.product_finding import Chosen
from patchbank.server.service.receiving import NAMES, named, received
from patchbank.server.service.request_facts import session_of
from patchbank.server.service.routes.inspections import (
    PRODUCT_OF_A_PHOTOGRAPH,
    UNNAMED,
    code_of,
    only_product,
)
from patchbank.server.service.service import Service, service_of
from patchbank.server.service.trials import Trial

TrialId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the trial names it.")]


class TrialQuery(BaseModel):
    """Product and name of a photograph; the product may as well be a part of a form."""

    model_config = ConfigDict(extra="forbid")

    product: str | None = Field(None, max_length=200, description=PRODUCT_OF_A_PHOTOGRAPH)
    name: str = Field("", max_length=255, description="Name of the photograph.")


async def try_photograph(request: Request, query: Annotated[TrialQuery, Query()]) -> Response:
    """Inspect one photograph without a record.

    It is sent as to `/v1/inspections`, and answered by the line of `predict --json`, with
    links to its pictures.  These stay in memory, for the caller alone, for half an hour at most.
    """
    service = service_of(request)
    if service.trials.is_full:  # before the body is read
        raise service.trials.busy()
    settings = service.settings
    came = await received(request, settings.allow_root, settings.max_bytes)
    for name in NAMES[1:]:
        if name in came.texts:
            raise ApiError(
                422,
                f"{name}: expected none with a trial, which is not recorded, got one; send it to "
                "/v1/inspections",
            )
    if query.product is not None and "product" in came.texts:
        raise ApiError(422, "product: expected it in the query or in the body, got it in both")
    if came.is_batch:
        raise ApiError(422, f"image: expected one photograph, got {len(came.photographs)}")
    photograph = came.photographs[0]
    if isinstance(photograph.content, ApiError):
        raise photograph.content
    product = came.texts.get("product", query.product) or only_product(service)
    chosen = await run_in_threadpool(_chosen, service, product)
    future = service.trials.start(
        chosen,
        (named(query.name) or photograph.name or UNNAMED, photograph.content),
        _owner(request),
        settings.max_pixels,
    )
    late = f"trial: expected within {settings.timeout_s:g} s, got none yet; send it again"
    outcome = await in_time(asyncio.wrap_future(future), settings.timeout_s, late)
    if isinstance(outcome, FailedInspection):
        facts = {"verdict": "unread", **_route_of(outcome)}
        raise ApiError(422, outcome.error, code=code_of(facts), facts=facts)
    return answer(outcome.to_json(settings.root_path))


def trial(request: Request, id: TrialId) -> Response:  # name in the path
    """One trial, as it was answered."""
    return answer(_found(request, id).to_json(service_of(request).settings.root_path))


def trial_photograph(request: Request, id: TrialId) -> Response:
    """The photograph as a browser shows it: what it would not show is converted."""
    return _picture(request, id, "photograph")


def trial_overlay(request: Request, id: TrialId) -> Response:
    """The photograph with map and regions drawn over it, as JPEG."""
    return _picture(request, id, "overlay")


def trial_heat(request: Request, id: TrialId) -> Response:
    """The heat of the map alone, transparent where nothing is odd, as PNG."""
    return _picture(request, id, "heat")


def trial_map(request: Request, id: TrialId) -> Response:
    """The anomaly map as PNG of 16 bits; the headers X-Map-Low, X-Map-High say its range."""
    response = _picture(request, id, "map")
    low, high = map_range(bytes(response.body))
    response.headers.update({"X-Map-Low": low, "X-Map-High": high})
    return response


def trial_crop(
    request: Request,
    id: TrialId,
    spot: Annotated[int, Path(ge=0, le=1000, description="Number of the odd spot, from 0.")],
) -> Response:
    """An odd spot next to the nearest good patches, as PNG."""
    explained = _found(request, id).pictures.explained
    crops = () if explained is None else explained.crops
    if spot >= len(crops):
        raise ApiError(404, f"spot: expected less than {len(crops)}, got {spot}")
    return Response(crops[spot], media_type="image/png")


def _picture(request: Request, trial_id: str, name: str) -> Response:
    found = _found(request, trial_id).pictures.files.get(name)
    if found is None:
        raise ApiError(404, f"{name}: expected a picture of this trial, got none")
    return Response(found[0], media_type=found[1])


def _found(request: Request, trial_id: str) -> Trial:
    return service_of(request).trials.find(trial_id, _owner(request))


def _owner(request: Request) -> str:
    """Who may see a trial: the session of a browser, or whoever has the same token."""
    session = session_of(request)
    return f"token {caller_of(request).name}" if session is None else f"session {session.id}"


def _route_of(outcome: FailedInspection) -> dict[str, Any]:
    return {} if outcome.route is None else {"route": outcome.route.to_json()}


def _chosen(service: Service, product: str) -> Chosen:
    try:
        return service.inference.finding.chosen(product)
    except NotRecorded as error:  # no fault of the photograph
        raise ApiError(503, str(error), code="not_ready") from None


def _get(path: str, endpoint: Any, kind: str = "image/png", **more: Any) -> Spec:
    return Spec(
        method="GET",
        path=f"/v1/trials/{{id}}{path}",
        endpoint=endpoint,
        role="operator",
        tag="trials",
        errors=(404,),
        **{"media_types": (kind,), **more},
    )


SPECS = (
    Spec(
        method="POST",
        path="/v1/trials",
        endpoint=try_photograph,
        role="operator",
        tag="trials",
        example=TRIAL,
        schemas=("Trial",),
        errors=(404,),
        body=TRIAL_BODY,
        body_limit="max_bytes",
    ),
    _get("", trial, "application/json", example=TRIAL, schemas=("Trial",)),
    _get("/photograph", trial_photograph, media_types=("image/png", "image/jpeg", "image/webp")),
    _get("/overlay", trial_overlay, "image/jpeg"),
    _get("/map", trial_map),
    _get("/heat", trial_heat),
    _get("/crops/{spot}", trial_crop),
)
