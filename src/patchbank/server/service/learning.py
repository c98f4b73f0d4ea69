"""Updates of a detector; imported with the first one, as it needs what a fit needs."""

from __future__ import annotations

from typing import Any

from patchbank.detector.detector import Detector, detector_of, parts_of
from patchbank.detector.lineage.entry import Edit
from patchbank.detector.remembering import with_remembered
from patchbank.runtime.progress import Progress, listener
from patchbank.server.service.change_requests import Lessons, Said
from patchbank.training.photographs import Remarks
from patchbank.training.update.request import UpdateFacts, UpdateRequest
from patchbank.training.update.updating import updated


def learned(
    before: Detector, lessons: Lessons, said: Said, progress: Progress | None = None
) -> tuple[Detector, list[str], dict[str, Any]]:
    """The detector that has learned, lines about it, and facts for the audit.

    Args:
        before: the detector as it is.
        lessons: what it learns.
        said: who and why.
        progress: shows the steps; None for nobody.

    Raises:
        PatchbankError: as `Detector.updated` and `Detector.remembering`.
    """
    parts, lines = parts_of(before), list[str]()
    if lessons.remember:  # first, so that this update has to find them too
        edit = Edit("remember", said.reason, said.caller.name)
        parts, lines = with_remembered(parts, list(lessons.remember), edit)
    request = UpdateRequest(
        tuple(lessons.normal),
        lessons.limit_rows,
        lessons.force,
        said.reason,
        said.caller.name,
        tuple(lessons.must_find),
    )
    remarks, facts = Remarks(), UpdateFacts()
    if lessons.good or request.normal or not lessons.remember:
        good = list(lessons.good) or None
        parts, _ = updated(parts, good, request, listener(progress), remarks, facts)
    lines += [f"left out: {unread}" for unread in remarks.unread]
    lines += [*remarks.lines, *facts.rows_lines, *facts.lines, *facts.guard.lines]
    if facts.learned:
        lines.insert(0, facts.learned_line)
    if facts.passing:
        lines.append(facts.passing_line)
    if facts.guard.line:
        lines.append(facts.guard.line)
    details = {
        "learned": len(facts.learned),
        "passing": len(facts.passing),
        "defects_checked": facts.guard.n_checked,
        "defects_lost": list(facts.guard.names),
        "remembered": len(lessons.remember),
        "forced": lessons.force,
    }
    return detector_of(parts, None), list(dict.fromkeys(lines)), details
