"""A fitted detector: what `fit` returns, `load` reads, and `predict` runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor, OnnxExtractor
from patchbank.bundle import Bundle, read_bundle, write_bundle
from patchbank.core.calibration import Calibration
from patchbank.core.regions import Region, find_regions
from patchbank.data.folders import list_images
from patchbank.data.images import ImageInput, read_image
from patchbank.data.prefetch import prefetched
from patchbank.errors import (
    DetectorFileError,
    PatchbankError,
)
from patchbank.methods import METHODS, FittedMethod, Scored, Settings
from patchbank.pipeline.features import View, extract
from patchbank.pipeline.inspection import Inspection, Unread
from patchbank.types import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A method's model with its backbone, its settings and its calibration."""

    method: str
    """Its name in METHODS."""
    settings: Settings
    extractor: FeatureExtractor
    model: FittedMethod
    calibration: Calibration
    fitted_on: tuple[str, ...]
    """Names of the good images, in the order that the model numbers them."""
    versions: Mapping[str, str]
    """Of the programs that fitted it."""

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is also an iterable of str
        self, images: str | os.PathLike[str] | Image
    ) -> Inspection: ...

    @overload
    def predict(self, images: Iterable[ImageInput]) -> Iterator[Inspection]: ...

    def predict(
        self, images: ImageInput | Iterable[ImageInput]
    ) -> Inspection | Iterator[Inspection]:
        """Inspect photographs.

        Args:
            images: one path or (H, W, 3) uint8 RGB array; or a list or iterator of them; or a
                folder, which stands for the list of the images below it.

        Returns:
            One Inspection for one image, an iterator of them otherwise.

        Raises:
            ImageError, ShapeError: an image cannot be read. `inspect` goes on to the next.
        """
        if isinstance(images, np.ndarray):
            return self._inspect("array", images, read_image(images))
        if isinstance(images, (str, os.PathLike)) and not Path(images).is_dir():
            return self._inspect(str(images), images, read_image(images))
        return self._inspections(images)

    def inspect(self, images: Iterable[ImageInput]) -> Iterator[Inspection | Unread]:
        """Inspect photographs, each in its turn; one that cannot be read comes as Unread."""
        for source, decoded in prefetched(read_image, images):
            name = "array" if isinstance(source, np.ndarray) else str(source)
            try:
                yield self._inspect(name, source, decoded.result())
            except PatchbankError as error:
                yield Unread(name, str(error))
            except MemoryError:
                yield Unread(name, f"{name}: expected enough memory to inspect it, got too little")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save as one self-contained file; a crash leaves the old file or the new one.

        Raises:
            DetectorFileError: the file cannot be written, or the backbone cannot be held in it.
        """
        if not isinstance(self.extractor, OnnxExtractor):
            raise DetectorFileError(
                f"{path}: expected an ONNX backbone, which the file can hold, "
                f"got {self.extractor.info.name}"
            )
        record = {
            "method": self.method,
            "settings": self.settings.to_mapping(),
            "backbone": asdict(self.extractor.info),
            "layers": self.extractor.layers,
            "fitted_on": self.fitted_on,
            "facts": dict(self.model.facts()),
            "versions": dict(self.versions),
        }
        tensors: dict[str, NDArray[Any]] = {
            f"model.{name}": tensor for name, tensor in self.model.tensors().items()
        }
        tensors["calibration.image_scores"] = self.calibration.image_scores
        tensors["calibration.map_peaks"] = self.calibration.map_peaks
        tensors["backbone.onnx"] = np.frombuffer(self.extractor.content, dtype=np.uint8)
        write_bundle(Path(path), Bundle(tensors, record))

    def _inspections(self, images: ImageInput | Iterable[ImageInput]) -> Iterator[Inspection]:
        sources = list_images(images) if isinstance(images, (str, os.PathLike)) else images
        for source, decoded in prefetched(read_image, sources):
            name = "array" if isinstance(source, np.ndarray) else str(source)
            yield self._inspect(name, source, decoded.result())

    def _inspect(self, name: str, source: ImageInput, image: Image) -> Inspection:
        maps, view = extract(self.extractor, self.settings, image)
        scored = self.model.score(maps)
        return Inspection(
            image=name,
            size=(image.shape[1], image.shape[0]),
            score=scored.image_score,
            p_value=self.calibration.p_value(scored.image_score),
            threshold=self.calibration.threshold,
            pixel_threshold=self.calibration.pixel_threshold,
            regions=self._regions(scored, view),
            scored=scored,
            view=view,
            smoothing=self.settings.smoothing,
            source=source,
        )

    def _regions(self, scored: Scored, view: View) -> tuple[Region, ...]:
        threshold = self.calibration.pixel_threshold
        if scored.patch_scores.max() <= threshold:  # a map, a mean of them, cannot exceed them
            return ()
        return find_regions(view.anomaly_map(scored, self.settings.smoothing), threshold)


def load(path: str | os.PathLike[str]) -> Detector:
    """Open a detector file: safe (no code in it runs), whole (no network), the same scores.

    Raises:
        DetectorFileError: the file is missing, cut, altered, of another format or newer.
    """
    bundle = read_bundle(Path(path))
    try:
        return _restore(bundle)
    except (KeyError, TypeError, PatchbankError) as error:
        raise DetectorFileError(
            f"{path}: expected a detector that this version knows, got: {error}; "
            "install a newer patchbank"
        ) from error


def versions() -> dict[str, str]:
    """Versions of this program and of what computes for it."""
    return {name: version(name) for name in ("patchbank", "numpy", "onnxruntime")}


def _restore(bundle: Bundle) -> Detector:
    record, tensors = bundle.record, bundle.tensors
    method = METHODS[record["method"]]
    settings = method.settings.from_mapping(record["settings"])
    backbone = record["backbone"]
    extractor = OnnxExtractor(
        tensors["backbone.onnx"].tobytes(),
        backbone["name"],
        tuple(record["layers"]),
        settings.normalisation,
    )
    learned = {
        name.removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name.startswith("model.")
    }
    return Detector(
        method=method.name,
        settings=settings,
        extractor=extractor,
        model=method.restore(settings, learned),
        calibration=Calibration(
            tensors["calibration.image_scores"],
            tensors["calibration.map_peaks"],
            settings.false_alarm_rate,
        ),
        fitted_on=tuple(record["fitted_on"]),
        versions=record["versions"],
    )
