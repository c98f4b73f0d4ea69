"""Write the page of explanations of several photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    flagged = f"{n_flagged} flagged photograph{'' if n_flagged == 1 else 's'}"
    remark = (
        "Each odd spot (red outline) next to the learned patches that are nearest to it (green "
        "outlines)."
    )
    return _write(
        shown,
        folder,
        n=n_flagged,
        undrawn=(),
        detector=detector,
        kind="Explanations",
        heading=flagged,
        sentence="",
        state="",
        remark=remark,
        nothing="No photograph was flagged.",
    )


def write_lost_defects(
    shown: Sequence[Drawn],
    undrawn: Sequence[str],
    n_lost: int,
    detector: Detector,
    folder: Path,
) -> Path:
    """Write one self-contained page about the defects that an update loses.

    -> the path of the page.

    Args:
        shown: those whose photographs are at hand, in order; at most `MOST_ON_PAGE`.
        undrawn: a line for each of the others.
        n_lost: number of all lost defects.
        detector: before the update.
        folder: in which the page is written as ``index.html``.

    Raises:
        DataError: the page cannot be written.
    """
    one = n_lost == 1
    return _write(
        shown,
        folder,
        n=len(shown),
        undrawn=undrawn,
        detector=detector,
        kind="Update",
        sentence=f"The new detector would find {'it' if one else 'them'} no more.",
        state="ng",
        heading=f"{n_lost} defect{'' if one else 's'} that the update loses",
        remark="The place of each defect that was odd before the update (red outline) next to the "
        "patches that are nearest to it after the update (green outlines): those of the new "
        "photographs, where these hide it."
        if shown
        else "",
        nothing="Their photographs are not at hand.",
    )


def _write(shown: Sequence[Drawn], folder: Path, **content: Any) -> Path:
    return write_page(folder, render("patchbank.explaining", shown=shown, **content))
