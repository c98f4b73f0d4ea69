"""Explanations that `patchbank predict --explain` writes: a picture of each, and one page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchbank.cli import output
from patchbank.cli.pictures import Pictures, write_picture
from patchbank.detector.explanation.at_hand import PhotographsAtHand
from patchbank.errors import PatchbankError
from patchbank.explaining import MOST_ON_PAGE, Drawn, drawn, write_explanations

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector
    from patchbank.detector.explanation.pictures import PictureSource
    from patchbank.detector.inspection import Inspection

OPTION = "--explain"


class Explanations:
    """The folder of explanations of one run."""

    def __init__(self, detector: Detector, folder: Path, *, keeps_others: bool) -> None:
        """Name the folder; `keeps_others` is as of `Pictures`."""
        self._detector, self._folder = detector, folder
        self._pictures = Pictures(folder, keeps_others=keeps_others, option=OPTION)
        self._shown: list[Drawn] = []
        self._n_flagged = 0

    def spare(self, photographs: Iterable[Path]) -> None:
        """Name photographs that no picture may replace."""
        self._pictures.spare(photographs)

    def path_for(self, inside: Path) -> Path:
        """The path of the picture of a photograph; see `Pictures.path_for`."""
        return self._pictures.path_for(inside)

    def add(self, one: Drawn | None, target: Path) -> None:
        """Write the picture of a flagged photograph, and keep what the page shows of it."""
        self._n_flagged += 1
        if one is None:
            return
        write_picture(one.picture, target)
        if len(self._shown) < MOST_ON_PAGE:
            self._shown.append(replace(one, picture=b""))  # it is in its file

    def write_page(self) -> None:
        """Write the page of all photographs that were added."""
        path = write_explanations(self._shown, self._n_flagged, self._detector, self._folder)
        output.note(f"explanations: {path}")


def drawn_or_said(inspection: Inspection, pictures: PictureSource | None) -> Drawn | None:
    """The explanation of a flagged photograph; None where there is none, with a line about it.

    Args:
        inspection: of any photograph.
        pictures: of the learned photographs; None for those in the detector file.
    """
    if not inspection.is_anomalous:
        return None
    try:
        return drawn(inspection, pictures)
    except PatchbankError as error:
        output.note(f"note: {inspection.image}: not explained: {error}")
        return None


def photographs_at_hand(detector: Detector, folder: Path) -> PhotographsAtHand:
    """The learned photographs in a folder, with a note if some are not there.

    Raises:
        DataError: none of them is there, or they are not known.
    """
    kept = detector.photographs
    found = PhotographsAtHand(
        folder,
        detector.fitted_on,
        detector.photograph_digests,
        None if kept is None else kept.pictures,
        detector.members[0].settings.bit_depth,
    )
    if found.n_missing:
        n = found.n_missing
        missing = f"is not in {folder} under its name; its small picture is shown"
        if n > 1:
            missing = f"are not in {folder} under their names; their small pictures are shown"
        output.note(f"note: {n} of {len(detector.fitted_on)} learned photographs {missing}")
    return found
