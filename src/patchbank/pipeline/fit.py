"""Learn a detector from good photographs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from patchbank.backbones import FeatureExtractor, open_backbone
from patchbank.core.calibration import Calibration
from patchbank.data.folders import good_images
from patchbank.data.images import ImageInput, read_image
from patchbank.data.prefetch import prefetched
from patchbank.errors import CalibrationWarning, DataError
from patchbank.methods import METHODS, Method, PatchCoreSettings, Progress, Scored, Settings
from patchbank.methods.base import FeatureMaps
from patchbank.methods.settings import require_choice
from patchbank.pipeline.detector import Detector, versions
from patchbank.pipeline.features import View, extract
from patchbank.pipeline.progress import Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCore(PatchCoreSettings):
    """The recipe of a PatchCore detector: settings, and the verb that uses them.

    >>> PatchCore(image_size=320, bank_rows=4000).bank_rows
    4000
    """

    def fit(
        self, images: ImageInput | Iterable[ImageInput], *, progress: Progress | None = None
    ) -> Detector:
        """Learn from good photographs.

        Args:
            images: a folder, a data set in MVTec layout (its ``train/good``), paths, or
                (H, W, 3) uint8 RGB arrays; at least two of them.
            progress: told how far it has come.

        Raises:
            DataError: fewer than two images, or a folder that holds others beside the good.
            ImageError, ShapeError: an image that cannot be read: what is learned from must be
                right, so nothing is skipped.
            ParameterError: settings that these images cannot meet.

        Warns:
            CalibrationWarning: too few images to resolve the false-alarm rate.
        """
        detector = fit(METHODS["patchcore"], self, images, progress or Silent())
        if detector.calibration.remark:
            warnings.warn(detector.calibration.remark, CalibrationWarning, stacklevel=2)
        return detector

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The recipe of a preset (``fast``, ``balanced`` or ``accurate``), with changes.

        >>> PatchCore.preset("fast", seed=1).backbone
        'efficientnet_lite0'
        """
        presets = METHODS["patchcore"].presets
        require_choice("preset", name, tuple(presets))
        return cls.from_mapping({**presets[name], **changes})


def fit(
    method: Method,
    settings: Settings,
    images: ImageInput | Iterable[ImageInput],
    progress: Progress,
) -> Detector:
    """Learn a detector by any method."""
    sources = good_images(images)
    if len(sources) < 2:
        raise DataError(
            f"expected at least 2 good images (each is scored without itself to find the "
            f"threshold), got {len(sources)}"
        )
    extractor = open_backbone(settings.backbone, settings.layers, settings.normalisation)
    views: list[View] = []
    features = _features(extractor, settings, sources, views, progress)
    fitted = method.fit(settings, features, len(sources), progress)
    return Detector(
        method=method.name,
        settings=settings,
        extractor=extractor,
        model=fitted.model,
        calibration=_calibration(settings, fitted.left_out, views, progress),
        fitted_on=tuple(_name(source, number) for number, source in enumerate(sources)),
        versions=versions(),
    )


def _features(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: list[ImageInput],
    views: list[View],
    progress: Progress,
) -> Iterator[FeatureMaps]:
    """Yield the features of each image in turn, and note how it was looked at."""
    with progress.task("reading good images", len(sources)) as advance:
        for _, decoded in prefetched(read_image, sources):
            maps, view = extract(extractor, settings, decoded.result())
            views.append(view)
            yield maps
            advance(1)


def _calibration(
    settings: Settings, left_out: tuple[Scored, ...], views: list[View], progress: Progress
) -> Calibration:
    peaks = []
    with progress.task("calibrating the maps", len(views)) as advance:
        for scored, view in zip(left_out, views, strict=True):
            peaks.append(view.anomaly_map(scored, settings.smoothing).max())
            advance(1)
    return Calibration(
        np.array([scored.image_score for scored in left_out], dtype=np.float64),
        np.array(peaks, dtype=np.float64),
        settings.false_alarm_rate,
    )


def _name(source: ImageInput, number: int) -> str:
    return f"array {number}" if isinstance(source, np.ndarray) else Path(source).name
