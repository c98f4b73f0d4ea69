"""Routes of cameras and channels: triggers, and messages that receivers have refused."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.outbox.delivery import Outbox
from patchbank.server.service.answers import answer, in_time
from patchbank.server.service.errors import ApiError
from patchbank.server.service.examples import INSPECTION
from patchbank.server.service.guarding import Spec
from patchbank.server.service.receiving import fields_of
from patchbank.server.service.routes.inspections import Key, PartQuery, recorded
from patchbank.server.service.service import service_of
from patchbank.server.sources.camera import CameraError

RETRY_PICTURE_S = 1
Name = Annotated[str, Path(max_length=100)]


async def trigger(
    request: Request,
    name: Name,
    query: Annotated[PartQuery, Query()],
    idempotency_key: Key = None,
) -> Response:
    """Take a picture with a camera, and inspect it.

    A camera without a picture is the error 503 `no_picture`; under an Idempotency-Key that is on
    record, or whose picture is under way, none is made, and that inspection is answered.
    """
    service = service_of(request)
    camera = service.cameras.get(name)
    if camera is None:
        known = ", ".join(service.cameras) or "none"
        raise ApiError(404, f"camera: expected one of {known}, got another one")
    fields = fields_of(query.model_dump())
    future, is_first = await run_in_threadpool(camera.trigger_once, fields, idempotency_key or None)
    waited, most_s = asyncio.shield(asyncio.wrap_future(future)), service.settings.timeout_s
    late = f"camera: expected a verdict within {most_s:g} s, got none yet; it will be recorded"
    try:
        found = await in_time(waited, most_s, late)
    except CameraError as error:
        raise ApiError(503, str(error), code="no_picture", retry_s=RETRY_PICTURE_S) from None
    return recorded(service, found.inspection, is_new=is_first and found.is_new)


def retry(request: Request, channel: Name) -> Response:
    """Send the messages of a channel again that its receiver has refused."""
    service = service_of(request)
    outbox: Any = service.parts["outbox"]
    assert isinstance(outbox, Outbox)
    if channel not in outbox.channels:
        known = ", ".join(outbox.channels) or "none"
        raise ApiError(404, f"channel: expected one of {known}, got another one")
    messages = service.records.send_refused_again(channel)
    outbox.notify()
    return answer({"channel": channel, "messages": messages})


SPECS = (
    Spec(
        method="POST",
        path="/v1/cameras/{name}/trigger",
        endpoint=trigger,
        role="operator",
        tag="cameras",
        example=INSPECTION,
        schemas=("Inspection",),
        errors=(404,),
    ),
    Spec(
        method="POST",
        path="/v1/outbox/{channel}/retry",
        endpoint=retry,
        role="engineer",
        tag="outbox",
        example={"channel": "mqtt", "messages": 3},
        errors=(404,),
    ),
)
