"""Who has a token begins a session in the browser, and ends it."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.service.guarding import Gate, set_cookie
from patchbank.server.service.service import service_of
from patchbank.server.service.sessions import CSRF_FIELD

FORM_COOKIE = "patchbank_login"
"""Cookie with the text that the form of the login carries, before there is a session."""
START = "/line"
Next = Annotated[str, Query(max_length=500)]


def login(request: Request, next: Next = START) -> Response:  # name of the query
    """The page that asks for a token."""
    return _form(request, next, "")


async def begin(request: Request) -> Response:
    """Begin a session with a token."""
    given = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
    gate: Gate = request.app.state.gate
    target, expected = given.get("next", START), request.cookies.get(FORM_COOKIE, "")
    is_own = request.headers.get("sec-fetch-site", "same-origin") in ("none", "same-origin")
    if not (is_own and expected and _is_same(expected, given.get(CSRF_FIELD, ""))):
        return _form(request, target, "stale", 403)
    caller = await run_in_threadpool(gate.tokens.caller_of, given.get("token", "").strip())
    if caller is None:
        address = request.client.host if request.client else ""
        is_over = gate.failures.wait_s(address) > 0
        return _form(request, target, "too_many" if is_over else "unknown", 429 if is_over else 401)
    root = service_of(request).settings.root_path
    response = RedirectResponse(f"{root}{local_path(target)}", 303)
    session = gate.sessions.begin(caller.name)
    set_cookie(request, response, gate.sessions.cookie(session))
    return response


def end(request: Request) -> Response:
    """End the session of this browser."""
    session = getattr(request.state, "session", None)
    root = service_of(request).settings.root_path
    response = RedirectResponse(f"{root}/login", 303)
    if session is not None:
        request.app.state.gate.sessions.end(session)
        set_cookie(request, response, "", 0)
    return response


def _form(request: Request, target: str, trouble: str, status: int = 200) -> Response:
    text = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(16)
    gate: Gate = request.app.state.gate
    response = page(
        request,
        "login.html",
        status,
        form_csrf=text,
        next=local_path(target),
        trouble=trouble,
        is_needed=not gate.is_loopback or gate.tokens.is_needed(),
    )
    response.set_cookie(
        FORM_COOKIE,
        text,
        path=service_of(request).settings.root_path or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))


def local_path(target: str) -> str:
    r"""The path of this service to go on to; the start for anything that leads elsewhere.

    >>> local_path("/line/bolts"), local_path("//evil.example"), local_path("/\\evil.example")
    ('/line/bolts', '/line', '/line')
    """
    is_path = target.startswith("/") and target[1:2] not in ("/", "\\")
    return target if is_path and target.isprintable() and "\\" not in target else START


SPECS = (
    page_spec("GET", "/login", login, "public"),
    page_spec("POST", "/login", begin, "public"),
    page_spec("POST", "/logout", end, "operator"),
)
