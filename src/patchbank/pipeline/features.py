"""From a photograph to its features, and from patch scores back to its pixels."""

from __future__ import annotations

from dataclasses import dataclass

from patchbank.backbones import BackboneInfo, FeatureExtractor
from patchbank.core import maps
from patchbank.data.images import input_size, resized
from patchbank.errors import ParameterError
from patchbank.methods import Scored, Settings
from patchbank.methods.base import FeatureMaps
from patchbank.types import AnomalyMap, Image


@dataclass(frozen=True, slots=True)
class View:
    """How one photograph was looked at.  All sizes are (height, width)."""

    photograph: tuple[int, int]
    """In pixels."""
    seen: tuple[int, int]
    """In pixels, of the network's input at the first scale."""
    cells: tuple[int, int]
    """Of the feature grid that covers it."""

    def anomaly_map(self, scored: Scored, smoothing: float) -> AnomalyMap:
        """The map in the photograph's own pixels; `smoothing` is sigma at a 224 x 224 input."""
        return maps.anomaly_map(
            scored.patch_scores,
            self.seen,
            self.photograph,
            sigma=maps.scaled_sigma(smoothing, self.seen),
            stride=scored.stride,
            cells=self.cells,
        )


def extract(
    extractor: FeatureExtractor, settings: Settings, image: Image
) -> tuple[FeatureMaps, View]:
    """Take the features of a photograph at every scale: one (c, h, w) map a layer and scale."""
    photograph = image.shape[0], image.shape[1]
    sizes = seen_sizes(extractor.info, settings, photograph)
    taken = [m for size in sizes for m in extractor(resized(image, size))]
    cells = taken[0].shape[1], taken[0].shape[2]
    return taken, View(photograph, sizes[0], cells)


def seen_sizes(
    info: BackboneInfo, settings: Settings, photograph: tuple[int, int]
) -> list[tuple[int, int]]:
    """The (H, W) that the network sees at each scale, of a photograph of (H, W) pixels.

    Raises:
        ParameterError: the backbone accepts another size only.
    """
    multiple, enlargement = info.size_multiple, settings.largest_enlargement
    height, width = input_size(
        photograph, settings.image_size, settings.aspect, multiple, enlargement
    )
    sizes = [
        input_size(photograph, (round(height * s), round(width * s)), "keep", multiple, enlargement)
        for s in settings.scales
    ]
    if info.input_size is not None and sizes != [info.input_size]:
        height, width = info.input_size
        raise ParameterError(
            f"image_size: expected {height}x{width} and scales 1, the one size that {info.name} "
            f"accepts, got {' and '.join(f'{h}x{w}' for h, w in sizes)}"
        )
    return sizes
