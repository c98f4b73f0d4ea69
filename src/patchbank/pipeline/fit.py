"""Learn a detector from good photographs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from patchbank.backbones import FeatureExtractor, open_backbone
from patchbank.core.arrays import Device
from patchbank.core.calibration import Calibration
from patchbank.data.folders import good_images
from patchbank.data.images import ImageInput, read_image
from patchbank.data.prefetch import prefetched
from patchbank.devices import open_device
from patchbank.errors import CalibrationWarning, DataError, ParameterError
from patchbank.methods import METHODS, Method, PatchCoreSettings, Progress, Settings
from patchbank.methods.base import FeatureMaps
from patchbank.methods.settings import require_choice
from patchbank.pipeline.detector import Detector, versions
from patchbank.pipeline.features import View, extract
from patchbank.pipeline.members import Finding, Member, Scale, combined_map, combined_score
from patchbank.pipeline.progress import Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCore(PatchCoreSettings):
    """The recipe of a PatchCore detector: settings, and the verb that uses them.

    >>> PatchCore(image_size=320, bank_rows=4000).bank_rows
    4000
    """

    def fit(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> Detector:
        """Learn from good photographs.

        Args:
            images: a folder, a data set in MVTec layout (its ``train/good``), paths, or
                (H, W, 3) uint8 RGB arrays; at least two of them.
            device: where it is computed: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``,
                ``cuda:1``.
            progress: told how far it has come.

        Raises:
            DataError: fewer than two images, or a folder that holds others beside the good.
            ImageError, ShapeError: an image that cannot be read: what is learned from must be
                right, so nothing is skipped.
            ParameterError: settings that these images cannot meet, or no such device.
            BackboneError: no such backbone or layers, or weights that cannot be had.

        Warns:
            CalibrationWarning: too few images to resolve the false-alarm rate.
        """
        return _fit_recipes((self,), images, device, progress)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The recipe of a preset, with changes.

        ``fast``, ``balanced`` and ``accurate`` are sizes of ours; ``official``, ``hcw`` and
        ``anomalib`` do what those implementations do.

        >>> PatchCore.preset("fast", seed=1).backbone
        'efficientnet_lite0'
        """
        method = METHODS["patchcore"]
        require_choice("preset", name, method.presets)
        return cls.from_mapping(method.changed_preset(name, changes))


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The recipe of a detector of several members, each with its own backbone and bank.

    Each member's scores and maps are standardised by what it says of good images that are left
    out, then averaged; the threshold comes from those averages.  No test image is needed for it.

    >>> Ensemble((PatchCore(), PatchCore(backbone="efficientnet_lite0"))).recipes[1].image_size
    448
    """

    recipes: tuple[PatchCore, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipes", tuple(self.recipes))
        if not self.recipes:
            raise ParameterError("ensemble: expected at least one recipe, got none")
        for name in ("false_alarm_rate", "normalise_score"):
            values = {getattr(recipe, name) for recipe in self.recipes}
            if len(values) > 1:
                raise ParameterError(
                    f"{name}: expected the same for all members, got {sorted(values)}"
                )

    def fit(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> Detector:
        """Learn from good photographs; see `PatchCore.fit`."""
        return _fit_recipes(self.recipes, images, device, progress)


def _fit_recipes(
    recipes: Sequence[PatchCore],
    images: ImageInput | Iterable[ImageInput],
    device: str,
    progress: Progress | None,
) -> Detector:
    """What both recipes' `fit` do; a warning points at whoever called that."""
    parts = [(METHODS["patchcore"], recipe) for recipe in recipes]
    detector = fit(parts, images, progress or Silent(), open_device(device))
    if detector.calibration.remark:
        warnings.warn(detector.calibration.remark, CalibrationWarning, stacklevel=3)
    return detector


def fit(
    parts: Sequence[tuple[Method, Settings]],
    images: ImageInput | Iterable[ImageInput],
    progress: Progress,
    device: Device,
) -> Detector:
    """Learn a detector whose members are fitted by any methods."""
    sources = good_images(images)
    if len(sources) < 2:
        raise DataError(
            f"expected at least 2 good images (each is scored without itself to find the "
            f"threshold), got {len(sources)}"
        )
    fitted = [_fit_member(*part, sources, progress, device) for part in parts]
    if len(fitted) > 1:
        fitted = [_standardised(member, findings, progress) for member, findings in fitted]
    return Detector(
        members=tuple(member for member, _ in fitted),
        calibration=_calibration(
            parts[0][1].false_alarm_rate, [findings for _, findings in fitted], progress
        ),
        fitted_on=tuple(_name(source, number) for number, source in enumerate(sources)),
        versions=versions(),
    )


Fitted = tuple[Member, list[Finding]]
"""A member, and what it says of each good image when that is left out."""


def _fit_member(
    method: Method,
    settings: Settings,
    sources: list[ImageInput],
    progress: Progress,
    device: Device,
) -> Fitted:
    extractor = open_backbone(
        settings.backbone,
        settings.layers,
        normalisation=settings.normalisation,
        weights=settings.weights,
        device=device,
    )
    views: list[View] = []
    features = _features(extractor, settings, sources, views, progress)
    with device.precise():
        learned = method.fit(settings, features, len(sources), progress, device)
    member = Member(
        method=method.name,
        settings=settings,
        extractor=extractor,
        model=learned.model,
        device=device,
    )
    return member, [Finding(*pair) for pair in zip(learned.left_out, views, strict=True)]


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


def _standardised(member: Member, findings: list[Finding], progress: Progress) -> Fitted:
    """The same, on a scale that other members share."""
    scores = np.array([finding.image_score for finding in findings])
    peaks = _peaks([findings], progress)
    image_scale, map_scale = Scale.of(scores), Scale.of(peaks)
    scaled = [replace(f, image_scale=image_scale, map_scale=map_scale) for f in findings]
    return replace(member, image_scale=image_scale, map_scale=map_scale), scaled


def _calibration(
    false_alarm_rate: float, of_members: list[list[Finding]], progress: Progress
) -> Calibration:
    scores = [combined_score(findings) for findings in zip(*of_members, strict=True)]
    return Calibration(
        np.array(scores, dtype=np.float64), _peaks(of_members, progress), false_alarm_rate
    )


def _peaks(of_members: list[list[Finding]], progress: Progress) -> NDArray[np.float64]:
    """(n,) largest value of the map of each good image."""
    peaks = []
    with progress.task("calibrating the maps", len(of_members[0])) as advance:
        for findings in zip(*of_members, strict=True):
            peaks.append(combined_map(findings).max())
            advance(1)
    return np.array(peaks, dtype=np.float64)


def _name(source: ImageInput, number: int) -> str:
    return f"array {number}" if isinstance(source, np.ndarray) else Path(source).name
