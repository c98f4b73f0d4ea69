"""Who has a token begins a session in the browser, and ends it."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated

from fastapi import Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchbank.server.pages.rendering import page, page_spec
from patchbank.server.service.guarding import set_cookie
from patchbank.server.service.request_facts import is_same_site, session_of, texts_of_form
from patchbank.server.service.service import service_of
from patchbank.server.service.sessions import CSRF_FIELD, LIFE_S

FORM_COOKIE = "patchbank_login"
"""Cookie with the text that the form of the login carries, before there is a session."""
START = "/line"
Next = Annotated[str, Query(max_length=500)]


def login(request: Request, next: Next = START) -> Response:  # name of the query
    """The page that asks for a token."""
    return _form(request, next, "")


async def begin(request: Request) -> Response:
    """Begin a session with a token."""
    given, gate = await texts_of_form(request), service_of(request).gate
    target, expected = given.get("next", START), request.cookies.get(FORM_COOKIE, "")
    is_own = is_same_site(request) and _is_same(expected, given.get(CSRF_FIELD, ""))
    if not (expected and is_own):
        return await run_in_threadpool(_form, request, target, "stale", 403)
    caller = await run_in_threadpool(gate.tokens.caller_of, given.get("token", "").strip())
    if caller is None:
        trouble, status = ("too_many", 429) if gate.failed(request) else ("unknown", 401)
        return await run_in_threadpool(_form, request, target, trouble, status)
    root = service_of(request).settings.root_path
    response = RedirectResponse(f"{root}{local_path(target)}", 303)
    session = gate.sessions.begin(caller.name)
    set_cookie(request, response, gate.sessions.cookie(session), LIFE_S)
    return response


def end(request: Request) -> Response:
    """End the session of this browser."""
    service, session = service_of(request), session_of(request)
    response = RedirectResponse(f"{service.settings.root_path}/login", 303)
    if session is not None:
        service.gate.sessions.end(session)
        set_cookie(request, response, "", 0)
    return response


def _form(request: Request, target: str, trouble: str, status: int = 200) -> Response:
    text = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(16)
    gate = service_of(request).gate
    response = page(
        request,
        "login.html",
        status,
        form_csrf=text,
        next=local_path(target),
        trouble=trouble,
        is_needed=not gate.is_loopback or gate.tokens.is_needed(),
    )
    set_cookie(request, response, text, None, FORM_COOKIE)
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
