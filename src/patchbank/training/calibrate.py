"""Calibrate a detector by the leave-one-out scores of its good images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.member import (
    Member,
    MemberPrediction,
    MemberPredictions,
    ScoreStandardization,
    combined_map,
    combined_score,
    origins,
    patch_distances,
)
from patchbank.methods import ResizableBank
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.types import Indices


@dataclass(frozen=True, slots=True)
class FittedMember:
    """A member, and its predictions for images that it did not learn."""

    member: Member
    left_out: list[MemberPrediction]
    """Prediction for each good photograph when it is left out; with a single one, for each of its
    other views."""
    left_out_by_size: Mapping[int, list[MemberPrediction]]
    """The same for smaller banks, by number of rows; empty if they are not calibrated."""
    uncovered: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(k,) as `methods.base.Fit` has it."""


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The calibration of a detector, and those of its smaller banks."""

    whole: Calibration
    by_size: BankSizeCalibration | None
    """Calibrations of smaller banks; None where the bank cannot be truncated."""
    patch_distances: NDArray[np.float64]
    """(s, n, 2) `member.PatchDistances` of each image, for each size that is calibrated."""


def standardised(fitted: FittedMember, progress: Progress) -> FittedMember:
    """The member with scores and maps standardised, so that it can be averaged with others."""
    scores, peaks, _ = scores_and_peaks([[fitted.left_out]], progress)
    image_scale, map_scale = ScoreStandardization.of(scores[0]), ScoreStandardization.of(peaks[0])
    return FittedMember(
        member=replace(fitted.member, image_scale=image_scale, map_scale=map_scale),
        left_out=[
            replace(prediction, image_scale=image_scale, map_scale=map_scale)
            for prediction in fitted.left_out
        ],
        left_out_by_size={},
    )


def calibrate(
    fitted: Sequence[FittedMember],
    false_alarm_rate: float,
    progress: Progress,
    *,
    views_of_one: bool,
    groups: Indices | None = None,
) -> Calibrations:
    """Calibrate the members together.

    Args:
        fitted: one member, or several that are standardised.
        false_alarm_rate: share of good images that may be called anomalous.
        progress: shows the images.
        views_of_one: whether there was a single photograph, so that other views of it are scored.
        groups: (n,) number of the group that each photograph was left out with; None where each was
            left out alone.
    """
    by_size = fitted[0].left_out_by_size
    scores, peaks, distances = scores_and_peaks(
        [*([smaller] for smaller in by_size.values()), [each.left_out for each in fitted]],
        progress,
    )
    score_origin, map_origin = origins([each.member for each in fitted])
    whole = Calibration(
        scores[-1],
        peaks[-1],
        false_alarm_rate,
        views_of_one=views_of_one,
        rule="ranks" if views_of_one else "tail",
        groups=None if groups is None else groups.astype(np.int32),
        score_origin=score_origin,
        map_origin=map_origin,
    )
    model = fitted[0].member.model
    if not by_size or not isinstance(model, ResizableBank):
        return Calibrations(whole, None, distances[-1:])
    sizes = np.array([*by_size, model.n_rows], dtype=np.int64)
    return Calibrations(whole, BankSizeCalibration(sizes, scores, peaks), distances)


def scores_and_peaks(
    variants: Sequence[Sequence[Sequence[MemberPrediction]]], progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scores, largest map values and patch distances of n images.  -> (s, n), (s, n), (s, n, 2).

    Args:
        variants: s variants of a detector, each with the predictions of its members for n images.
        progress: shows the images.
    """
    # Image by image: the maps of all variants of an image share their operators.
    of_images = [
        [tuple(predictions[number] for predictions in members) for members in variants]
        for number in range(len(variants[0][0]))
    ]
    found = []
    with progress.task("calibrating the maps", len(of_images)) as advance:
        for _, of_image in map_in_order(_score_peak_and_distances, of_images, _n_pixels):
            found.append(of_image.result())
            advance(1)
    numbers = np.array(found, dtype=np.float64).swapaxes(0, 1)
    return numbers[..., 0], numbers[..., 1], numbers[..., 2:]


def _score_peak_and_distances(variants: Sequence[MemberPredictions]) -> list[list[float]]:
    """Score of one image, largest value of its map, and patch distances, for each variant."""
    return [
        [
            combined_score(predictions),
            float(combined_map(predictions).max()),
            *patch_distances(predictions),
        ]
        for predictions in variants
    ]


def _n_pixels(variants: Sequence[MemberPredictions]) -> int:
    return variants[0][0].n_pixels
