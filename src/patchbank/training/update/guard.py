"""The guard of an update: photographs confirmed as defects are still found after it.

They are inspected before and after, with the threshold of each.  One that was found before and is
not found after is lost: the update is refused, unless a person forces it with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from patchbank.detector.explanation.at_hand import NewPhotographs
from patchbank.detector.explanation.explain import Learned
from patchbank.detector.explanation.explained import Explanation, GoodPatch, OddPatch
from patchbank.detector.explanation.words import box_words
from patchbank.detector.inspecting import inspect_photograph, outcome_of
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.packing import DetectorParts
from patchbank.detector.remembered import RememberedDefect
from patchbank.detector.remembering import bound
from patchbank.errors import DataError, GuardError, PatchbankError
from patchbank.images.folders import list_images
from patchbank.images.source import ImageInput, ImageSource, image_source, n_pixels
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.training.update.findings import GuardFindings, LostDefect
from patchbank.training.update.request import UpdateFacts, UpdateRequest

LAST_DIGIT = 1e-6
"""Share of a score by which it may differ from one that stayed."""


def defects_of(given: ImageInput | Iterable[ImageInput] | None) -> tuple[ImageSource, ...]:
    """The photographs confirmed as defects: of a folder, a file, or several of both.

    Raises:
        DataError: a folder is not there or has no photograph in it, or the list is empty.
    """
    if given is None:
        return ()
    found = tuple(image_source(image) for image in list_images(given))
    if not found:
        raise DataError("must_find: expected at least one photograph of a defect, got none")
    return found


def check_defects(
    before: DetectorParts,
    after: DetectorParts,
    request: UpdateRequest,
    facts: UpdateFacts,
    progress: Progress,
) -> None:
    """Look for defects before and after an update.

    Args:
        before: parts before it.
        after: parts after it, with the new threshold.
        request: names the photographs.
        facts: receives the findings.
        progress: shows the photographs.

    Raises:
        GuardError: a defect is lost or cannot be inspected, and that is not forced with a reason.
    """
    findings = facts.guard
    for defect in before.remembered:
        _check_remembered(findings, before, after, defect)
    with progress.task("inspecting defects", len(request.must_find)) as advance:
        for _, future in map_in_order(
            partial(_looked_for, before, after), request.must_find, n_pixels
        ):
            _note(facts, before, after, *future.result())
            advance(1)
    if findings.is_passed or (request.force and request.reason.strip()):
        return
    cure = "leave out what hides them, or give force with a reason (--force --reason TEXT)"
    if request.force:
        cure = "force needs a reason here, which is kept in the history (--reason TEXT)"
    lost = tuple(one.name for one in findings.lost)
    raise GuardError(
        f"{findings.refusal}; nothing was changed: {cure}", lost, tuple(findings.unread)
    )


def _check_remembered(
    findings: GuardFindings, before: DetectorParts, after: DetectorParts, defect: RememberedDefect
) -> None:
    """Add a remembered defect to the findings, by the bounds of its score before and after."""
    old, threshold = bound(before, defect), before.calibration.threshold
    if not old > threshold:
        findings.missed.append(defect.name)
        return
    findings.n_checked += 1
    new, new_threshold = bound(after, defect), after.calibration.threshold
    if new > new_threshold:
        return
    stays = new >= old * (1 - LAST_DIGIT)
    cause = "its score stays, the threshold rose" if stays else "hidden, by its remembered patches"
    findings.lost.append(LostDefect(defect.name, (old, threshold), (new, new_threshold), cause))


def _looked_for(
    before: DetectorParts, after: DetectorParts, source: ImageSource
) -> tuple[Inspection | FailedInspection, Inspection | FailedInspection | None]:
    """A defect before and, if it was found, after."""
    old = _outcome(before, source)
    if isinstance(old, FailedInspection) or not old.is_anomalous:
        return old, None
    return old, _outcome(after, source)


def _outcome(parts: DetectorParts, source: ImageSource) -> Inspection | FailedInspection:
    return outcome_of(partial(inspect_photograph, parts, source, keep_image=False), source.name)


def _note(
    facts: UpdateFacts,
    before: DetectorParts,
    after: DetectorParts,
    old: Inspection | FailedInspection,
    new: Inspection | FailedInspection | None,
) -> None:
    """Add a defect to the findings."""
    findings = facts.guard
    for one in (old, new):
        if isinstance(one, FailedInspection):
            findings.unread.append(one.error)
            return
    assert isinstance(old, Inspection)
    if not isinstance(new, Inspection):
        findings.missed.append(old.image)
        return
    findings.n_checked += 1
    if new.is_anomalous:
        return
    explanation = _explained(old, after, len(before.fitted_on), facts.sources)
    findings.lost.append(
        LostDefect(
            old.image,
            (old.score, old.threshold),
            (new.score, new.threshold),
            _cause(old, new, explanation, len(before.fitted_on)),
            old,
            explanation,
        )
    )


def _explained(
    old: Inspection, after: DetectorParts, n_before: int, sources: Sequence[ImageSource]
) -> Explanation | None:
    """The odd spots of the inspection before, compared with the detector after.

    Patches of new photographs are named alone where there are some, as they are what may hide it.
    """
    try:
        found = replace(old, learned=Learned(after)).explain()
    except PatchbankError:  # its file was removed meanwhile: the defect is lost all the same
        return None
    spots = tuple(
        replace(spot, patches=tuple(_with_new(patch, n_before) for patch in spot.patches))
        for spot in found.spots
    )
    return replace(found, spots=spots, pictures=NewPhotographs(sources, n_before, found.pictures))


def _with_new(patch: OddPatch, n_before: int) -> OddPatch:
    new = tuple(good for good in patch.nearest if good.number >= n_before)
    return replace(patch, nearest=new or patch.nearest)


def _cause(old: Inspection, new: Inspection, explanation: Explanation | None, n_before: int) -> str:
    """The reason why a defect is lost: a patch of a new photograph, or a threshold that rose."""
    if new.score >= old.score * (1 - LAST_DIGIT):
        return "its score stays, the threshold rose"
    spots = () if explanation is None else explanation.spots
    nearest = [good for spot in spots for patch in spot.patches for good in patch.nearest]
    return _hidden_by([one for one in nearest if one.number >= n_before])


def _hidden_by(new: Sequence[GoodPatch]) -> str:
    """The nearest of the new patches, in words; nothing where there is none."""
    if not new:
        return ""
    best = new[int(np.argmin([np.inf if e.distance is None else e.distance for e in new]))]
    where = "" if best.box is None else f" ({box_words(best.box)})"
    return f"hidden by {best.photograph}{where}"
