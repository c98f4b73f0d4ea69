"""Requests to update a detector: numbers of inspections, or photographs as parts of a form."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request

from patchbank.core.spatial.box import Box
from patchbank.images.source import ImageSource, image_source
from patchbank.server.records.entries import Filter, StoredInspection
from patchbank.server.service.change_requests import Lessons
from patchbank.server.service.errors import ApiError
from patchbank.server.service.receiving import (
    MOST_AT_ONCE,
    MULTIPART,
    file_in,
    form_of,
    json_of,
    named,
    shown,
)
from patchbank.server.service.request_facts import media_type_of
from patchbank.server.service.service import Service
from patchbank.server.service.validation import words_of

RECENT = timedelta(days=7)
"""Time in which false alarms are offered to be taught."""
MOST_SEARCHED, MOST_OFFERED = 200, 50
"""False alarms among which those that are not learned are sought, and most that are offered."""
GOOD, REQUEST = "good", "request"
KEY, CONFIRMED = "inspection", "confirmed"
LARGEST = 2**63 - 1
"""Largest number that a database gives an inspection."""
EXPECTED = f'the number of an inspection, as 7 or {{"{KEY}": 7}}'
MOST_CONFIRMED = 200
"""Confirmed defects that an update has to find where it does not say which."""


class NormalPart(BaseModel):
    """An inspection whose photograph is normal, or some of its regions."""

    model_config = ConfigDict(extra="forbid")

    inspection: int = Field(ge=1, le=LARGEST)
    regions: list[int] = Field(
        [], max_length=1000, description="Numbers of regions, the worst one being 1; none for all."
    )


def _number(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """The number of an inspection, which is given alone or in an object."""
    is_object = isinstance(given, dict) and given.keys() == {KEY}
    return _checked(given[KEY] if is_object else given, handler)


def _part(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A part of which something is normal: an object, or the number of its inspection alone."""
    if isinstance(given, dict) and KEY in given:
        return handler(given)
    return _checked(given, lambda number: handler({KEY: number}))


def _checked(number: Any, handler: Callable[[Any], Any]) -> Any:
    try:
        if isinstance(number, bool):  # which Python takes for 0 or 1
            raise ValueError(EXPECTED)
        return handler(number)
    except ValidationError:
        raise ValueError(EXPECTED) from None


def _unless_confirmed(given: Any) -> Any:
    if given == CONFIRMED:
        return None
    if not isinstance(given, list):
        raise ValueError(f"a list of inspections, or {CONFIRMED!r}")
    return given


_NUMBER = {"type": "integer", "minimum": 1, "maximum": LARGEST}
_NUMBER_OR_OBJECT = {
    "anyOf": [
        _NUMBER,
        {
            "type": "object",
            "required": [KEY],
            "properties": {KEY: _NUMBER},
            "additionalProperties": False,
        },
    ]
}
InspectionNumber = Annotated[
    int,
    Field(ge=1, le=LARGEST),
    WrapValidator(_number),
    WithJsonSchema(_NUMBER_OR_OBJECT),
]
PartThatIsNormal = Annotated[
    NormalPart,
    WrapValidator(_part),
    WithJsonSchema({"anyOf": [_NUMBER, NormalPart.model_json_schema()]}),
]
Defects = Annotated[
    list[InspectionNumber] | None,
    BeforeValidator(_unless_confirmed),
    WithJsonSchema(
        {"anyOf": [{"type": "array", "items": _NUMBER_OR_OBJECT}, {"const": CONFIRMED}]}
    ),
]


class UpdateRequest(BaseModel):
    """An update: photographs that are learned, and defects that must not be lost."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=2000, description="Why, for history and audit.")
    good: list[InspectionNumber] = Field(
        [], max_length=MOST_AT_ONCE, description="Inspections of good parts."
    )
    normal: list[PartThatIsNormal] = Field(
        [], max_length=MOST_AT_ONCE, description="Inspections that were no defects."
    )
    must_find: Defects = Field(
        None,
        description="Inspections of defects; `confirmed` for those reviewed as such.",
        json_schema_extra={"default": CONFIRMED},
    )
    remember: list[InspectionNumber] = Field(
        [], max_length=MOST_AT_ONCE, description="Inspections of defects that the file remembers."
    )
    limit_rows: int | None = Field(None, ge=2)
    force: bool = False
    detector_sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="The only detector that may learn this, such as that of a preview.",
    )


UPDATE_BODY: dict[str, Any] = {
    "application/json": {
        "schema": {"$ref": "#/components/schemas/UpdateRequest"},
        "example": {"normal": [{"inspection": 1204}], "reason": "a water drop is no defect"},
    },
    MULTIPART: {
        "schema": {
            "type": "object",
            "required": [REQUEST],
            "properties": {
                GOOD: {"type": "array", "items": {"type": "string", "format": "binary"}},
                REQUEST: {"type": "string", "description": "JSON as above."},
            },
        }
    },
}


async def lessons_of(
    request: Request, service: Service, product: str, reason: str | None = None
) -> tuple[Lessons, str]:
    """The lessons of a request to a product, and the reason.

    Args:
        request: with the body.
        service: that it came to.
        product: that learns.
        reason: where none is given; None where one has to be.

    Raises:
        ApiError: it is no such request, or a photograph is not kept.
    """
    sent: list[ImageSource] = []
    if media_type_of(request) == MULTIPART:
        content, sent = await _form(request)
    else:
        content = await json_of(request)
    if reason is not None and isinstance(content, dict):
        content = {"reason": reason, **content}
    try:
        wanted = UpdateRequest.model_validate(content)
    except ValidationError as error:
        raise ApiError(422, words_of(error.errors())) from None
    return await run_in_threadpool(_lessons, service, product, wanted, sent), wanted.reason


async def _form(request: Request) -> tuple[dict[str, Any], list[ImageSource]]:
    content, sent = dict[str, Any](), list[ImageSource]()
    for name, part in await form_of(request, MOST_AT_ONCE):
        if name == GOOD:
            file = file_in(name, part)
            sent.append(image_source(await file.read(), named(file.filename or "") or GOOD))
        elif name == REQUEST:
            text = await part.read() if isinstance(part, UploadFile) else part
            try:
                content = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ApiError(400, f"{REQUEST}: expected JSON, got: {error}") from None
        else:
            raise ApiError(422, f"part: expected {GOOD} or {REQUEST}, got {shown(name)}")
    return content, sent


def _lessons(
    service: Service, product: str, wanted: UpdateRequest, sent: list[ImageSource]
) -> Lessons:
    from patchbank.training.update.request import NormalPart as LibraryPart

    def found(number: int) -> StoredInspection:
        one = service.records.inspection(number)
        if one is None or one.product != product:
            raise ApiError(422, f"inspection: expected one of {product}, got {number}")
        return one

    def sources(numbers: Sequence[int]) -> list[ImageSource]:
        return [_source(service, found(number)) for number in numbers]

    normal = []
    for part in wanted.normal:
        one = found(part.inspection)
        if one.verdict == "unread":
            raise ApiError(422, f"inspection: expected one with a verdict, got {one.id}")
        width, height = one.result["size"]
        chosen, others = _boxes(one, part.regions)
        normal.append(LibraryPart(_source(service, one), (width, height), chosen, others))
    must_find = wanted.must_find
    defects = _confirmed(service, product) if must_find is None else sources(must_find)
    return Lessons(
        good=[*sent, *sources(wanted.good)],
        normal=normal,
        taught=[part.inspection for part in wanted.normal],
        must_find=defects,
        remember=sources(wanted.remember),
        limit_rows=wanted.limit_rows,
        force=wanted.force,
        expects=wanted.detector_sha256,
    )


def _source(service: Service, one: StoredInspection) -> ImageSource:
    return image_source(service.made.photograph(one), _name(one))


def _name(one: StoredInspection) -> str:
    """The name of a photograph in an update, which begins with the number of its inspection."""
    return f"{one.id}-{one.result['image']}"


def unlearned(service: Service, product: str | None) -> list[StoredInspection]:
    """Late false alarms that the detectors in use have not learned, the newest first.

    A detector has learned one if it is among its photographs; after an undo it is not.  One that
    passes since the detector has learned another is among them: only an inspection would show it.

    Args:
        service: that has recorded them.
        product: whose they are; all products if None.
    """
    since = datetime.now(timezone.utc) - RECENT
    wanted = Filter(product=product, verdict="anomalous", review="false_alarm", since=since)
    names: dict[str, frozenset[str]] = {}
    found: list[StoredInspection] = []
    for one in service.records.inspections(wanted, limit=MOST_SEARCHED).inspections:
        if one.product not in names:
            names[one.product] = _learned_names(service, one.product)
        is_kept = one.photograph is not None and service.pictures.has(one.photograph)
        if is_kept and _name(one) not in names[one.product]:
            found.append(one)
    return found[:MOST_OFFERED]


def _learned_names(service: Service, product: str) -> frozenset[str]:
    """Names of the photographs that the detector of a product has learned."""
    return frozenset(service.catalog.detector(service.catalog.product(product)).fitted_on)


def numbered(name: str) -> int | None:
    """The number of an inspection by the name of its photograph in an update; None of another one.

    >>> numbered("1204-17.png"), numbered("17.png")
    (1204, None)
    """
    number, dash, _ = name.partition("-")
    return int(number) if dash and number.isascii() and number.isdecimal() else None


def _confirmed(service: Service, product: str) -> list[ImageSource]:
    """The latest confirmed defects whose photographs are still there."""
    wanted = Filter(product=product, review="confirmed_defect")
    page = service.records.inspections(wanted, limit=MOST_CONFIRMED)
    found = []
    for one in page.inspections:
        content = None if one.photograph is None else service.pictures.read(one.photograph)
        if content is not None and one.verdict != "unread":
            found.append(image_source(content, _name(one)))
    return found


def _boxes(
    one: StoredInspection, numbers: Sequence[int]
) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """Boxes of the regions that are normal, and of the others; none where all are."""
    regions = one.result["regions"]
    for number in numbers:
        if not 1 <= number <= len(regions):
            raise ApiError(
                422,
                f"regions: expected numbers from 1 to {len(regions)} of inspection {one.id}, "
                f"got {number}",
            )
    chosen = [each for at, each in enumerate(regions, 1) if at in numbers]
    others = [each for at, each in enumerate(regions, 1) if at not in numbers]
    if not chosen or not others:
        return (), ()
    return tuple(map(_box, chosen)), tuple(map(_box, others))


def _box(region: dict[str, int]) -> Box:
    return Box(region["top"], region["left"], region["height"], region["width"])
