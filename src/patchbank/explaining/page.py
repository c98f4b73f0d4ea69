"""Write the page of explanations of several photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchbank.detector.detector import Detector
from patchbank.explaining.drawn import Drawn
from patchbank.report import render, write_page

MOST_ON_PAGE = 200
"""Photographs on the page at most; all have a picture of their own."""


def write_explanations(
    shown: Sequence[Drawn], n_flagged: int, detector: Detector, folder: Path
) -> Path:
    """Write one self-contained page into a folder, which is made if it is not there.

    -> the path of the page.

    Args:
        shown: explanations of flagged photographs, in order; at most `MOST_ON_PAGE`.
        n_flagged: number of all flagged photographs.
        detector: that flagged them.
        folder: in which the page is written as ``index.html``.

    Raises:
        DataError: the page cannot be written.
    """
    page = render("patchbank.explaining", shown=shown, n_flagged=n_flagged, detector=detector)
    return write_page(folder, page)
