"""Positions of synthetic defects: mostly where a photograph has structure, sometimes anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import prepare
from patchbank.images.masks import scaled_mask
from patchbank.images.resize import resized
from patchbank.images.roi import InspectedPart
from patchbank.settings import Settings
from patchbank.types import Image, Mask

MAP_SIDE = 256
"""Root of the area at which the structure of a photograph is measured, in pixels, at most."""
WINDOW = 1 / 40
"""Side of the window of the local standard deviation, as a share of that root."""
QUANTILE = 0.95
"""Quantile of the local deviation to which larger ones are limited, so that a few sharp edges do
not attract all defects."""
ANYWHERE = 0.03
"""Share of the largest limited deviation that every position has in addition to its own."""


@dataclass(frozen=True, slots=True)
class Positions:
    """The probabilities of the positions of one photograph."""

    size: tuple[int, int]
    """(H, W) of the photograph."""
    cumulative: NDArray[np.float64]
    """(h w,) cumulative probability of the cells of a grid over the photograph."""
    grid: tuple[int, int]

    @classmethod
    def of(cls, image: Image, inspected: Mask | None = None) -> Positions:
        """Measure the structure of a photograph, (H, W, 3).

        Args:
            image: the photograph.
            inspected: (H, W), True where defects are placed; None for anywhere.
        """
        height, width = image.shape[:2]
        shrink = min(1.0, MAP_SIDE / (height * width) ** 0.5)
        grid = max(1, round(height * shrink)), max(1, round(width * shrink))
        grey = resized(image, grid).astype(np.float32).mean(axis=2)
        window = max(3, round((grid[0] * grid[1]) ** 0.5 * WINDOW))
        mean = ndimage.uniform_filter(grey, window)
        variance = ndimage.uniform_filter(np.square(grey), window) - np.square(mean)
        deviation = np.sqrt(np.maximum(variance, 0, dtype=np.float64))
        weights = np.minimum(deviation, np.quantile(deviation, QUANTILE))
        weights += ANYWHERE * weights.max() + 1e-9
        if inspected is not None and (inside := scaled_mask(inspected, grid)).any():
            weights *= inside
        cumulative = np.cumsum(weights.ravel())
        return cls((height, width), cumulative / cumulative[-1], grid)

    def draw(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draw one place.  -> (y, x) in pixels of the photograph."""
        cell = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
        row, column = divmod(min(cell, len(self.cumulative) - 1), self.grid[1])
        down, across = rng.random(2)
        y = (row + down) / self.grid[0] * self.size[0]
        x = (column + across) / self.grid[1] * self.size[1]
        return float(y), float(x)


def inspected_mask(
    extractor: FeatureExtractor,
    settings: Settings,
    image: Image,
    part: InspectedPart | None = None,
) -> Mask | None:
    """Pixels of a photograph that are inspected with some settings.  -> (H, W); None for all.

    Args:
        extractor: of the features.
        settings: of the input.
        image: (H, W, 3), the photograph.
        part: the region of interest in it; None without.
    """
    inspected = np.zeros(image.shape[:2], dtype=np.bool_)
    if part is not None:
        part.box.of(inspected)[...] = part.mask
    elif settings.crop is not None:
        prepare(extractor, settings, image).crop_box.of(inspected)[...] = True
    else:
        return None
    return inspected
