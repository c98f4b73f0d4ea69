"""Files that pages load: styles, scripts and the icon, and the digest of all of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
IMPORT = re.compile(rb'^(?:import|export) .*?from "\./([a-z_]+)\.js";', re.MULTILINE | re.DOTALL)


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


def imported(names: Iterable[str]) -> list[str]:
    """Names of all scripts that some scripts import, and of those that these import in turn.

    A browser that is told of them fetches them at once, and not one after the other.

    >>> imported(["history_part"])
    ['ask', 'kept', 'spots']
    """
    given = list(names)
    found = [*given]
    for name in found:  # which grows meanwhile
        for match in IMPORT.finditer(files()[f"{name}.js"]):
            if (other := match[1].decode()) not in found:
                found.append(other)
    return sorted(found[len(given) :])
