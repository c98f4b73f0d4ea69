"""Routes of products and their detectors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from patchbank.detector.changes import Thresholds
from patchbank.server.records.entries import Role, iso_utc
from patchbank.server.service.answers import answer
from patchbank.server.service.catalog import Product
from patchbank.server.service.change_requests import Said
from patchbank.server.service.examples import BINARY, CHANGED, DETECTOR, JOB, PRODUCT
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.lessons import UPDATE_BODY, lessons_of
from patchbank.server.service.previewing import begun
from patchbank.server.service.routes.records import moment
from patchbank.server.service.service import Service, service_of

Name = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Reason = Annotated[str, Query(min_length=1, max_length=2000, description="Why, for the audit.")]


class Reasoned(BaseModel):
    """A change of a detector."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=2000, description="Why, for the audit.")


class Tuning(Reasoned):
    """Another false-alarm rate, or thresholds by hand."""

    false_alarm_rate: float | None = Field(None, gt=0, lt=1, strict=True)
    threshold: float | None = Field(None, allow_inf_nan=False, strict=True)
    pixel_threshold: float | None = Field(None, allow_inf_nan=False, strict=True)


class Undo(Reasoned):
    """The number of an entry in the history, whose state is restored."""

    to: int | None = Field(None, ge=0)


class Activation(Reasoned):
    """The digest of a detector that the product had."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def products(request: Request) -> Response:
    """All products."""
    service = service_of(request)
    return answer({"products": [_json(service, one) for one in service.catalog.products]})


def product(request: Request, name: Name) -> Response:
    """One product."""
    service = service_of(request)
    return answer(_json(service, service.catalog.product(name)))


def detectors(request: Request, name: Name) -> Response:
    """All detectors that a product had, the present one first."""
    service = service_of(request)
    service.catalog.product(name)
    found = [
        {
            "product": one.product,
            "sha256": one.sha256,
            "time": iso_utc(one.time),
            "action": one.action,
            "by": one.by,
            "reason": one.reason,
            "threshold": one.threshold,
            "false_alarm_rate": one.false_alarm_rate,
            "is_available": service.catalog.versions.has(name, one.sha256),
        }
        for one in service.records.detectors(name)
    ]
    return answer({"detectors": found})


def history(request: Request, name: Name) -> Response:
    """The history in the detector file, as `patchbank history --json` has it."""
    service = service_of(request)
    lineage = service.catalog.detector(service.catalog.product(name)).lineage
    empty: dict[str, Any] = {"position": None, "head": None, "entries": []}
    return answer({"product": name, **(lineage.to_json() if lineage else empty)})


def tune(request: Request, name: Name, tuning: Tuning) -> Response:
    """Change the thresholds: by another false-alarm rate, or by hand."""
    thresholds = Thresholds(
        false_alarm_rate=tuning.false_alarm_rate,
        threshold=tuning.threshold,
        pixel_threshold=tuning.pixel_threshold,
    )
    said = Said(caller_of(request), tuning.reason)
    return answer(service_of(request).changes.tune(name, thresholds, said))


def undo(request: Request, name: Name, wanted: Undo) -> Response:
    """Restore an earlier state of the history in the detector file."""
    said = Said(caller_of(request), wanted.reason)
    return answer(service_of(request).changes.undo(name, wanted.to, said))


def activate(request: Request, name: Name, wanted: Activation) -> Response:
    """Use a detector again that the product had, whatever led from it to the present one."""
    service = service_of(request)
    service.catalog.product(name)
    said = Said(caller_of(request), wanted.reason)
    return answer(service.changes.activate(name, wanted.sha256, said))


async def update(request: Request, name: Name) -> Response:
    """Let the detector learn: further good photographs, and what is normal after a false alarm.

    Photographs are those of inspections that are kept, by their numbers, or parts `good` of a form
    with the rest as JSON in its part `request`.  The guard of the library refuses an update that
    loses a defect: with 409 and the names in `lost`.  If `must_find` is not given, these are all
    kept photographs that were reviewed as confirmed defects, the latest 200.
    """
    service = service_of(request)
    service.catalog.product(name)
    lessons, reason = await lessons_of(request, service, name)
    said = Said(caller_of(request), reason)
    return answer(await run_in_threadpool(service.changes.update, name, lessons, said))


async def preview(request: Request, name: Name) -> Response:
    """Begin a job that says what an update would change, and changes nothing.

    The body is that of the update; its `reason` may be left out.  The result of the job has the
    digest of the detector that it was made of (give it with the update as `detector_sha256`), the
    lines of the update, whether the guard would refuse it, and each of the last 500 parts whose
    verdict would be another one.
    """
    service = service_of(request)
    service.catalog.product(name)
    lessons, reason = await lessons_of(request, service, name, "preview")
    said = Said(caller_of(request), reason)
    return answer(begun(service, name, lessons, said).to_json(), 201)


async def upload(request: Request, name: Name, reason: Reason) -> Response:
    """Use a detector file from now on; a new product needs the role admin."""
    service = service_of(request)
    content = await request.body()
    said = Said(caller_of(request), reason)
    return answer(await run_in_threadpool(service.changes.upload, name, content, said))


def _json(service: Service, product: Product) -> dict[str, Any]:
    own = f"{service.settings.root_path}/v1/products/{product.name}"
    return {
        "product": product.name,
        "detector_sha256": product.sha256,
        "threshold": product.threshold,
        "false_alarm_rate": product.false_alarm_rate,
        "since": moment(product.since),
        "file_bytes": product.n_bytes,
        "in_memory": service.catalog.is_open(product),
        "error": product.error,
        "links": {"self": own, "detectors": f"{own}/detectors", "history": f"{own}/history"},
    }


def _spec(method: Any, path: str, endpoint: Any, **more: Any) -> Spec:
    role: Role = "operator" if method == "GET" else "engineer"
    return Spec(
        method=method,
        path=f"/v1/products{path}",
        endpoint=endpoint,
        role=role,
        tag="products",
        **more,
    )


OF_ONE, CHANGING = (404,), (404, 409)
SPECS = (
    _spec("GET", "", products, example={"products": [PRODUCT]}),
    _spec("GET", "/{name}", product, example=PRODUCT, errors=OF_ONE),
    _spec("GET", "/{name}/detectors", detectors, example={"detectors": [DETECTOR]}, errors=OF_ONE),
    _spec("GET", "/{name}/history", history, errors=OF_ONE),
    _spec("POST", "/{name}/tune", tune, example=CHANGED, errors=CHANGING),
    _spec("POST", "/{name}/undo", undo, example=CHANGED, errors=CHANGING),
    _spec("POST", "/{name}/activate", activate, example=CHANGED, errors=CHANGING),
    _spec(
        "POST",
        "/{name}/update",
        update,
        example=CHANGED,
        errors=(*CHANGING, 410),
        body=UPDATE_BODY,
        body_limit="max_bytes",
    ),
    _spec(
        "POST",
        "/{name}/update/preview",
        preview,
        example=JOB,
        errors=(404, 410),
        body=UPDATE_BODY,
        body_limit="max_bytes",
        creates=True,
    ),
    _spec(
        "PUT",
        "/{name}/detector",
        upload,
        example=CHANGED,
        errors=(409,),
        body={"application/octet-stream": BINARY},
        body_limit="max_detector_bytes",
    ),
)
