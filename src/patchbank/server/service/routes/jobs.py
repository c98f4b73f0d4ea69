"""Routes of jobs: long work that a page or a program has asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.service.answers import answer
from patchbank.server.service.examples import JOB
from patchbank.server.service.guarding import Spec
from patchbank.server.service.service import service_of

JobId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]


def jobs(request: Request) -> Response:
    """Jobs that run, wait or ran lately, the newest first."""
    return answer({"jobs": [one.to_json() for one in service_of(request).jobs.all()]})


def job(request: Request, id: JobId) -> Response:  # name in the path
    """One job: its progress, and its result once it is done."""
    return answer(service_of(request).jobs.find(id).to_json())


def cancel(request: Request, id: JobId) -> Response:  # name in the path
    """Let a job end at its next step; what is over stays as it is."""
    found = service_of(request).jobs.find(id)
    found.cancel()
    return answer(found.to_json())


SPECS = (
    Spec(
        method="GET",
        path="/v1/jobs",
        endpoint=jobs,
        role="engineer",
        tag="jobs",
        example={"jobs": [JOB]},
    ),
    Spec(
        method="GET",
        path="/v1/jobs/{id}",
        endpoint=job,
        role="engineer",
        tag="jobs",
        example=JOB,
        errors=(404,),
    ),
    Spec(
        method="DELETE",
        path="/v1/jobs/{id}",
        endpoint=cancel,
        role="engineer",
        tag="jobs",
        example=JOB,
        errors=(404,),
    ),
)
