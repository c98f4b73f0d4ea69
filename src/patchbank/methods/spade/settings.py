"""Settings of SPADE, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from patchbank.errors import ParameterError
from patchbank.settings import Group, InputSettings, PatchSettings, Settings, redeclared, setting
from patchbank.settings.declaration import SCORE
from patchbank.settings.groups import GridScore
from patchbank.settings.rules import Choice, Flag, Integer

Fusion: TypeAlias = Literal["mean", "concatenate"]
SpadeScore: TypeAlias = Literal["pooled", GridScore]

TITLE = "SPADE"


@dataclass(frozen=True, kw_only=True)
class SpadeParameters(Group):
    """The settings that SPADE's `fit` and `restore` receive."""

    n_images: int = setting(
        20,
        "Most similar good photographs that an image is compared with (K of the paper); all, where "
        "there are fewer.",
        rule=Integer(1),
        group=TITLE,
    )
    n_neighbours: int = setting(
        1,
        "Most similar pixels of those photographs whose distances are averaged for the score of a "
        "pixel (kappa of the paper).",
        rule=Integer(1),
        group=TITLE,
    )
    fusion: Fusion = setting(
        "mean",
        "Fusion of the layers: the mean of one distance for each, or one distance of the "
        "concatenated layers.",
        rule=Choice.of(Fusion),
        group=TITLE,
    )
    pool_deepest_only: bool = setting(
        False,
        "Use the deepest layer for finding similar photographs only, not for the map.",
        rule=Flag(),
        group=TITLE,
        formerly="deepest_apart",
    )
    image_score: SpadeScore = setting(
        "top_fraction",
        "Score of an image: the mean distance of its pooled feature to those of the n_images "
        "photographs, the largest pixel score, the largest 3 x 3 mean (smooth_max), or the mean of "
        "the highest ones (top_fraction).",
        rule=Choice.of(SpadeScore),
        group=SCORE,
    )
    top_fraction: float = redeclared(PatchSettings, "top_fraction", 0.01)
    # The feature maps come layer by layer at each scale: this says which are the deepest layer's.
    scales: tuple[float, ...] = redeclared(InputSettings, "scales", (1.0,))


@dataclass(frozen=True, kw_only=True)
class SpadeSettings(SpadeParameters, Settings):
    """All settings of SPADE; the defaults are the preset ``balanced``."""

    image_size: int | tuple[int, int] = redeclared(InputSettings, "image_size", 256)

    def check_combination(self) -> None:
        """A layer that only finds photographs leaves another for the map."""
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
