"""Learn a detector from good photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import ONNX_RUNTIME, Engine, FeatureExtractor, open_backbone
from patchbank.core.arrays import Device
from patchbank.core.calibration import Calibration
from patchbank.data.augment import Copy, views_of_one
from patchbank.data.folders import good_images
from patchbank.data.images import ImageInput, n_pixels, read_image
from patchbank.errors import DataError
from patchbank.methods import Method, Progress, Settings
from patchbank.methods.base import Example, FeatureMaps
from patchbank.pipeline.detector import Detector, versions
from patchbank.pipeline.features import View, extract
from patchbank.pipeline.members import (
    Finding,
    Findings,
    Member,
    Scale,
    combined_map,
    combined_score,
)
from patchbank.threads import side_by_side
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
        _fit_member(method, settings, opened(settings), sources, progress, device)
        for method, settings in parts
    ]
    if len(fitted) > 1:
        fitted = [_standardised(member, findings, progress) for member, findings in fitted]
    return Detector(
        members=tuple(member for member, _ in fitted),
        calibration=_calibration(
            parts[0][1].false_alarm_rate,
            [findings for _, findings in fitted],
            len(sources),
            progress,
        ),
        fitted_on=tuple(_name(source, number) for number, source in enumerate(sources)),
        versions=versions(),
    )


Fitted = tuple[Member, list[Finding]]
"""A member, and what it says of each good image when that is left out."""


def _fit_member(
    method: Method,
    settings: Settings,
    extractor: FeatureExtractor,
    sources: list[ImageInput],
    progress: Progress,
    device: Device,
) -> Fitted:
    views: list[View] = []
    examples = _examples(extractor, settings, sources, views, progress)
    with device.precise():
        learned = method.fit(
            settings, examples, len(sources) * len(settings.copies), progress, device
        )
    member = Member(
        method=method.name,
        settings=settings,
        extractor=extractor,
        model=learned.model,
        device=device,
    )
    if len(sources) == 1:
        photograph = read_image(sources[0])
        return member, [member.find(view.of(photograph)) for view in views_of_one(settings.copies)]
    return member, [Finding(*pair) for pair in zip(learned.left_out, views, strict=True)]


def _examples(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: list[ImageInput],
    views: list[View],
    progress: Progress,
) -> Iterator[Example]:
    """Yield the features of each photograph and its copies in turn.

    How the photographs themselves were looked at is noted in `views`.
    """

    def looked_at(look: tuple[int, Image, Copy]) -> tuple[FeatureMaps, View]:
        _, photograph, copy = look
        return extract(extractor, settings, copy.of(photograph))

    looks = (
        (number, decoded.result(), copy)
        for number, (_, decoded) in enumerate(side_by_side(read_image, sources, n_pixels))
        for copy in settings.copies
    )
    title = "reading good images"
    with progress.task(title, len(sources) * len(settings.copies)) as advance:
        for look, taken in side_by_side(looked_at, looks, lambda look: n_pixels(look[1])):
            number, photograph, copy = look
            maps, view = taken.result()
            if copy.is_original:
                views.append(view)
                yield Example(maps, number)
            else:
                inside = copy.inside(photograph.shape[:2], view.cells, view.window)
                yield Example(maps, number, inside)
            advance(1)


def _standardised(member: Member, findings: list[Finding], progress: Progress) -> Fitted:
    """The same, on a scale that other members share."""
    scores = np.array([finding.image_score for finding in findings])
    peaks = _peaks([findings], progress)
    image_scale, map_scale = Scale.of(scores), Scale.of(peaks)
    scaled = [replace(f, image_scale=image_scale, map_scale=map_scale) for f in findings]
    return replace(member, image_scale=image_scale, map_scale=map_scale), scaled


def _calibration(
    false_alarm_rate: float,
    of_members: list[list[Finding]],
    n_photographs: int,
    progress: Progress,
) -> Calibration:
    scores = [combined_score(findings) for findings in zip(*of_members, strict=True)]
    return Calibration(
        np.array(scores, dtype=np.float64),
        _peaks(of_members, progress),
        false_alarm_rate,
        views_of_one=n_photographs == 1,
    )


def _peaks(of_members: list[list[Finding]], progress: Progress) -> NDArray[np.float64]:
    """(n,) largest value of the map of each good image."""
    peaks = []
    with progress.task("calibrating the maps", len(of_members[0])) as advance:
        of_images = zip(*of_members, strict=True)
        for _, peak in side_by_side(_peak, of_images, lambda findings: findings[0].n_pixels):
            peaks.append(peak.result())
            advance(1)
    return np.array(peaks, dtype=np.float64)


def _peak(findings: Findings) -> float:
    return float(combined_map(findings).max())


def _name(source: ImageInput, number: int) -> str:
    return f"array {number}" if isinstance(source, np.ndarray) else Path(source).name
