"""Routes that take photographs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from patchbank.errors import PatchbankError
from patchbank.server.intake import Answer, Busy, Submission
from patchbank.server.records.entries import Fields, StoredInspection
from patchbank.server.service.answers import answer, api_error, in_time
from patchbank.server.service.errors import ApiError, body_of
from patchbank.server.service.examples import INSPECTION, PHOTOGRAPH_BODY
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.keeping import digest_of
from patchbank.server.service.receiving import (
    NAMES,
    Photograph,
    Received,
    fields_of,
    keyed,
    named,
    received,
)
from patchbank.server.service.routes.records import Short
from patchbank.server.service.service import Service, service_of

REPLAYED = {"Idempotent-Replayed": "true"}
UNNAMED = "photograph"
WAIT_FOR_ROOM_S = 0.02
PRODUCT_OF_A_PHOTOGRAPH = (
    "Not needed where the service has one product; `auto` for the one that the photograph shows."
)


class PartQuery(BaseModel):
    """Fields of the part in a photograph."""

    model_config = ConfigDict(extra="forbid")

    serial_number: Short = None
    lot: Short = None
    station: Short = None
    shift: Short = None
    operator: Short = None


class InspectQuery(PartQuery):
    """Product and fields of a photograph; they may as well be parts of a form."""

    product: str | None = Field(None, max_length=200, description=PRODUCT_OF_A_PHOTOGRAPH)
    name: str = Field("", max_length=255, description="Name of the photograph in its record.")
    camera: Short = None


Key = Annotated[
    str | None,
    Header(
        max_length=180,
        description="The same for each attempt to send one photograph: it is recorded once.",
    ),
]


async def inspect(
    request: Request, query: Annotated[InspectQuery, Query()], idempotency_key: Key = None
) -> Response:
    """Inspect one photograph, or several; each is on record before it is answered.

    A form with parts `image`, the bytes of one photograph as the body, or JSON with `paths`.  One
    photograph is answered by its inspection; several by a list of inspections, in which one that is
    not on record is an error.  What cannot be read is never good: it is recorded as `unread`, and
    answered with the status 422, or among several as it is on record.  So is a part of none of the
    products, where `product` is `auto`: its error has the code `no_product`.
    """
    service = service_of(request)
    if service.inference.is_full:  # before the body is read
        service.metrics.refused()
        raise service.inference.busy()
    settings = service.settings
    came = await received(request, settings.allow_root, settings.max_bytes)
    said = _texts(came, query)
    terms = _Terms(
        service=service,
        product=said["product"] or only_product(service),
        fields=fields_of(said),
        by=caller_of(request).name,
        name=named(query.name),
        key=keyed(idempotency_key),
        end=time.monotonic() + settings.timeout_s,
    )
    if came.is_batch:
        return await _several(terms, came.photographs)
    return await _one(terms, came.photographs[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """Terms of a request: they are the same for all its photographs."""

    service: Service
    product: str
    fields: Fields
    by: str
    name: str
    key: str | None
    end: float
    """Time by the monotonic clock at which it has to be answered."""

    def submission(self, photograph: Photograph, number: int | None) -> Submission:
        """The submission for a photograph of the request.

        Raises:
            ApiError: it could not be read by its path.
        """
        if isinstance(photograph.content, ApiError):
            raise photograph.content
        key = self.key if number is None or self.key is None else f"{self.key}/{number}"
        return Submission(
            product=self.product,
            content=photograph.content,
            name=self.name or photograph.name or UNNAMED,
            source="http",
            by=self.by,
            fields=self.fields,
            idempotency_key=key or None,
        )

    async def result(self, future: Future[Answer]) -> Answer:
        """The answer for a photograph.

        Raises:
            ApiError: it takes too long; it is recorded all the same.
        """
        late = (
            f"inspection: expected within {self.service.settings.timeout_s:g} s, got none yet; it "
            "will be recorded: send it again with the same Idempotency-Key for the answer"
        )
        left = max(self.end - time.monotonic(), 0.001)
        return await in_time(asyncio.wrap_future(future), left, late)


def _texts(came: Received, query: InspectQuery) -> dict[str, str | None]:
    """Product and fields, each of which is in the body or in the query."""
    for name in NAMES:
        if getattr(query, name) is not None and name in came.texts:
            raise ApiError(422, f"{name}: expected it in the query or in the body, got it in both")
    return {name: came.texts.get(name, getattr(query, name)) for name in NAMES}


def only_product(service: Service) -> str:
    """The product of a service that has one alone.

    Raises:
        ApiError: 422 where it has none, or several.
    """
    products = service.inference.products()
    if len(products) != 1:
        names = ", ".join(products) or "none yet"
        raise ApiError(422, f"product: expected the name of one ({names}), got none")
    return products[0]


async def _one(terms: _Terms, photograph: Photograph) -> Response:
    try:
        future = terms.service.inference.submit(terms.submission(photograph, None))
    except Busy:
        terms.service.metrics.refused()
        raise
    found = await terms.result(future)
    return recorded(terms.service, found.inspection, is_new=found.is_new)


def recorded(service: Service, found: StoredInspection, *, is_new: bool) -> Response:
    """The answer to one photograph.

    Args:
        service: that has recorded it.
        found: its record.
        is_new: whether it was recorded for this request.

    Raises:
        ApiError: 422 where it could not be read.
    """
    headers = {} if is_new else REPLAYED
    content = found.to_json(service.settings.root_path)
    if found.verdict == "unread":
        raise _unread(content, headers)
    return answer(content, headers=headers | {"Location": content["links"]["self"]})


async def _several(terms: _Terms, photographs: Sequence[Photograph]) -> Response:
    """A list of answers in the order of the photographs; the queue is filled as it empties."""
    waiting: list[Future[Answer] | Exception] = []
    for number, photograph in enumerate(photographs):
        try:
            submission = terms.submission(photograph, number)
            waiting.append(await _submitted(terms, submission, waiting))
        except (ApiError, PatchbankError) as error:
            if number == 0 and isinstance(error, PatchbankError):
                raise
            waiting.append(error)
    items = [await _item(terms, one) for one in waiting]
    return answer({"inspections": items})


async def _submitted(
    terms: _Terms, submission: Submission, earlier: Sequence[Future[Answer] | Exception]
) -> Future[Answer]:
    """Hand in one photograph of several: it waits for room, so that the others are not lost.

    All of them together have half of the queue at most, so that others get in between.

    Raises:
        Busy: there was none in the time of the request.
    """
    inference = terms.service.inference
    most = max(inference.max_queue // 2, 1)
    digest = await run_in_threadpool(digest_of, submission.content)
    while True:
        if sum(isinstance(one, Future) and not one.done() for one in earlier) < most:
            found = inference.offered(submission, digest)
            if found is not None:
                return found
        if time.monotonic() > terms.end or terms.service.is_stopping:
            raise inference.busy()
        await asyncio.sleep(WAIT_FOR_ROOM_S)


async def _item(terms: _Terms, one: Future[Answer] | Exception) -> dict[str, Any]:
    """The inspection of a photograph as it is on record, or the error of one that is not."""
    if isinstance(one, Exception):
        return body_of(api_error(one))
    try:
        found = await terms.result(one)
    except (ApiError, PatchbankError) as error:
        return body_of(api_error(error))
    return found.inspection.to_json(terms.service.settings.root_path)


def _unread(content: dict[str, Any], headers: Mapping[str, str]) -> ApiError:
    facts = {"inspection": content["id"], "verdict": "unread", "links": content["links"]}
    facts |= {"route": content["route"]} if "route" in content else {}
    return ApiError(422, str(content["error"]), code=code_of(facts), facts=facts, headers=headers)


def code_of(facts: Mapping[str, Any]) -> str:
    """The code for a photograph without a verdict: it shows none of the products, or is unread."""
    return "no_product" if "route" in facts else "unread"


SPECS = (
    Spec(
        method="POST",
        path="/v1/inspections",
        endpoint=inspect,
        role="operator",
        tag="inspections",
        example=INSPECTION,
        schemas=("Inspection", "Inspections"),
        errors=(404,),
        body=PHOTOGRAPH_BODY,
        body_limit="max_bytes",
    ),
)
