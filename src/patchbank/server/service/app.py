"""The application: all routes behind the checks, one shape of errors, what surrounds requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from patchbank import __version__
from patchbank.errors import PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.server.service import document
from patchbank.server.service.answers import api_error, error_answer
from patchbank.server.service.errors import ApiError
from patchbank.server.service.guarding import SMALL_BODY, SecuredRoute, Spec
from patchbank.server.service.routes import (
    admin,
    comparisons,
    ends,
    inspections,
    jobs,
    products,
    records,
    reviews,
    service,
    setups,
    statistics,
    thresholds,
    trials,
)
from patchbank.server.service.service import Service

SPECS: tuple[Spec, ...] = (
    *service.SPECS,
    *inspections.SPECS,
    *records.SPECS,
    *reviews.SPECS,
    *products.SPECS,
    *statistics.SPECS,
    *admin.SPECS,
    *ends.SPECS,
    *jobs.SPECS,
    *trials.SPECS,
    *thresholds.SPECS,
    *setups.SPECS,
    *comparisons.SPECS,
)
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # With "no-referrer", browsers would send forms of these pages with the Origin of nobody.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
NO_STORE = (b"cache-control", b"no-store")
QUIET = ("/health", "/ready", "/metrics")
"""Routes that watchdogs ask all the time, which are logged only where they fail."""
GONE = 499
"""Status in log and figures of a sender that went away in the middle of its request."""
RETRY_STOPPING_S = 5
OTHER = "other"
"""Name of all paths without a route, in the figures."""


def make_app(parts: Service, *, specs: Sequence[Spec] = SPECS) -> FastAPI:
    """The application of a service.

    Args:
        parts: of the service.
        specs: of the routes.
    """
    app = FastAPI(
        title="Patchbank",
        version=str(__version__),
        description=document.DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = parts
    for spec in specs:
        limit = getattr(parts.settings, spec.body_limit) if spec.body_limit else SMALL_BODY
        app.router.routes.append(_route(spec, limit))
    app.add_exception_handler(HTTPException, _on_error)
    app.add_exception_handler(RequestValidationError, _on_error)
    app.add_exception_handler(PatchbankError, _on_error)
    app.add_middleware(Surroundings, parts=parts)
    document.describe(app, parts.settings.root_path)
    return app


def _route(spec: Spec, largest_body: int) -> SecuredRoute:
    return SecuredRoute(
        spec,
        largest_body=largest_body,
        summary=(spec.endpoint.__doc__ or "").partition("\n")[0].rstrip("."),
        tags=[spec.tag],
        name=spec.endpoint.__name__,
        operation_id=spec.endpoint.__name__,
        responses=document.responses(spec),
        openapi_extra=document.extra(spec),
        response_class=Response,
    )


async def _on_error(request: Request, error: Exception) -> Response:
    return error_answer(api_error(error))


class Surroundings:
    """Headers, figures and the log of each request, and an answer to what nobody foresaw."""

    def __init__(self, app: ASGIApp, parts: Service) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["root_path"] = self._parts.settings.root_path  # a proxy may leave it in the path
        begin, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _secure(message)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:  # there is nobody to answer
            status = GONE
        except asyncio.CancelledError:  # the time to stop is over
            if not status:
                await error_answer(_stopping())(scope, receive, sent)
        except Exception as error:
            LOGGER.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            await error_answer(api_error(error))(scope, receive, sent)
        finally:
            self._note(scope, status, time.perf_counter() - begin)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", OTHER)
        self._parts.metrics.request(scope["method"], route, status, seconds)
        caller = scope.get("state", {}).get("caller")
        facts = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(1000 * seconds, 1),
            "by": getattr(caller, "name", None),
            "address": scope["client"][0] if scope.get("client") else None,
        }
        if status >= 400 or route not in QUIET:
            LOGGER.info("%(method)s %(path)s %(status)d %(ms)s ms", facts, extra={"request": facts})


def _stopping() -> ApiError:
    return ApiError(
        503,
        "service: expected one that runs, got one that stops; send it again to the next, with the "
        "same Idempotency-Key",
        code="not_ready",
        retry_s=RETRY_STOPPING_S,
    )


def _secure(message: MutableMapping[str, Any]) -> None:
    headers = list(message.get("headers", []))
    given = {name.lower() for name, _ in headers}
    added = [one for one in (NO_STORE, *SECURITY_HEADERS) if one[0] not in given]
    message["headers"] = [*headers, *added]
