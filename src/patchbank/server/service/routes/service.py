"""Routes about the service itself: health, readiness, status, figures, and its document."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from patchbank import __version__
from patchbank.server.records.entries import iso_utc
from patchbank.server.service.answers import answer
from patchbank.server.service.errors import ApiError
from patchbank.server.service.guarding import Spec
from patchbank.server.service.metrics import CONTENT_TYPE
from patchbank.server.service.service import service_of

RETRY_UNREADY_S = 5


def start_page(request: Request) -> Response:
    """Where to go on."""
    root = service_of(request).settings.root_path
    links = ("/v1/products", "/v1/inspections", "/v1/status", "/openapi.json", "/ready")
    return answer({"patchbank": str(__version__), "links": [f"{root}{one}" for one in links]})


async def health(request: Request) -> Response:
    """Whether the process answers at all; for a watchdog that starts it anew."""
    # Not in a thread: those may all be busy.
    return answer({"status": "alive"})


def ready(request: Request) -> Response:
    """Whether verdicts can be given and recorded now; 503 with the reason, a word, if not."""
    reasons = [*service_of(request).reasons()]
    if reasons:
        raise ApiError(
            503,
            f"service: expected it to be ready, got: {', '.join(reasons)}; /v1/status has more",
            code="not_ready",
            retry_s=RETRY_UNREADY_S,
        )
    return answer({"status": "ready"})


def status(request: Request) -> Response:
    """State of the service, for whoever maintains it."""
    service = service_of(request)
    reasons = service.reasons()
    return answer(
        {
            "version": str(__version__),
            "instance": service.records.instance,
            "started": iso_utc(service.started),
            "ready": not reasons,
            "reasons": [*reasons.values()],
            "last_commit": service.inference.trouble,
            "waiting": service.inference.n_waiting,
            "inspecting": service.inference.n_running,
            "unanswered": service.inference.n_accepted,
            "products": service.catalog.status(),
            "parts": {name: part.status() for name, part in service.parts.items()},
        }
    )


def metrics(request: Request) -> Response:
    """Figures as Prometheus reads them."""
    return Response(service_of(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def openapi(request: Request) -> Response:
    """The document of this interface."""
    document: dict[str, Any] = request.app.openapi()
    return answer(document)


def _get(path: str, endpoint: Any, role: Any, **more: Any) -> Spec:
    return Spec(method="GET", path=path, endpoint=endpoint, role=role, tag="service", **more)


SPECS = (
    _get("/", start_page, "public"),
    _get("/health", health, "public", example={"status": "alive"}),
    _get("/ready", ready, "public", example={"status": "ready"}),
    _get("/openapi.json", openapi, "public"),
    _get("/metrics", metrics, "operator", media_types=("text/plain",)),
    _get("/v1/status", status, "operator"),
)
