"""Page of the defects that an update would lose, and of those that a forced one loses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchbank.cli import output
from patchbank.cli.targets import check_report
from patchbank.errors import PatchbankError

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector
    from patchbank.training.update.findings import LostDefect
    from patchbank.training.update.request import UpdateFacts, UpdateRequest

OPTION = "--guard-report"


def check_guard(folder: Path | None) -> None:
    """Check that the page can be written, if one is wanted.

    Raises:
        DataError: it cannot be written.
    """
    if folder is not None:
        check_report(OPTION, folder)


def write_lost(
    before: Detector, request: UpdateRequest, facts: UpdateFacts, folder: Path | None
) -> None:
    """Write the page of the defects that are lost, if there are some.

    Args:
        before: the detector before the update.
        request: names all defects.
        facts: what the guard has found.
        folder: of the page; None for none.
    """
    if facts.guard.lost and folder is not None:
        _write(before, request, facts.guard.lost, folder)


def _write(
    before: Detector, request: UpdateRequest, lost: Sequence[LostDefect], folder: Path
) -> None:
    from patchbank.cli.pictures import Pictures, write_picture
    from patchbank.explaining import MOST_ON_PAGE, drawn_explanation, write_lost_defects

    photographs = [s.content for s in request.must_find if isinstance(s.content, Path)]
    pictures, shown = Pictures(folder, photographs, keeps_others=True, option=OPTION), []
    undrawn = []
    for one in lost[:MOST_ON_PAGE]:
        if one.inspection is None or one.explanation is None:
            undrawn.append(f"{one.name}: {one.text}")
            continue
        try:
            made = drawn_explanation(one.inspection, one.explanation, one.text)
        except PatchbankError as error:
            output.note(f"note: {one.name}: not drawn: {error}")
            continue
        write_picture(made.picture, pictures.path_for(Path(Path(one.name).name)))
        shown.append(made)
    path = write_lost_defects(shown, undrawn, len(lost), before, folder)
    output.note(f"lost defects: {path}")
