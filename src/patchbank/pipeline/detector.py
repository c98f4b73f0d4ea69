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

from patchbank.backbones import BackboneInfo, FeatureExtractor, OnnxExtractor
from patchbank.bundle import Bundle, read_bundle, write_bundle
from patchbank.core.calibration import Calibration
from patchbank.core.maps import anomaly_map, scaled_sigma
from patchbank.core.regions import Region, find_regions
from patchbank.data.folders import list_images
from patchbank.data.images import ImageInput, input_size, read_image, resized
from patchbank.data.prefetch import prefetched
from patchbank.errors import (
    DetectorFileError,
    ImageError,
    ParameterError,
    PatchbankError,
    ShapeError,
)
from patchbank.methods import METHODS, FittedMethod, Settings
from patchbank.methods.base import FeatureMaps, Scored
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
            except (ImageError, ShapeError) as error:
                yield Unread(name, str(error))

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
        size = (image.shape[0], image.shape[1])
        maps, seen = extract(self.extractor, self.settings, image)
        scored = self.model.score(maps)
        sigma = scaled_sigma(self.settings.smoothing, seen)
        return Inspection(
            image=name,
            size=(size[1], size[0]),
            score=scored.image_score,
            p_value=self.calibration.p_value(scored.image_score),
            threshold=self.calibration.threshold,
            pixel_threshold=self.calibration.pixel_threshold,
            regions=self._regions(scored, seen, size, sigma),
            patch_scores=scored.patch_scores,
            input_size=seen,
            sigma=sigma,
            first_centre=scored.first_centre,
            source=source,
        )

    def _regions(
        self, scored: Scored, seen: tuple[int, int], size: tuple[int, int], sigma: float
    ) -> tuple[Region, ...]:
        threshold, grid = self.calibration.pixel_threshold, scored.patch_scores
        if grid.max() <= threshold:  # a map is a mean of patch scores: it cannot exceed them
            return ()
        made = anomaly_map(grid, seen, size, sigma=sigma, first_centre=scored.first_centre)
        return find_regions(made, threshold)


def extract(
    extractor: FeatureExtractor, settings: Settings, image: Image
) -> tuple[FeatureMaps, tuple[int, int]]:
    """Take the features of a photograph at every scale, weighted by the root of the scale.

    Smaller scales see less of the detail and more of the surroundings; with equal weights fine
    parts lose, with weights equal to the scale textures do (docs/adr/0002).

    -> one (c, h, w) map a layer and scale, and the (H, W) that the network saw at the first scale.
    """
    sizes = seen_sizes(extractor.info, settings, (image.shape[0], image.shape[1]))
    # Smaller scales are made from the largest: as good, and far cheaper for large photographs.
    largest = resized(image, max(sizes))
    maps = [
        m * np.float32(scale**0.5)
        for scale, size in zip(settings.scales, sizes, strict=True)
        for m in extractor(resized(largest, size))
    ]
    return maps, sizes[0]


def seen_sizes(
    info: BackboneInfo, settings: Settings, size: tuple[int, int]
) -> list[tuple[int, int]]:
    """The (H, W) that the network sees at each scale, of a photograph of (H, W) pixels.

    Raises:
        ParameterError: the backbone accepts another size only.
    """
    base = input_size(size, settings.image_size, settings.aspect, info.size_multiple)
    sizes = [
        input_size(size, (round(base[0] * s), round(base[1] * s)), "keep", info.size_multiple)
        for s in settings.scales
    ]
    if info.input_size is not None and sizes != [info.input_size]:
        height, width = info.input_size
        raise ParameterError(
            f"image_size: expected {height}x{width} and scales 1, the one size that {info.name} "
            f"accepts, got {' and '.join(f'{h}x{w}' for h, w in sizes)}"
        )
    return sizes


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
        (tuple(backbone["mean"]), tuple(backbone["std"])),
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
