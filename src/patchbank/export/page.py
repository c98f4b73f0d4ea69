"""Write the page of a verification."""

from __future__ import annotations

from pathlib import Path

from patchbank.export import words
from patchbank.export.verification import Verification
from patchbank.images.folders import few
from patchbank.report import render, write_page

MOST_ROWS = 2000
"""Photographs of the table, the ones that differ most first."""


def write_verification(found: Verification, folder: Path) -> Path:
    """Write one self-contained page into a folder, which is made if it is not there.

    -> the path of the page.

    Raises:
        DataError: the page cannot be written.
    """
    pairs = sorted(found.pairs, key=lambda pair: (pair.is_within_tolerance, -pair.score_difference))
    page = render(
        "patchbank.export",
        found=found,
        words=words,
        pairs=pairs[:MOST_ROWS],
        errors=few(list(found.errors), "photograph") if found.errors else "",
    )
    return write_page(folder, page)
