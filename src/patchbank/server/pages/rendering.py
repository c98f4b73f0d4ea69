"""A page from its template: escaped, in the reader's language, with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchbank.runtime.printable import json_text
from patchbank.server.pages import words
from patchbank.server.pages.assets import digest, imported
from patchbank.server.records.entries import Role
from patchbank.server.service.answers import api_error, error_answer
from patchbank.server.service.guarding import Access, Spec
from patchbank.server.service.request_facts import session_of
from patchbank.server.service.service import service_of
from patchbank.server.service.tokens import LOCAL, Caller

if TYPE_CHECKING:
    from jinja2 import Environment

HTML = "text/html"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy of pages: only files of this service, and no script in the page."""
NAVIGATION: tuple[tuple[str, str, Role], ...] = (
    ("/line", "Line", "operator"),
    ("/review", "Review", "operator"),
    ("/history", "History", "operator"),
    ("/products", "Products", "operator"),
    ("/try", "Try it", "operator"),
)
"""Path of each part of the pages, its name, and the role that it needs."""
HEADERS = {"Content-Security-Policy": POLICY, "Vary": "Accept-Language, Cookie"}


@cache
def environment() -> Environment:
    """The templates."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("patchbank.server.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.filters["json"] = json_text
    made.globals["imported"] = imported
    made.filters["segment"] = lambda text: quote(text, safe="")
    return made


def page(request: Request, template: str, status: int = 200, **content: Any) -> Response:
    """The page of a template."""
    service = service_of(request)
    language = words.language_of(request.headers.get("accept-language", ""))
    root = service.settings.root_path
    session = session_of(request)
    caller: Caller | None = getattr(request.state, "caller", None)
    text = (
        environment()
        .get_template(template)
        .render(
            {
                "_": lambda message: words.translated(language, message),
                "language": language,
                "root": root,
                "static": f"{root}/static/{digest()}",
                "csrf": "" if session is None else service.gate.sessions.csrf(session),
                "has_session": session is not None,
                "is_local": session is None and caller == LOCAL,
                "who": "" if session is None else session.name,
                "navigation": [] if caller is None else _navigation(request, caller),
                "may": (lambda role: False) if caller is None else caller.may,
                **content,
            }
        )
    )
    return Response(text.encode(), status, HEADERS, media_type=HTML)


def _navigation(request: Request, caller: Caller | None) -> list[tuple[str, str, bool]]:
    """Path and name of each part of the pages that a caller may see, and whether it is this one.

    Args:
        request: of the page.
        caller: None for nobody who is known, such as where a request was refused: all parts then.
    """
    path = request.url.path.removeprefix(service_of(request).settings.root_path)
    return [
        (target, name, path == target or path.startswith(f"{target}/"))
        for target, name, role in NAVIGATION
        if caller is None or caller.may(role)
    ]


def wants_page(request: Request) -> bool:
    """Whether a person asks, in a browser."""
    return HTML in request.headers.get("accept", "")


def page_spec(
    method: Literal["GET", "POST"], path: str, endpoint: Callable[..., Any], role: Access
) -> Spec:
    """A route for people."""
    return Spec(
        method=method,
        path=path,
        endpoint=endpoint,
        role=role,
        tag="pages",
        media_types=(HTML,),
        failed=failed,
    )


def failed(request: Request, error: Exception, *, back: str = "") -> Response:
    """An error as a page, where a person asks; who is not known is asked for a token first.

    Args:
        request: that failed.
        error: for which it did.
        back: path of the page whose form was not saved; empty where no form was sent.
    """
    found = api_error(error)
    if not wants_page(request):
        return error_answer(found)
    if found.status_code == 401:
        root = service_of(request).settings.root_path
        query = urlencode({"next": request.url.path.removeprefix(root)})
        return RedirectResponse(f"{root}/login?{query}", 303)
    answer = page(
        request,
        "error.html",
        found.status_code,
        message=str(found.detail),
        back=back,
        navigation=_navigation(request, getattr(request.state, "caller", None)),
    )
    for name, value in (found.headers or {}).items():
        answer.headers[name] = value
    return answer
