"""Files that pages load: styles, scripts and the icon, and the digest of all of them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"


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
