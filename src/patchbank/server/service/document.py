"""The OpenAPI document of the interface: answers, errors and examples of each route."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from patchbank import __version__
from patchbank.server.service.errors import CODES
from patchbank.server.service.examples import BINARY, ERROR, INSPECTION
from patchbank.server.service.guarding import SecuredRoute, Spec

DESCRIPTION = """Finds defects in photographs of parts; every verdict is on record first.

Every error has one shape: `{"error": {"status", "code", "message"}}`; the message is one line.
`docs/service.md` of the project has the words, and lines for curl."""

PUBLIC = (400, 413, 422, 500, 503)
"""Statuses that any route may answer: of a request that cannot be read, and of a service that stops
or has a fault."""
EVERY = (*PUBLIC, 401, 403, 429)
"""Statuses that any route with a role may answer."""
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "code", "message"],
            "properties": {
                "status": {"type": "integer"},
                "code": {"type": "string"},
                "message": {"type": "string"},
            },
        }
    },
}
_PAGE = {
    "type": "object",
    "required": ["inspections", "cursor"],
    "properties": {
        "inspections": {"type": "array", "items": {"$ref": "#/components/schemas/Inspection"}},
        "cursor": {"type": ["string", "null"]},
    },
}
_SEVERAL = {
    "type": "object",
    "description": "Answers to several photographs in their order: the inspection of each, or the "
    "error of one that is not on record.",
    "required": ["inspections"],
    "properties": {
        "inspections": {
            "type": "array",
            "items": {
                "oneOf": [
                    {"$ref": "#/components/schemas/Inspection"},
                    {"$ref": "#/components/schemas/Error"},
                ]
            },
        },
    },
    "examples": [
        {
            "inspections": [
                INSPECTION,
                {
                    "error": {
                        "status": 404,
                        "code": "not_found",
                        "message": "'none.png': expected a file, got nothing of that name",
                    }
                },
            ]
        }
    ],
}


def responses(spec: Spec) -> dict[int | str, dict[str, Any]]:
    """Answers of a route by their status."""
    content: dict[str, Any] = {"schema": {"type": "object"}}
    if spec.media_types != ("application/json",):
        content = dict(BINARY)
    schemas = [{"$ref": f"#/components/schemas/{name}"} for name in spec.schemas]
    if schemas:
        content["schema"] = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    if spec.example is not None:
        content["example"] = spec.example
    found: dict[int | str, dict[str, Any]] = {
        _done(spec): {"description": "Done.", "content": dict.fromkeys(spec.media_types, content)}
    }
    statuses = PUBLIC if spec.role == "public" else EVERY
    for status in sorted({*statuses, *spec.errors}):
        found[status] = {
            "description": CODES[status].replace("_", " ").capitalize() + ".",
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Error"},
                    "example": {
                        "error": {**ERROR["error"], "status": status, "code": CODES[status]}
                    },
                }
            },
        }
    return found


def extra(spec: Spec) -> dict[str, Any]:
    """Further keys of a route: its role, and its body where the endpoint reads that itself."""
    found: dict[str, Any] = {"x-role": spec.role}
    if spec.role != "public":
        found["security"] = [{"token": []}]
    if spec.body is not None:
        found["requestBody"] = {"required": True, "content": spec.body}
    return found


def _with_example(operation: dict[str, Any], spec: Spec) -> None:
    """Put the example of an answer back: the framework leaves out what is null."""
    operation["responses"][str(_done(spec))]["content"][spec.media_types[0]]["example"] = (
        spec.example
    )


def _done(spec: Spec) -> int:
    """Status of an answer that is no error."""
    return 201 if spec.creates else 200


def describe(app: FastAPI, root_path: str) -> None:
    """Let the application make its document, once, when it is asked for."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _made(app, root_path)
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]


def _made(app: FastAPI, root_path: str) -> dict[str, Any]:
    from patchbank.server.service.lessons import UpdateRequest
    from patchbank.server.service.schema import INSPECTION_SCHEMA, TRIAL_SCHEMA

    document = get_openapi(
        title=app.title,
        version=str(__version__),
        description=app.description,
        routes=app.routes,
        servers=[{"url": root_path}] if root_path else None,
    )
    for route in app.routes:
        if isinstance(route, SecuredRoute) and route.spec.example is not None:
            _with_example(document["paths"][route.path][route.spec.method.lower()], route.spec)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    template = "#/components/schemas/{model}"
    update = UpdateRequest.model_json_schema(ref_template=template)
    schemas.update(update.pop("$defs", {}))
    schemas.update(Error=_ERROR, Inspection=INSPECTION_SCHEMA, Page=_PAGE, UpdateRequest=update)
    schemas.update(Inspections=_SEVERAL, Trial=TRIAL_SCHEMA)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document
