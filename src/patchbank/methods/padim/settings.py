"""All knobs of PaDiM, and the presets."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from patchbank.errors import ParameterError
from patchbank.images.resize import Resize
from patchbank.methods.settings import PatchSettings, preset_with, require_number, require_whole
from patchbank.types import Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class PadimSettings(PatchSettings):
    """All knobs of PaDiM; the defaults are the preset ``balanced``."""

    image_size: int | tuple[int, int] = 320
    """Height and width to which photographs are resized, or a side; see `resize`."""
    resize: Resize = "squash"
    """What a side is; ``squash`` gives all photographs one grid, so that positions correspond."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes relative to `image_size` at which features are taken; the first gives the grid."""
    dims: int | None = None
    """Channels kept, drawn by `seed`; None for all."""
    rank: int | None = None
    """Directions of each covariance that are kept; None for all that the photographs span."""
    ridge: float = 0.01
    """Added to each variance: epsilon of the paper."""

    def __post_init__(self) -> None:
        if not isinstance(self.image_size, int) and self.resize == "squash":
            # Height and width say the same, and `resize` has to be left alone beside them.
            object.__setattr__(self, "resize", "area")
        # slots make a new class, which the argument-free super() would not find
        super(PadimSettings, self).__post_init__()
        for name in ("dims", "rank"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), 1)
        require_number("ridge", self.ridge)
        if not 1e-6 <= self.ridge <= 1e6:
            raise ParameterError(f"ridge: expected 1e-6 to 1e6, got {self.ridge}")

    def channels(self, n_channels: int) -> Indices:
        """The channels kept of all layers together, in the order drawn: that of the published code.

        Raises:
            ParameterError: more are asked for than there are.

        >>> PadimSettings(dims=5, seed=1024).channels(448).tolist()
        [408, 9, 247, 435, 199]
        """
        if self.dims is None:
            return np.arange(n_channels)
        if self.dims > n_channels:
            raise ParameterError(
                f"dims: expected at most {n_channels} (the channels of all layers), got {self.dims}"
            )
        return np.array(random.Random(self.seed).sample(range(n_channels), self.dims))


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "balanced": {},
    "paper": {
        "backbone": "wide_resnet50_2.tv_in1k",
        "layers": ("layer1", "layer2", "layer3"),
        "image_size": 256,
        "resize": "short_side",
        "crop": 224,
        "resampling": "lanczos",
        "max_upscale": 100,
        "patch_size": 1,
        "patch_stride": 1,
        "alignment": "nearest",
        "dims": 550,
        "seed": 1024,
        "image_score": "smooth_max",
    },
}
"""Changes to the default settings; see docs/methods/padim.md."""


def changed_preset(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with changes; what they rule out is left out of the preset.

    >>> changed_preset("paper", {"dims": 100})["dims"]
    100
    """
    return preset_with(PRESETS[name], changes)
