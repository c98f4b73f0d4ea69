"""All knobs of SPADE, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from patchbank.errors import ParameterError
from patchbank.methods.settings import (
    Settings,
    preset_with,
    require_choice,
    require_share,
    require_whole,
)

Fusion: TypeAlias = Literal["mean", "concatenate"]
SpadeScore: TypeAlias = Literal["pooled", "max", "smooth_max", "top_fraction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpadeSettings(Settings):
    """All knobs of SPADE; the defaults are the preset ``balanced``."""

    image_size: int | tuple[int, int] = 256
    """Height and width to which photographs are resized, or a side; see `resize`."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes relative to `image_size` at which features are taken; the first gives the grid."""
    n_images: int = 20
    """Most similar good photographs that an image is held against: K; all where there are fewer."""
    n_neighbours: int = 1
    """Pixels of those whose distances are averaged for a pixel: kappa."""
    fusion: Fusion = "mean"
    """One distance a layer, and their ``mean``; or layers side by side (``concatenate``), and one
    distance."""
    pool_deepest_only: bool = False
    """The deepest layer finds the photographs, and has no part in the map."""
    image_score: SpadeScore = "top_fraction"
    """Mean distance of the ``pooled`` feature to those of the K photographs; or, of the grid,
    ``max``, ``smooth_max`` (3 x 3 mean) or ``top_fraction``."""
    top_fraction: float = 0.01
    """Share of the grid's pixels, the worst ones, whose mean is the image's score."""

    def __post_init__(self) -> None:
        # slots make a new class, which the argument-free super() would not find
        super(SpadeSettings, self).__post_init__()
        for name in ("n_images", "n_neighbours"):
            require_whole(name, getattr(self, name), 1)
        require_choice("fusion", self.fusion, get_args(Fusion))
        require_choice("image_score", self.image_score, get_args(SpadeScore))
        require_share("top_fraction", self.top_fraction)
        if not isinstance(self.pool_deepest_only, bool):
            raise ParameterError(
                f"pool_deepest_only: expected true or false, got {self.pool_deepest_only!r}"
            )
        if self.pool_deepest_only and self.layers is not None and len(self.layers) == 1:
            raise ParameterError("pool_deepest_only: expected at least two layers, got one")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "balanced": {},
    "paper": {
        "backbone": "wide_resnet50_2.tv_in1k",
        "layers": ("layer1", "layer2", "layer3", "layer4"),
        "image_size": 256,
        "resize": "short_side",
        "crop": 224,
        "resampling": "lanczos",
        "max_upscale": 100,
        "n_images": 50,
        "fusion": "concatenate",
        "pool_deepest_only": True,
        "image_score": "pooled",
    },
}
"""Changes to the default settings; see docs/methods/spade.md."""


def changed_preset(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with changes; what they rule out is left out of the preset.

    >>> changed_preset("paper", {"fusion": "mean"})["fusion"]
    'mean'
    """
    return preset_with(PRESETS[name], changes)
