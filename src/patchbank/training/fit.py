"""Learn a detector from good photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import ONNX_RUNTIME, Engine, FeatureExtractor, open_backbone
from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.detector import Detector, versions
from patchbank.detector.member import (
    Member,
    MemberPrediction,
    MemberPredictions,
    ScoreStandardization,
    combined_map,
    combined_score,
)
from patchbank.detector.preprocessing import ImageGeometry, extract
from patchbank.errors import DataError
from patchbank.images.augment import Augmentation, views_of_one
from patchbank.images.folders import good_images
from patchbank.images.read import ImageInput, n_pixels, read_image
from patchbank.methods import Method, PatchScores, Settings
from patchbank.methods.base import FeatureMaps, TrainingImage
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.types import Image

Wrap: TypeAlias = Callable[[FeatureExtractor], FeatureExtractor]


def fit(
    parts: Sequence[tuple[Method, Settings]],
    images: ImageInput | Iterable[ImageInput],
    progress: Progress,
    device: Device,
    *,
    engine: Engine = ONNX_RUNTIME,
    wrap: Wrap = lambda extractor: extractor,
) -> Detector:
    """Learn a detector whose members are fitted by any methods.

    Where there is one photograph only, nothing can be left out: other views of it stand in for the
    good photographs that are not there, and the calibration says so.

    Args:
        parts: method and settings of each member.
        images: as `Recipe.fit` takes them.
        progress: told how far it has come.
        device: where it is computed.
        engine: what runs ONNX backbones.
        wrap: what becomes of each opened backbone before it is used (a cache around it, say).
    """
    sources = good_images(images)
    if not sources:
        raise DataError("expected at least one good image, got none")

    def opened(settings: Settings) -> FeatureExtractor:
        return wrap(
            open_backbone(
                settings.backbone,
                settings.layers,
                normalisation=settings.normalisation,
                weights=settings.weights,
                device=device,
                engine=engine,
            )
        )

    fitted = [
        _fit_member(
            method,
            settings,
            opened(settings),
            sources,
            progress,
            device,
            with_smaller=len(parts) == 1,
        )
        for method, settings in parts
    ]
    if len(fitted) > 1:
        fitted = [_standardised(one, progress) for one in fitted]
    smaller = fitted[0].smaller
    scores, peaks = _scores_and_peaks(
        [*([findings] for findings in smaller.values()), [one.findings for one in fitted]],
        progress,
    )
    rate, is_one = parts[0][1].false_alarm_rate, len(sources) == 1
    by_bank_size = None
    if smaller:
        sizes = [*smaller, fitted[0].member.model.summary()["bank_rows"]]
        by_bank_size = BankSizeCalibration(np.array(sizes, dtype=np.int64), scores, peaks)
    return Detector(
        members=tuple(one.member for one in fitted),
        calibration=Calibration(scores[-1], peaks[-1], rate, views_of_one=is_one),
        bank_size_calibration=by_bank_size,
        fitted_on=tuple(_name(source, number) for number, source in enumerate(sources)),
        versions=versions(),
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """A member, and what it says of each good image when that is left out."""

    member: Member
    findings: list[MemberPrediction]
    smaller: Mapping[int, list[MemberPrediction]]
    """The same of smaller banks, by their rows, where it has one that can be cut."""


def _fit_member(
    method: Method,
    settings: Settings,
    extractor: FeatureExtractor,
    sources: list[ImageInput],
    progress: Progress,
    device: Device,
    *,
    with_smaller: bool,
) -> Fitted:
    """Fit one member; only one that is alone can be cut to a smaller bank."""
    views: list[ImageGeometry] = []
    examples = _examples(extractor, settings, sources, views, progress)
    with device.full_precision():
        learned = method.fit(
            settings, examples, len(sources) * len(settings.copies), progress, device
        )
        left_out_of = learned.left_out_of() if with_smaller else {}
    member = Member(
        method=method.name,
        settings=settings,
        extractor=extractor,
        model=learned.model,
        device=device,
    )
    if len(sources) == 1:
        photograph = read_image(sources[0])
        others = [member.find(view.of(photograph)) for view in views_of_one(settings.copies)]
        return Fitted(member, others, {})

    def findings(left_out: Sequence[PatchScores]) -> list[MemberPrediction]:
        return [MemberPrediction(*pair) for pair in zip(left_out, views, strict=True)]

    smaller = {rows: findings(left_out) for rows, left_out in left_out_of.items()}
    return Fitted(member, findings(learned.left_out), smaller)


def _examples(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: list[ImageInput],
    views: list[ImageGeometry],
    progress: Progress,
) -> Iterator[TrainingImage]:
    """Yield the features of each photograph and its copies in turn.

    How the photographs themselves were looked at is noted in `views`.
    """

    def looked_at(look: tuple[int, Image, Augmentation]) -> tuple[FeatureMaps, ImageGeometry]:
        _, photograph, copy = look
        return extract(extractor, settings, copy.of(photograph))

    looks = (
        (number, decoded.result(), copy)
        for number, (_, decoded) in enumerate(map_in_order(read_image, sources, n_pixels))
        for copy in settings.copies
    )
    title = "reading good images"
    with progress.task(title, len(sources) * len(settings.copies)) as advance:
        for look, taken in map_in_order(looked_at, looks, lambda look: n_pixels(look[1])):
            number, photograph, copy = look
            maps, view = taken.result()
            if copy.is_original:
                views.append(view)
                yield TrainingImage(maps, number)
            else:
                inside = copy.inside(photograph.shape[:2], view.cells, view.window)
                yield TrainingImage(maps, number, inside)
            advance(1)


def _standardised(one: Fitted, progress: Progress) -> Fitted:
    """The same, on a scale that other members share."""
    scores, peaks = _scores_and_peaks([[one.findings]], progress)
    image_scale, map_scale = ScoreStandardization.of(scores[0]), ScoreStandardization.of(peaks[0])
    scaled = [replace(f, image_scale=image_scale, map_scale=map_scale) for f in one.findings]
    member = replace(one.member, image_scale=image_scale, map_scale=map_scale)
    return Fitted(member, scaled, {})


def _scores_and_peaks(
    of_detectors: Sequence[Sequence[Sequence[MemberPrediction]]], progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of the good images, and the largest values of their maps.  -> (s, n), (s, n).

    Args:
        of_detectors: s detectors, each with the findings of its members on n images.
        progress: told how far it has come.
    """
    of_images = [
        [tuple(member[number] for member in members) for members in of_detectors]
        for number in range(len(of_detectors[0][0]))
    ]  # image by image: all maps of an image are drawn with the same operators
    pairs = []
    with progress.task("calibrating the maps", len(of_images)) as advance:
        for _, pair in map_in_order(_score_and_peak, of_images, lambda some: some[0][0].n_pixels):
            pairs.append(pair.result())
            advance(1)
    scores, peaks = np.array(pairs, dtype=np.float64).transpose(1, 2, 0)
    return scores, peaks


def _score_and_peak(of_detectors: Sequence[MemberPredictions]) -> tuple[list[float], list[float]]:
    """Of one image: its score and its map's largest value, for several detectors."""
    scores = [combined_score(findings) for findings in of_detectors]
    return scores, [float(combined_map(findings).max()) for findings in of_detectors]


def _name(source: ImageInput, number: int) -> str:
    return f"array {number}" if isinstance(source, np.ndarray) else Path(source).name
