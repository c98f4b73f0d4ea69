"""Routes of set-ups: photographs are sent, checked and fitted, and a product comes into use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.intake import UnknownProduct
from patchbank.server.service.answers import answer
from patchbank.server.service.change_requests import Said
from patchbank.server.service.errors import ApiError
from patchbank.server.service.examples import BINARY, CHANGED, JOB, SETUP
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.receiving import LONGEST_NAME, PART, file_in, form_of, shown
from patchbank.server.service.routes.products import Reasoned
from patchbank.server.service.service import Service, service_of
from patchbank.server.service.setups.setup import Setup
from patchbank.server.service.versions import check_name

MOST_AT_ONCE = 500
"""Photographs of one request."""
MOST_LISTED = 500
PATH_OF_PAGE = "new"
"""Name in the path of the page on which a product is set up."""
A_WHILE = {"Cache-Control": "private, max-age=300"}
"""Header of pictures whose name another photograph may have later."""
REPORT_POLICY = (
    "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Policy of a page that the library has written: it has its style and pictures within, runs no
script, and belongs to no origin, so that it could ask nothing of the service."""
SetupId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
PhotographName = Annotated[str, Path(min_length=1, max_length=LONGEST_NAME)]


class NewSetup(BaseModel):
    """A set-up for a product."""

    model_config = ConfigDict(extra="forbid")

    product: str = Field(min_length=1, max_length=100)


class LeftOut(BaseModel):
    """Photographs that are left out, or learned again."""

    model_config = ConfigDict(extra="forbid")

    names: list[Annotated[str, Field(max_length=LONGEST_NAME)]] = Field(
        min_length=1, max_length=20_000
    )
    left_out: bool = True


class FolderCopy(BaseModel):
    """A folder below that of `--allow-root`."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(max_length=1000)


class FitRequest(BaseModel):
    """Settings of a fit."""

    model_config = ConfigDict(extra="forbid")

    preset: Literal["fast", "balanced", "accurate", "auto"] = "balanced"
    false_alarm_rate: float = Field(0.01, gt=0, lt=1)


def setups(
    request: Request, product: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    """Set-ups, the one that was changed last first."""
    service = service_of(request)
    found = service.preparation.setups.all(product)
    return answer({"setups": [setup_json(service, one) for one in found]})


def begin(request: Request, new: NewSetup) -> Response:
    """Begin a set-up; for a new product it needs the role admin."""
    service, caller = service_of(request), caller_of(request)
    check_name(new.product, "product")
    if new.product == PATH_OF_PAGE:
        raise ApiError(
            422, f"product: expected another name than that of a page, got {new.product}"
        )
    check_may(request, new.product)
    setup = service.preparation.setups.begin(new.product, caller.name)
    return answer(setup_json(service, setup), 201)


def setup(request: Request, id: SetupId) -> Response:  # name in the path
    """One set-up: numbers of its photographs, what is under way, check and fit."""
    service = service_of(request)
    return answer(setup_json(service, found_setup(request, id)))


def discard(request: Request, id: SetupId) -> Response:  # name in the path
    """Remove a set-up with its photographs; a product that it was activated for stays."""
    service = service_of(request)
    service.preparation.setups.discard(found_setup(request, id))
    return answer({"id": id, "discarded": True})


def photographs(
    request: Request,
    id: SetupId,  # name in the path
    after: Annotated[str, Query(max_length=LONGEST_NAME)] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
) -> Response:
    """Photographs of a set-up by their names, in pages that begin after a name."""
    found = found_setup(request, id)
    left_out = set(found.facts.left_out)
    listed = service_of(request).preparation.setups.photographs(found)
    items = [
        {"name": one.name, "bytes": one.n_bytes, "left_out": one.name in left_out}
        for one in listed
        if one.name > after
    ]
    return answer({"photographs": items[:limit], "is_cut": len(items) > limit})


async def add(request: Request, id: SetupId) -> Response:  # name in the path
    """Add photographs: parts `image` of a form, each kept as it is under a name that is no path."""
    found = found_setup(request, id)
    given = await _photographs(request, MOST_AT_ONCE)
    kept = service_of(request).preparation.setups.add
    return answer(await run_in_threadpool(kept, found, given))


def copy(request: Request, id: SetupId, wanted: FolderCopy) -> Response:  # name in the path
    """Copy the photographs of a folder of the server, as a job; only below `--allow-root`."""
    found = found_setup(request, id)
    work = service_of(request).preparation.work
    return answer(work.copy(found, wanted.folder, caller_of(request).name).to_json())


def leave_out(request: Request, id: SetupId, wanted: LeftOut) -> Response:  # name in the path
    """Leave photographs out of the fit, or learn them again."""
    service, found = service_of(request), found_setup(request, id)
    service.preparation.setups.leave_out(found, wanted.names, is_left_out=wanted.left_out)
    return answer(setup_json(service, found))


def remove(request: Request, id: SetupId, name: PhotographName) -> Response:  # name in the path
    """Remove a photograph of a set-up for good."""
    service, found = service_of(request), found_setup(request, id)
    service.preparation.setups.remove(found, name)
    return answer(setup_json(service, found))


def picture(
    request: Request,
    id: SetupId,  # name in the path
    name: PhotographName,
    side: Literal["small", "large"],
) -> Response:
    """A photograph of a set-up as JPEG."""
    service, found = service_of(request), found_setup(request, id)
    content = service.preparation.setups.picture(found, name, side)
    return Response(content, headers=A_WHILE, media_type="image/jpeg")


def check(request: Request, id: SetupId) -> Response:  # name in the path
    """Check the photographs, as a job: copies, odd files and probable defects among them."""
    found = found_setup(request, id)
    work = service_of(request).preparation.work
    return answer(work.check(found, caller_of(request).name).to_json())


def fit(request: Request, id: SetupId, wanted: FitRequest) -> Response:  # name in the path
    """Fit a detector on the photographs that are not left out, as a job."""
    service, found = service_of(request), found_setup(request, id)
    asked = wanted.preset, wanted.false_alarm_rate
    in_use = service.catalog.file_in_use(found.facts.product)
    job = service.preparation.work.fit(found, asked, caller_of(request).name, in_use)
    return answer(job.to_json())


def odd(
    request: Request,
    id: SetupId,  # name in the path
    number: Annotated[int, Path(ge=0, le=100)],
) -> Response:
    """One of the oddest photographs of the fit, from 0, with its marks, as JPEG."""
    path = found_setup(request, id).fit / f"odd-{number}.jpg"
    if not path.is_file():
        raise ApiError(404, "number: expected that of an odd photograph of the fit, got another")
    return Response(path.read_bytes(), media_type="image/jpeg")


def fit_report(request: Request, id: SetupId) -> Response:  # name in the path
    """The page of the fit, as `patchbank fit --report` writes it."""
    path = found_setup(request, id).fit / "index.html"
    if not path.is_file():
        raise ApiError(404, "fit: expected one that is done, got none")
    headers = {"Content-Security-Policy": REPORT_POLICY}
    return Response(path.read_bytes(), headers=headers, media_type="text/html; charset=utf-8")


async def try_out(request: Request, id: SetupId) -> Response:  # name in the path
    """Inspect one photograph, part `image` of a form, by the fitted detector; nothing is recorded.

    The score is a share of the threshold; `tried` has the photograph with its marks, by its key,
    until the next one.
    """
    found = found_setup(request, id)
    (photograph,) = await _photographs(request, 1)
    work, by = service_of(request).preparation.work, caller_of(request).name
    return answer(await run_in_threadpool(work.inspect, found, photograph, by))


def tried(
    request: Request,
    id: SetupId,  # name in the path
    key: SetupId,
) -> Response:
    """The photograph that was tried last with its marks, as JPEG."""
    path = found_setup(request, id).tried / f"{key}.jpg"
    if not path.is_file():
        raise ApiError(404, "photograph: expected one that was tried, got none")
    return Response(path.read_bytes(), media_type="image/jpeg")


async def _photographs(request: Request, most: int) -> list[tuple[str, bytes]]:
    """Name and bytes of each photograph of a form.

    Raises:
        ApiError: it has none, too many, or something else.
    """
    given: list[tuple[str, bytes]] = []
    for name, part in await form_of(request, most):
        if name != PART:
            raise ApiError(422, f"part: expected photographs as {PART!r}, got {shown(name)}")
        photograph = file_in(name, part)
        given.append((photograph.filename or "", await photograph.read()))
    if not given:
        raise ApiError(422, f"body: expected a photograph as the part {PART!r}, got none")
    return given


def activate(request: Request, id: SetupId, wanted: Reasoned) -> Response:  # name in the path
    """Use the fitted detector from now on, as an upload of its file does."""
    service, found = service_of(request), found_setup(request, id)
    if service.preparation.setups.job(found) is not None or not found.detector.is_file():
        raise ApiError(409, "fit: expected one that is done, got none; fit first")
    said = Said(caller_of(request), wanted.reason)
    changed = service.changes.upload(found.facts.product, found.detector.read_bytes(), said)
    service.preparation.setups.note_activated(found)
    return answer(changed)


def check_may(request: Request, product: str) -> None:
    """Check that a caller may set up a product; a new one needs the role admin.

    Raises:
        ApiError: 403 where he may not.
    """
    caller = caller_of(request)
    try:
        service_of(request).catalog.product(product)
    except UnknownProduct:
        if not caller.may("admin"):
            raise ApiError(
                403,
                "token: expected one with the role admin for a new product, got "
                f"{caller.name!r} with the role {caller.role}",
            ) from None


def found_setup(request: Request, setup_id: str) -> Setup:
    """The set-up of an id, for a caller who may.

    Raises:
        ApiError: 404 where there is none, 403 where he may not.
    """
    found = service_of(request).preparation.setups.find(setup_id)
    check_may(request, found.facts.product)
    return found


def setup_json(service: Service, setup: Setup) -> dict[str, Any]:
    """The facts of a set-up."""
    setups, facts = service.preparation.setups, setup.facts
    listed, left_out = setups.photographs(setup), set(facts.left_out)
    job = setups.job(setup)
    is_dropped = job is None and facts.task is not None  # it was cancelled while it waited
    own = f"{service.settings.root_path}/v1/setups/{setup.id}"
    return {
        "id": setup.id,
        "product": facts.product,
        "by": facts.by,
        "begun": facts.begun,
        "changed": facts.changed,
        "photographs": len(listed),
        "bytes": sum(one.n_bytes for one in listed),
        "left_out": sum(one.name in left_out for one in listed),
        "task": facts.task if job is not None else None,
        "job": None if job is None else job.id,
        "ended": "cancelled" if is_dropped else facts.ended,
        "error": facts.error,
        "is_checked": setup.checked is not None,
        "is_fitted": setup.detector.is_file(),
        "activated": facts.activated,
        "links": {"self": own, "photographs": f"{own}/photographs", "report": f"{own}/fit/report"},
    }


def _spec(method: Any, path: str, endpoint: Any, **more: Any) -> Spec:
    return Spec(
        method=method,
        path=f"/v1/setups{path}",
        endpoint=endpoint,
        role="engineer",
        tag="set-ups",
        **more,
    )


OF_ONE, CHANGING = (404,), (404, 409)
FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {"image": {"type": "array", "items": BINARY["schema"]}},
            "additionalProperties": False,
        }
    }
}
ADDED = {
    "added": ["17.png"],
    "known": [],
    "refused": [{"name": "notes.txt", "error": "notes.txt: expected a PNG, ... image, got text"}],
}
LISTED = {
    "photographs": [{"name": "17.png", "bytes": 84211, "left_out": False}],
    "is_cut": False,
}
SPECS = (
    _spec("GET", "", setups, example={"setups": [SETUP]}),
    _spec("POST", "", begin, example=SETUP, errors=(409,), creates=True),
    _spec("GET", "/{id}", setup, example=SETUP, errors=OF_ONE),
    _spec(
        "DELETE", "/{id}", discard, example={"id": SETUP["id"], "discarded": True}, errors=OF_ONE
    ),
    _spec("GET", "/{id}/photographs", photographs, example=LISTED, errors=OF_ONE),
    _spec(
        "POST",
        "/{id}/photographs",
        add,
        example=ADDED,
        errors=CHANGING,
        body=FORM,
        body_limit="max_bytes",
    ),
    _spec("POST", "/{id}/copy", copy, example=JOB, errors=CHANGING),
    _spec("POST", "/{id}/left-out", leave_out, example=SETUP, errors=CHANGING),
    _spec("DELETE", "/{id}/photographs/{name}", remove, example=SETUP, errors=CHANGING),
    _spec(
        "GET",
        "/{id}/photographs/{name}/{side}",
        picture,
        media_types=("image/jpeg",),
        errors=OF_ONE,
    ),
    _spec("POST", "/{id}/check", check, example=JOB, errors=CHANGING),
    _spec("POST", "/{id}/fit", fit, example=JOB, errors=CHANGING),
    _spec("GET", "/{id}/fit/odd/{number}", odd, media_types=("image/jpeg",), errors=OF_ONE),
    _spec("GET", "/{id}/fit/report", fit_report, media_types=("text/html",), errors=OF_ONE),
    _spec(
        "POST",
        "/{id}/try",
        try_out,
        example={"error": None, "anomalous": True, "share": 1.7, "key": "5a1c0a9be2d74c55"},
        errors=CHANGING,
        body=FORM,
        body_limit="max_bytes",
    ),
    _spec("GET", "/{id}/tried/{key}", tried, media_types=("image/jpeg",), errors=OF_ONE),
    _spec("POST", "/{id}/activate", activate, example=CHANGED, errors=CHANGING),
)
