"""Changes of a detector with their entry in its history."""

from __future__ import annotations

import math
from dataclasses import replace

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.bundle import Bundle
from patchbank.detector.lineage.chain import BUDGET, Lineage, begun, size_of
from patchbank.detector.lineage.entry import Edit, Limits, program_version
from patchbank.detector.lineage.state import State, state_of, with_backbones
from patchbank.detector.packing import DetectorParts, pack, unpack
from patchbank.errors import ParameterError

HIGHEST = 1e300
"""Threshold that stands in an entry for one that is not finite."""


def recorded(before: DetectorParts, after: DetectorParts, edit: Edit) -> DetectorParts:
    """The parts after a change, with the history of those before and one more entry.

    A history begins with the first change that is recorded.  Where both are equal to the last bit,
    nothing is added.

    Args:
        before: the parts that were changed, with their history if they have one.
        after: what the change made of them; a history of its own is ignored.
        edit: what is written down about it.

    Raises:
        ParameterError: the parts have different backbones, which no change can give.
    """
    _, old_state = _content(before)
    new, new_state = _content(after)
    if old_state.backbones != new_state.backbones:
        raise ParameterError(
            "lineage: expected a change of what was learned, got another backbone; fit a new file"
        )
    if old_state.is_same(new_state):
        return replace(after, lineage=before.lineage)
    lineage = _lineage_of(before, old_state).appended(
        edit,
        (limits_of(before.calibration), limits_of(after.calibration)),
        (old_state, new_state),
        BUDGET * size_of(new.tensors, new.record),
    )
    return replace(after, lineage=lineage)


def undone(parts: DetectorParts, to: int | None, edit: Edit) -> DetectorParts:
    """The parts of an earlier state, to the last bit, with an entry about the undo.

    Texts of the author are no part of the state, and stay as they are.

    Args:
        parts: the present ones.
        to: number of the entry whose state is restored; None for the state before the last change.
        edit: of kind ``undo``.

    Raises:
        ParameterError: there is no history, or no such state in it any more.
        DetectorFileError: the history was altered.
    """
    if parts.lineage is None:
        raise ParameterError(
            "to: expected a detector that was changed, got one as it was fitted, or changed "
            "without a record"
        )
    present, state = _content(parts)
    lineage = _lineage_of(parts, state)
    number = lineage.target(to)
    earlier = lineage.state_at(number, state)
    first = parts.members[0]
    engine = getattr(getattr(first.extractor, "engine", None), "name", None)
    content = with_backbones(earlier, present)
    found = unpack(content, f"entry {number}", first.device, engine)
    _, written = _content(found)
    after = lineage.undone(number, edit, limits_of(parts.calibration))
    return replace(found, lineage=after.read_as(earlier, written), card=parts.card)


def limits_of(calibration: Calibration) -> Limits:
    """The thresholds of a calibration, as an entry has them."""
    return Limits(_finite(calibration.threshold), _finite(calibration.pixel_threshold))


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else math.copysign(HIGHEST, value)


def _content(parts: DetectorParts) -> tuple[Bundle, State]:
    """The content of a file without the history, and its state."""
    content = pack(replace(parts, lineage=None), as_onnx=False)
    return content, state_of(content)


def _lineage_of(parts: DetectorParts, state: State) -> Lineage:
    """The history of parts, which begins here where they have none."""
    if parts.lineage is not None:
        return parts.lineage.settled(state)
    digests = parts.photograph_digests
    return begun(
        parts.fitted_on,
        None if digests is None else [bytes(digest).hex() for digest in digests],
        limits_of(parts.calibration),
        state,
        parts.versions.get("patchbank", program_version()),
    )
