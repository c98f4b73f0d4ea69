"""`check_photographs`: all checks of a set of photographs, in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from patchbank.check.copied import find_copies
from patchbank.check.findings import KINDS, Finding, PhotographCheck
from patchbank.check.reading import Listing, Photograph, listed, read
from patchbank.check.scores import find_unlike
from patchbank.check.traits import unusual_traits
from patchbank.errors import DataError
from patchbank.images.distinct_names import distinct_names
from patchbank.images.roi import ShapeInput
from patchbank.images.source import ImageInput
from patchbank.runtime.progress import Progress, listener
from patchbank.runtime.torch_device import open_device
from patchbank.training.interest import Interest


def check_photographs(
    good: ImageInput | Iterable[ImageInput],
    *,
    test: str | os.PathLike[str] | None = None,
    scores: bool = True,
    roi: ShapeInput | None = None,
    ignore: ShapeInput | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> PhotographCheck:
    """Find what is wrong with photographs before anything is learned of them.

    Nothing is changed.  A regular set has few findings, but may have some: a person decides about
    each.

    Args:
        good: photographs to learn from, as `Recipe.fit` takes them.
        test: data set or folder of test photographs, of which copies among the good ones are named;
            None takes the test part of `good`, if that is a data set.
        scores: whether probable defects are looked for, which needs a quick fit.
        roi: part of each photograph in which they are looked for; as `Recipe.fit` takes it.
        ignore: part in which they are not.
        device: where that computes.
        progress: shows the steps.

    Raises:
        DataError: no photograph, or it is not clear which ones are good; or all are unreadable.
        ParameterError: no such device, or a region that does not fit the photographs.
    """
    progress = listener(progress)
    found_device, interest = open_device(device), Interest.of(roi, ignore)
    listing = listed(good, None if test is None else Path(test))
    photographs, bit_depth, notes = read(listing, progress)
    readable = [one for one in photographs if one.facts is not None]
    if not any(not one.is_test for one in readable):
        errors = [one.error for one in photographs if not one.is_test]
        raise DataError(
            f"expected photographs that can be read, got {len(errors)} that cannot; the first: "
            f"{errors[0]}"
        )
    findings = _files(listing, photographs)
    copies, groups = find_copies(readable)
    learned = [one for one in photographs if not one.is_test]
    odd, mixed = unusual_traits(learned)
    findings += [*copies, *odd]
    notes = [*listing.notes, *notes, *mixed]
    if scores:
        single = _one_of_each(readable, groups, findings)
        unlike, said = find_unlike(single, bit_depth, interest, progress, found_device)
        findings += unlike
        notes += said
    if len(learned) == 1:
        notes.append("one photograph: nothing to compare it with")
    return PhotographCheck(
        n_good=listing.n_good,
        n_test=len(photographs) - listing.n_good,
        findings=tuple(sorted(findings, key=lambda finding: KINDS.index(finding.kind))),
        notes=tuple(notes),
        sources={one.name: one.source for one in photographs},
    )


def _files(listing: Listing, photographs: Sequence[Photograph]) -> list[Finding]:
    """Findings about files that show nothing."""
    unreadable = {one.name: one.error for one in photographs if one.facts is None}
    names = distinct_names(listing.skipped)
    skipped = {
        name: f"{path.suffix.lower() or 'without an ending'} is not read"
        for name, path in zip(names, listing.skipped, strict=True)
    }
    kinds = (Finding("unreadable", unreadable), Finding("skipped", skipped))
    return [finding for finding in kinds if finding.details]


def _one_of_each(
    readable: Sequence[Photograph], groups: Sequence[Sequence[int]], findings: Sequence[Finding]
) -> list[Photograph]:
    """The good photographs that show something, and one of each group of copies."""
    empty = {
        name
        for finding in findings
        if finding.kind in ("black", "one_colour")
        for name in finding.names
    }
    again: set[int] = set()
    for group in groups:
        again |= {*[number for number in group if not readable[number].is_test][1:]}
    return [
        one
        for number, one in enumerate(readable)
        if not one.is_test and number not in again and one.name not in empty
    ]
