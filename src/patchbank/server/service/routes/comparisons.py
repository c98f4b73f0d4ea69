"""Routes of comparisons of two detectors of a product."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.service.answers import answer
from patchbank.server.service.examples import JOB
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.routes.jobs import JobId
from patchbank.server.service.routes.products import Name
from patchbank.server.service.routes.setups import REPORT_POLICY
from patchbank.server.service.service import service_of

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NewComparison(BaseModel):
    """Two detectors that the product had."""

    model_config = ConfigDict(extra="forbid")

    a: Sha256
    b: Sha256
    parts: int = Field(200, ge=1, le=2000, description="Last kept parts that both inspect.")


def compare(request: Request, name: Name, wanted: NewComparison) -> Response:
    """Compare two detectors on the last kept parts of the product, as a job."""
    service = service_of(request)
    service.catalog.product(name)
    pair, by = (wanted.a, wanted.b), caller_of(request).name
    return answer(service.preparation.comparisons.start(name, pair, wanted.parts, by).to_json())


def comparison(request: Request, name: Name, id: JobId) -> Response:  # name in the path
    """A comparison: verdicts of both for each part, those that differ first."""
    service = service_of(request)
    service.catalog.product(name)
    return answer(service.preparation.comparisons.find(name, id))


def comparison_report(request: Request, name: Name, id: JobId) -> Response:  # name in the path
    """The page of a comparison, as `patchbank compare --report` writes it."""
    service = service_of(request)
    service.catalog.product(name)
    content = service.preparation.comparisons.report(name, id)
    headers = {"Content-Security-Policy": REPORT_POLICY}
    return Response(content, headers=headers, media_type="text/html; charset=utf-8")


OWN = "/v1/products/{name}/comparisons"
SPECS = (
    Spec(
        method="POST",
        path=OWN,
        endpoint=compare,
        role="engineer",
        tag="products",
        example=JOB,
        errors=(404,),
    ),
    Spec(
        method="GET",
        path=f"{OWN}/{{id}}",
        endpoint=comparison,
        role="engineer",
        tag="products",
        errors=(404,),
    ),
    Spec(
        method="GET",
        path=f"{OWN}/{{id}}/report",
        endpoint=comparison_report,
        role="engineer",
        tag="products",
        media_types=("text/html",),
        errors=(404,),
    ),
)
