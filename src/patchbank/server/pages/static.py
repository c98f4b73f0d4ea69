"""Files that pages load, each for good under the digest of all of them."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages.assets import digest, files
from patchbank.server.pages.rendering import page_spec
from patchbank.server.service.errors import ApiError

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}


def static_file(request: Request, version: str, name: str) -> Response:
    """A file of the pages."""
    content = files().get(name)
    if content is None or version != digest():
        raise ApiError(404, "file: expected one that a page names, got another; load it again")
    return Response(content, headers=FOR_GOOD | {"Content-Type": KINDS[Path(name).suffix]})


SPECS = (page_spec("GET", "/static/{version}/{name}", static_file, "public"),)
