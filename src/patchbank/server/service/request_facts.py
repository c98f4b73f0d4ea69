"""Facts of a request that several routes and the checks before them ask for."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

from patchbank.server.service.sessions import Session

FORM = "application/x-www-form-urlencoded"


def media_type_of(request: Request) -> str:
    """The type of a body, without its parameters; empty if none is stated."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def texts_of_form(request: Request) -> dict[str, str]:
    """The texts of a form without files, the first of each name; none of any other body."""
    if media_type_of(request) != FORM:
        return {}
    content = parse_qs((await request.body()).decode("utf-8", "replace"))
    return {name: texts[0] for name, texts in content.items()}


def is_same_site(request: Request) -> bool:
    """Whether no page of another site has sent a request, as browsers say."""
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def session_of(request: Request) -> Session | None:
    """The session with which the route has admitted the caller; None without one."""
    found: Session | None = getattr(request.state, "session", None)
    return found
