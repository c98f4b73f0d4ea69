"""From a detector and further photographs to the new detector."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from patchbank.datasets import TrainingImages
from patchbank.detector.changes import check_reachable
from patchbank.detector.lineage.entry import MOST_NAMED, Added, Edit, Forced
from patchbank.detector.lineage.recording import recorded
from patchbank.detector.member import Member
from patchbank.detector.packing import DetectorParts
from patchbank.errors import CalibrationWarning, DataError, PhotographWarning
from patchbank.images.source import ImageInput
from patchbank.methods import ResizableBank
from patchbank.methods.memory_bank import BankModel
from patchbank.runtime.forks import computing
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.progress import Progress, listener
from patchbank.training.photographs import Remarks
from patchbank.training.update.guard import check_defects
from patchbank.training.update.joining import joined
from patchbank.training.update.members import (
    check_calibrated,
    check_continuable,
    continued_member,
    updates_of,
)
from patchbank.training.update.normal import with_normal
from patchbank.training.update.photographs import (
    check_alike,
    further_photographs,
)
from patchbank.training.update.request import UpdateFacts, UpdateRequest


@computing.long()
def updated(
    before: DetectorParts,
    good: ImageInput | Iterable[ImageInput] | TrainingImages | None,
    request: UpdateRequest,
    progress: Progress,
    remarks: Remarks,
    facts: UpdateFacts | None = None,
) -> tuple[DetectorParts, UpdateFacts]:
    """Let a detector learn further good photographs, then what is normal after a false alarm.

    Args:
        before: parts of the fitted detector.
        good: further photographs, as `Recipe.fit` takes them; None for none.
        request: all else that is asked.
        progress: shows the steps.
        remarks: receives lines about the photographs.
        facts: receives the facts, for a caller that needs them after an error too.

    Returns:
        The parts of the new detector, with an entry in its history for each of both, and facts.

    Raises:
        DataError: nothing is given, or all is known already, or photographs of something else.
        ImageError, ShapeError: photographs cannot be read.
        ParameterError: the detector cannot learn more without the photographs of its fit.
        GuardError: a defect that was found before would be lost.
    """
    facts = UpdateFacts() if facts is None else facts
    check_continuable(before)
    if good is None and not request.normal:
        raise DataError("expected photographs to learn from, got none")
    _remark_old_format(before, remarks)
    steps, are_unlike = list[tuple[str, DetectorParts]](), False
    after = before
    if good is not None:
        after, are_unlike = _with_good(before, good, request, facts, remarks, progress)
        steps.append(("update", after))
    if request.normal:
        after = with_normal(after, request, facts, progress)
        steps.append(("normal", after))
    if after is before:
        _refuse_nothing(before, request, facts, remarks)
    check_defects(before, after, request, facts, progress)
    after = _recorded(before, steps, request, facts, are_unlike=are_unlike)
    facts.rows = [
        (old.model.n_rows, new.model.n_rows)
        for old, new in zip(before.members, after.members, strict=True)
        if isinstance(old.model, ResizableBank) and isinstance(new.model, ResizableBank)
    ]
    facts.is_trimmed = any(map(_is_trimmed, before.members, after.members))
    LOGGER.info("learned %d further photographs", len(after.fitted_on) - len(before.fitted_on))
    return after, facts


def updated_with_warnings(
    before: DetectorParts,
    good: ImageInput | Iterable[ImageInput] | None,
    request: UpdateRequest,
    progress: Progress | None,
) -> DetectorParts:
    """`updated`, with its lines as warnings that point at the caller of `Detector.updated`."""
    remarks = Remarks()
    after, facts = updated(before, good, request, listener(progress), remarks)
    left_out = [f"left out: {error}" for error in remarks.unread]
    for line in [*left_out, *remarks.lines, *facts.lines, *facts.guard.lines]:
        warnings.warn(line, PhotographWarning, stacklevel=3)
    if after.calibration.remark:
        warnings.warn(after.calibration.remark, CalibrationWarning, stacklevel=3)
    return after


def _with_good(
    parts: DetectorParts,
    good: ImageInput | Iterable[ImageInput] | TrainingImages,
    request: UpdateRequest,
    facts: UpdateFacts,
    remarks: Remarks,
    progress: Progress,
) -> tuple[DetectorParts, bool]:
    """The parts that have learned the good photographs that are new.

    -> whether those show something else than was learned, too.
    """
    check_calibrated(parts)
    further = further_photographs(parts, good, facts, remarks, progress)
    if further is None:
        return parts, False
    members = [
        continued_member(parts, number, further, request, progress)
        for number in range(len(parts.members))
    ]
    predictions = list(zip(*(member.before for member in members), strict=True))
    is_forced = check_alike(parts, further, predictions, remarks, force=request.force)
    after = replace(joined(parts, members, further, progress), updates=updates_of(parts))
    check_reachable(after.calibration)
    remarks.lines += further.search.grouping().lines
    facts.learned += further.names
    facts.sources += further.search.sources
    facts.flagged = further.flagged(parts, predictions)
    return after, is_forced


def _recorded(
    before: DetectorParts,
    steps: Sequence[tuple[str, DetectorParts]],
    request: UpdateRequest,
    facts: UpdateFacts,
    *,
    are_unlike: bool,
) -> DetectorParts:
    """The parts after all steps, with an entry about each that changed something.

    Args:
        before: the parts before them.
        steps: kind of each, and the parts after it.
        request: who and why.
        facts: what the guard found; it is written to the last entry.
        are_unlike: whether good photographs show something else than was learned.
    """
    changes, old = [], before
    for kind, new in steps:
        if new is not old:
            changes.append((kind, old, new))
        old = new
    after = before
    for number, (kind, old, new) in enumerate(changes, start=1):
        lost = facts.guard.names if number == len(changes) else ()
        forced = None
        if lost or (are_unlike and kind == "update"):
            forced = Forced(request.reason or "no reason given", lost[:MOST_NAMED], len(lost))
        edit = Edit(kind, request.reason, request.by, _added(old, new), forced)
        after = recorded(after, new, edit)
    return after


def _added(before: DetectorParts, after: DetectorParts) -> tuple[Added, ...]:
    """The photographs that a step has learned."""
    first, digests = len(before.fitted_on), after.photograph_digests
    return tuple(
        Added(name, None if digests is None else bytes(digests[first + number]).hex())
        for number, name in enumerate(after.fitted_on[first:])
    )


def _remark_old_format(parts: DetectorParts, remarks: Remarks) -> None:
    """Say what cannot be checked with a file of an older format."""
    missing = []
    if parts.photograph_digests is None:
        missing.append("digests of its photographs, so that those are not recognised")
    if parts.likeness is None:
        missing.append("traits of its photographs, so that other parts are not recognised")
    if missing:
        remarks.lines.append(f"the file is of an older format, without {' and '.join(missing)}")


def _is_trimmed(before: Member, after: Member) -> bool:
    """Whether rows of a bank were dropped."""
    old, new = before.model, after.model
    if not (isinstance(old, BankModel) and isinstance(new, BankModel)):
        return False
    return not np.array_equal(old.bank, new.bank[: old.n_rows])


def _refuse_nothing(
    before: DetectorParts, request: UpdateRequest, facts: UpdateFacts, remarks: Remarks
) -> None:
    """Raise a DataError that says why nothing was learned."""
    if facts.passing:
        own = f"{before.calibration.threshold:.4g}"
        found = {f"{each.threshold:.4g}" for each in request.normal if each.threshold is not None}
        others = sorted(found - {own}, key=float)
        made = f" (the results were made with {', '.join(others[:MOST_NAMED])})" if others else ""
        cure = "set the threshold of the detector first (patchbank tune); " if others else ""
        raise DataError(
            f"expected photographs that are flagged, got {_count(facts.passing)} that "
            f"{'passes' if len(facts.passing) == 1 else 'pass'} at the threshold of the detector, "
            f"{own}{made}; {cure}nothing was changed"
        )
    unread = f", and others that cannot be read ({'; '.join(remarks.unread)})"
    raise DataError(
        f"expected photographs that are not learned yet, got {_count(facts.known)} that are"
        f"{unread if remarks.unread else ''}; nothing was changed"
    )


def _count(names: Sequence[str]) -> str:
    return "1" if len(names) == 1 else f"{len(names):,}"
