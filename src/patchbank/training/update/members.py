"""Members of a detector learn further photographs, one member after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.packing import DetectorParts
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.detector.tiling import photograph_scores
from patchbank.detector.updates import Updates
from patchbank.errors import ParameterError
from patchbank.methods import METHODS, FittedMethod, Method, PatchScores, ResizableBank
from patchbank.methods.continuation import Continuation
from patchbank.methods.memory_bank import BankModel
from patchbank.runtime.progress import Progress
from patchbank.training.extraction import extract_images
from patchbank.training.update.photographs import FurtherPhotographs
from patchbank.training.update.request import UpdateRequest

GROWTH = 1.5
"""Rows that a bank may have, by those of the fit."""


@dataclass(frozen=True, slots=True)
class ContinuedMember:
    """A member that has learned further photographs, and its predictions for those."""

    member: Member
    before: list[MemberPrediction]
    """Predictions of the member before it learned them."""
    left_out: list[MemberPrediction]
    """Predictions of the member after, each without the photograph and its group."""
    left_out_by_size: Mapping[int, list[MemberPrediction]]
    """The same for smaller banks; empty where they are not known."""


def check_continuable(parts: DetectorParts) -> None:
    """Check that a detector can learn more without the photographs of its fit.

    Raises:
        ParameterError: a method cannot.
    """
    for member in parts.members:
        if METHODS[member.method].continued is None:
            able = [name for name in METHODS if METHODS[name].continued is not None]
            raise ParameterError(
                f"method: expected one that learns further photographs ({', '.join(able)}), got "
                f"{member.method}, which is trained on all of them at once; fit it anew on all"
            )


def check_calibrated(parts: DetectorParts) -> None:
    """Check that left-out scores of further photographs can join those of a detector.

    Raises:
        ParameterError: they are scores of other views of a single photograph.
    """
    if parts.calibration.views_of_one:
        raise ParameterError(
            "detector: expected one of two good photographs or more, got one of a single "
            "photograph, whose threshold is that of other views of it; fit it anew on all"
        )


def updates_of(parts: DetectorParts) -> Updates:
    """Facts of the updates so far; before the first one, those of the fit."""
    if parts.updates is not None:
        return parts.updates
    return Updates((), tuple(_rows_of_fit(member.model) for member in parts.members))


def _rows_of_fit(model: FittedMethod) -> int | None:
    if isinstance(model, BankModel):
        return model.usual_rows
    return model.n_rows if isinstance(model, ResizableBank) else None


def continuation(
    parts: DetectorParts, number: int, n_photographs: int, request: UpdateRequest
) -> Continuation:
    """The request to a member.

    Args:
        parts: of the detector.
        number: of the member.
        n_photographs: that are to be learned.
        request: has the limit of the rows.
    """
    updates, copies = updates_of(parts), len(parts.members[number].settings.copies)
    of_fit, most = updates.fit_rows[number], request.limit_rows
    if most is None and of_fit is not None:
        most = math.ceil(GROWTH * of_fit)
    sizes = parts.bank_size_calibration
    return Continuation(
        n_images=n_photographs * copies,
        n_learned=len(parts.fitted_on),
        n_copies=copies,
        sizes=() if sizes is None else tuple(sizes.bank_rows[:-1].tolist()),
        most_rows=most,
        kept=updates.normal,
    )


def method_of(member: Member) -> Method:
    """The method of a member, which can be continued."""
    return METHODS[member.method]


def continued_member(
    parts: DetectorParts,
    number: int,
    further: FurtherPhotographs,
    request: UpdateRequest,
    progress: Progress,
) -> ContinuedMember:
    """Let one member learn the photographs.

    The features go to the method image by image; those of all images are never held here.
    """
    member, search = parts.members[number], further.search
    settings, sources, method = member.settings, search.sources, method_of(member)
    if method.continued is None:
        raise ParameterError(f"method: expected one that can be continued, got {method.name}")
    asked = continuation(parts, number, len(sources), request)
    geometries = []
    with member.device.full_precision():
        learner = method.continued(member.model, asked, progress, member.device)
        for image in extract_images(member.extractor, settings, sources, progress, None, parts.roi):
            learner.add(image.features)
            if image.overview is not None:
                geometries.append(image.geometry)
                search.add(image.overview)
        fit = learner.fit(search.grouping().numbers)
    after = replace(member, model=fit.model)

    def predictions(scores: Sequence[PatchScores]) -> list[MemberPrediction]:
        scales = member.image_scale, member.map_scale
        return [
            MemberPrediction(whole(member, own, geometry), geometry, *scales)
            for own, geometry in zip(scores, geometries, strict=True)
        ]

    by_size = {n: predictions(scores) for n, scores in fit.calibration_by_size.items()}
    return ContinuedMember(after, predictions(fit.before), predictions(fit.left_out), by_size)


def whole(member: Member, scores: PatchScores, geometry: ImageGeometry) -> PatchScores:
    """Scores of a photograph; where it came in tiles, the image score follows from all of them."""
    if not member.settings.tiles:
        return scores
    return photograph_scores(member.extractor, member.settings, scores, geometry)
