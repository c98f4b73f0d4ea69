"""Files that pages load: styles and scripts, each for good under the digest of all of them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.pages.rendering import page_spec
from patchbank.server.service.errors import ApiError

FOLDER = Path(__file__).parent / "static"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}


@cache
def files() -> dict[str, bytes]:
    """All files by their names."""
    return {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())}


@cache
def digest() -> str:
    """Digest of all files, in the address of each: a new version has new addresses."""
    total = hashlib.sha256()
    for name, content in files().items():
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:16]


def static_file(request: Request, version: str, name: str) -> Response:
    """A file of the pages."""
    content = files().get(name)
    if content is None or version != digest():
        raise ApiError(404, "file: expected one that a page names, got another; load it again")
    return Response(content, headers=FOR_GOOD | {"Content-Type": KINDS[Path(name).suffix]})


SPECS = (page_spec("GET", "/static/{version}/{name}", static_file, "public"),)
