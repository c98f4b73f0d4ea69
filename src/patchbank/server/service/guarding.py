"""The one mechanism that decides who may ask what: each route has a role, or is public.

A route of the service is a `SecuredRoute`, which cannot be made without a role.  It admits the
caller before it reads the body, limits the body, and refuses what it does not know in the query.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from patchbank.errors import PatchbankError
from patchbank.runtime.printable import printable
from patchbank.server.records.entries import Role
from patchbank.server.service.answers import in_time
from patchbank.server.service.errors import ApiError
from patchbank.server.service.request_facts import is_same_site, session_of, texts_of_form
from patchbank.server.service.sessions import (
    COOKIE,
    CSRF_FIELD,
    CSRF_HEADER,
    LIFE_S,
    Sessions,
)
from patchbank.server.service.settings import LOOPBACK
from patchbank.server.service.tokens import LOCAL, Caller, Failures, TokenBook

Found = TypeVar("Found")
Access = Role | Literal["public"]
"""The role that a route needs; ``public`` for none."""
SMALL_BODY = 1_000_000
UNCHANGING = ("GET", "HEAD", "OPTIONS")
FORWARDED = ("forwarded", "x-forwarded-", "x-real-ip", "via")
"""Beginnings of the headers of a reverse proxy, which lets others in."""
MOST_ADMITTED = 8
"""Threads that look up tokens at once; those of other work never keep them waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A route: what is asked, who may, and what is answered."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    endpoint: Callable[..., Any]
    role: Access
    tag: str
    example: Any = None
    """An answer, for the document of the interface."""
    schemas: tuple[str, ...] = ()
    """Names of the schemas of which what is answered has one; none for any JSON object."""
    media_types: tuple[str, ...] = ("application/json",)
    errors: tuple[int, ...] = ()
    """Statuses that are answered in addition to those of every route."""
    body: dict[str, Any] | None = None
    """Content of the body by media type, where the endpoint reads it itself."""
    creates: bool = False
    """Whether it is answered by 201."""
    body_limit: Literal["max_bytes", "max_detector_bytes"] | None = None
    """Setting that limits the bytes of the body; None for the limit of small ones."""
    has_slashes: bool = False
    """Whether the parameter at the end of the path may have slashes in it."""
    failed: Callable[[Request, Exception], Response] | None = None
    """Answers errors to people, of a route that is a page and in no document; None for JSON."""


@dataclass(slots=True)
class Gate:
    """Admits callers."""

    tokens: TokenBook
    sessions: Sessions
    is_loopback: bool
    timeout_s: float = 30.0
    """Time in which the records have to say whose a token is."""
    failures: Failures = field(default_factory=Failures)
    _threads: anyio.CapacityLimiter | None = None

    async def admit(self, request: Request, role: Access) -> Caller | None:
        """The caller of a request, who has the role that is needed; None for a public route.

        Raises:
            ApiError: 401 without a valid token, 403 with one that may not, 429 after too many,
                503 where the records do not answer in time.
        """
        if role == "public":
            return None
        late = (
            f"token: expected records that answer within {self.timeout_s:g} s, got none that do; "
            "send it again"
        )
        caller = await in_time(self._caller(request), self.timeout_s, late)
        if not caller.may(role):
            raise ApiError(
                403,
                f"token: expected one with the role {role}, got {caller.name!r} with the role "
                f"{caller.role}; ask for another token",
            )
        return caller

    async def _caller(self, request: Request) -> Caller:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() == "bearer" and secret:
            found = await self._asked(lambda: self.tokens.caller_of(secret))
            if found is None:
                raise self._refused(request, "got one that is unknown, revoked or expired")
            return found
        if "authorization" in request.headers:
            raise self._refused(request, "got another header")
        found = await self._of_session(request)
        if found is not None:
            return found
        if await self._asked(self.tokens.is_needed):
            raise _no_token("got none")
        if not self.is_loopback:
            raise _no_token("got none, and there is none yet")
        _check_local(request)
        return LOCAL

    async def _of_session(self, request: Request) -> Caller | None:
        """The caller whose cookie a request has, if it is valid.

        Raises:
            ApiError: 403 for a change that no page of the session has sent.
        """
        session = self.sessions.read(request.cookies.get(COOKIE, ""))
        if session is None:
            return None
        found = await self._asked(lambda: self.tokens.caller_named(session.name))
        if found is None:
            return None
        request.state.session = session
        if request.method not in UNCHANGING:
            given = request.headers.get(CSRF_HEADER)
            if not given:
                given = (await texts_of_form(request)).get(CSRF_FIELD, "")
            if not is_same_site(request) or not self.sessions.is_csrf(session, given):
                raise ApiError(
                    403,
                    f"{CSRF_HEADER}: expected the text of a page of this session, got another; "
                    "load the page again",
                    code="csrf",
                )
        return found

    def renew(self, request: Request, response: Response) -> None:
        """Give a session that is used a later end."""
        session = session_of(request)
        renewed = None if session is None else self.sessions.renewed(session)
        if renewed is not None:
            set_cookie(request, response, self.sessions.cookie(renewed), LIFE_S)

    async def _asked(self, ask: Callable[[], Found]) -> Found:
        """The answer of the records, in a thread that is left alone if there never is one."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(MOST_ADMITTED)
        return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._threads)

    def failed(self, request: Request) -> int:
        """Count a wrong token.  -> seconds to wait after too many; 0 before that."""
        return self.failures.wait_s(request.client.host if request.client else "")

    def _refused(self, request: Request, got: str) -> ApiError:
        wait_s = self.failed(request)
        if wait_s:
            return ApiError(
                429,
                f"token: expected at most 10 wrong ones a minute, got more; wait {wait_s} s",
                code="too_many_failures",
                retry_s=wait_s,
            )
        return _no_token(got)


def _no_token(got: str) -> ApiError:
    return ApiError(
        401,
        f"token: expected `Authorization: Bearer TOKEN`, {got}; "
        "`patchbank serve token add NAME --role ROLE` makes one",
        headers={"WWW-Authenticate": "Bearer"},
    )


def set_cookie(
    request: Request, response: Response, value: str, life_s: float | None, name: str = COOKIE
) -> None:
    """Set a cookie which no script can read and no other site can send.

    Args:
        request: that is answered.
        response: its answer.
        value: of the cookie.
        life_s: time after which it ends; None for the end of the browser.
        name: of the cookie; that of the session, unless another one is given.
    """
    response.set_cookie(
        name,
        value,
        max_age=None if life_s is None else int(life_s),
        path=request.app.state.service.settings.root_path or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _check_local(request: Request) -> None:
    """Refuse what a foreign page in a browser on this computer may have sent, or a proxy.

    Without a token, everything that comes from this computer is trusted.  A page of another site
    could send requests here (their Origin is foreign), also under a name of its own that leads to
    this computer (their Host is foreign), and a reverse proxy sends those of others: it is known
    by its headers, or by HTTP/1.0, the default of nginx.  A tunnel that
    passes bytes on is not known by anything.

    Raises:
        ApiError: 403.
    """
    headers = request.headers
    host, origin = headers.get("host", ""), headers.get("origin")
    cure = "make a token: `patchbank serve token add NAME --role ROLE`"
    if _host_of(host) not in LOOPBACK:
        raise ApiError(
            403, f"Host: expected a loopback name without a token, got {printable(host)}; {cure}"
        )
    is_own = origin is None or (
        urlsplit(origin).netloc == host and urlsplit(origin).scheme in ("http", "https")
    )
    if not is_own or not is_same_site(request):
        raise ApiError(
            403, f"Origin: expected none or this service without a token, got another site; {cure}"
        )
    is_old = request.scope.get("http_version") == "1.0"
    if is_old or any(name.startswith(FORWARDED) for name in headers):
        raise ApiError(403, f"proxy: expected none without a token, got one; {cure}")


def _host_of(header: str) -> str:
    """The name in a Host header.

    >>> _host_of("127.0.0.1:8760"), _host_of("[::1]:8760"), _host_of("evil.example:80")
    ('127.0.0.1', '::1', 'evil.example')
    """
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


class SecuredRoute(APIRoute):
    """A route that admits callers of one role."""

    def __init__(self, spec: Spec, *, largest_body: int, **options: Any) -> None:
        """Make the route of a specification; `options` are those of FastAPI."""
        self.spec, self.role = spec, spec.role
        self._body_bytes = largest_body
        is_documented = spec.failed is None
        super().__init__(
            spec.path,
            spec.endpoint,
            methods=[spec.method],
            include_in_schema=is_documented,
            **options,
        )
        if spec.has_slashes:
            found = compile_path(f"{spec.path.removesuffix('}')}:path}}")
            self.path_regex, self.path_format, self.param_convertors = found

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI behind the checks."""
        handle, known = super().get_route_handler(), _query_names(self.dependant)

        async def guarded(request: Request) -> Response:
            gate: Gate = request.app.state.service.gate
            limited = _limited(request, self._body_bytes)
            limited.state.caller = await gate.admit(limited, self.role)
            _check_query(limited, known)
            response = await handle(limited)
            gate.renew(limited, response)
            return response

        failed = self.spec.failed
        if failed is None:
            return guarded

        async def page(request: Request) -> Response:
            try:
                return await guarded(request)
            except (HTTPException, PatchbankError, RequestValidationError) as error:
                return failed(request, error)

        return page


def _query_names(dependant: Any) -> frozenset[str]:
    """Names of all parameters of the query."""
    own: set[str] = set()
    for one in dependant.query_params:
        fields = getattr(one.field_info.annotation, "model_fields", None)
        if fields is None:
            own.add(one.alias)
        else:  # a model whose fields are the parameters
            own |= {field.alias or name for name, field in fields.items()}
    return frozenset(own.union(*map(_query_names, dependant.dependencies)))


def _check_query(request: Request, known: frozenset[str]) -> None:
    """Refuse parameters that would be ignored: a filter that is spelt wrongly finds everything.

    Raises:
        ApiError: 422.
    """
    given = request.query_params
    for name in given:
        if name not in known:
            expected = f"one of {', '.join(sorted(known))}" if known else "none"
            raise ApiError(422, f"query: expected {expected}, got {printable(name[:60])!r}")
        if len(given.getlist(name)) > 1:
            raise ApiError(422, f"{name}: expected once, got it {len(given.getlist(name))} times")


def _limited(request: Request, limit: int) -> Request:
    """The request, whose body cannot be larger than a limit.

    Raises:
        ApiError: 413, at once where the header states a larger one, otherwise while it is read.
    """
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:19]) > limit:
        raise _too_large(limit, f"{int(stated[:19]):,}")
    receive, n_read = request.receive, 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal n_read
        message = await receive()
        n_read += len(message.get("body", b""))
        if n_read > limit:
            raise _too_large(limit, "more")
        return message

    return Request(request.scope, counted)


def _too_large(limit: int, got: str) -> ApiError:
    return ApiError(413, f"body: expected at most {limit:,} bytes, got {got}; send less at once")


def caller_of(request: Request) -> Caller:
    """The caller whom the route has admitted."""
    caller: Caller = request.state.caller
    return caller
