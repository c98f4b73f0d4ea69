"""Routes of tokens and the audit."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.records.entries import AuditEntry, Role, Token, iso_utc
from patchbank.server.service.answers import answer
from patchbank.server.service.errors import ApiError
from patchbank.server.service.examples import AUDIT, TOKEN
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.routes.records import moment
from patchbank.server.service.service import service_of

LONGEST_DAYS = 36_500


class NewToken(BaseModel):
    """A token that is to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    role: Role
    expires_days: int | None = Field(None, ge=1, le=LONGEST_DAYS)


def tokens(request: Request) -> Response:
    """All tokens, without their secrets."""
    return answer({"tokens": [_token(one) for one in service_of(request).records.tokens()]})


def add_token(request: Request, new: NewToken) -> Response:
    """Make a token; its secret is shown this once."""
    service = service_of(request)
    expires = None
    if new.expires_days is not None:
        expires = datetime.now(timezone.utc) + timedelta(days=new.expires_days)
    by = caller_of(request).name
    secret = service.records.add_token(new.name, new.role, expires, by=by)
    service.gate.tokens.forget()
    return answer({"name": new.name, "role": new.role, "expires": moment(expires), "token": secret})


def revoke_token(request: Request, name: Annotated[str, Path(max_length=100)]) -> Response:
    """Revoke a token for good; at other services with the same records within five seconds."""
    service = service_of(request)
    is_revoked = service.records.revoke_token(name, by=caller_of(request).name)
    service.gate.tokens.forget()
    if not is_revoked:
        raise ApiError(404, "token: expected the name of a valid one, got another name")
    return answer({"name": name, "revoked": True})


def audit(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="Only entries before this number.")
    ] = None,
) -> Response:
    """The audit, newest first."""
    found = service_of(request).records.audit(limit, cursor)
    following = found[-1].number if len(found) == limit and found[-1].number > 1 else None
    return answer({"audit": [_entry(one) for one in found], "cursor": following})


def verify(request: Request) -> Response:
    """Whether the chain of the audit is whole."""
    broken = service_of(request).records.verify_audit()
    return answer({"is_whole": broken is None, "broken": None if broken is None else broken.number})


def _token(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role,
        "created": iso_utc(token.created),
        "expires": moment(token.expires),
        "revoked": moment(token.revoked),
    }


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "time": iso_utc(entry.time),
        "by": entry.by,
        "action": entry.action,
        "product": entry.product,
        "details": dict(entry.details),
        "previous": entry.previous,
        "hash": entry.hash,
    }


def _spec(method: Any, path: str, endpoint: Any, example: Any, **more: Any) -> Spec:
    return Spec(
        method=method,
        path=path,
        endpoint=endpoint,
        role="admin",
        tag="administration",
        example=example,
        **more,
    )


SPECS = (
    _spec("GET", "/v1/tokens", tokens, {"tokens": [TOKEN]}),
    _spec(
        "POST",
        "/v1/tokens",
        add_token,
        {"name": "press-3", "role": "operator", "expires": None, "token": "pb_..."},
    ),
    _spec(
        "DELETE",
        "/v1/tokens/{name}",
        revoke_token,
        {"name": "press-3", "revoked": True},
        errors=(404,),
    ),
    _spec("GET", "/v1/audit", audit, {"audit": [AUDIT], "cursor": 7}),
    _spec("GET", "/v1/audit/verification", verify, {"is_whole": True, "broken": None}),
)
