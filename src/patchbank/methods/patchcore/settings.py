"""Settings of PatchCore, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from patchbank.errors import ParameterError
from patchbank.methods.memory_bank import BankParameters
from patchbank.settings import InputSettings, Settings, redeclared, setting
from patchbank.settings.declaration import BANK
from patchbank.settings.groups import GridScore
from patchbank.settings.rules import Choice, Integer, Optional

TITLE = "PatchCore"
Banks: TypeAlias = Literal["per_map", "joint"]
GRID_SCORES = get_args(GridScore)
"""Image scores that follow from patch scores alone."""


@dataclass(frozen=True, kw_only=True)
class PatchCoreParameters(BankParameters):
    """The settings that PatchCore's `fit` and `restore` receive."""

    scales: tuple[float, ...] = redeclared(InputSettings, "scales", (1.0, 0.5))
    banks: Banks = setting(
        "per_map",
        "Banks of the feature maps: one of each layer at the first scale and one of the deepest "
        "layer at each other scale (per_map), or one of all of them together (joint, as published; "
        "also with tiles, target_dims, covering_radius, metric squared or a re-weighted "
        "image_score).",
        rule=Choice.of(Banks),
        group=BANK,
    )
    target_dims: int | None = setting(
        None,
        "Pool each patch to this many numbers, as the official code does; if not given, the layers "
        "are concatenated.",
        rule=Optional(Integer(1, 100_000)),
        group=TITLE,
    )
    layer_dims: int | None = setting(
        None,
        "Numbers of each layer before that pooling; if not given, target_dims.",
        rule=Optional(Integer(1, 100_000)),
        group=TITLE,
    )

    def check_combination(self) -> None:
        """`layer_dims` goes with `target_dims`."""
        if self.layer_dims is not None and self.target_dims is None:
            raise ParameterError("layer_dims: expected target_dims together with it, got none")

    def implied(self) -> Mapping[str, Any]:
        """One bank of all feature maps where another setting needs one.

        >>> PatchCoreSettings(metric="squared").banks
        'joint'
        """
        return {"banks": "joint"} if self._needs_one_bank() else {}

    def check_given(self, given: Mapping[str, Any]) -> None:
        """A bank for each feature map is refused, not dropped, where another setting needs one."""
        if given.get("banks") == "per_map" and (name := self._needs_one_bank()):
            raise ParameterError(
                f"banks: expected 'joint' with {name}, got 'per_map'; leave banks out"
            )

    def _needs_one_bank(self) -> str:
        """Name of a setting that goes with one bank of all feature maps alone; '' if none is."""
        needs_one = {
            "target_dims": self.target_dims is not None,
            "covering_radius": self.covering_radius is not None,
            "metric squared": self.metric == "squared",
            "a re-weighted image_score": self.image_score in ("reweighted", "hcw"),
        }
        return next((name for name, needs in needs_one.items() if needs), "")


@dataclass(frozen=True, kw_only=True)
class PatchCoreSettings(PatchCoreParameters, Settings):
    """All settings of PatchCore; the defaults are the preset ``balanced``."""

    image_size: int | tuple[int, int] = redeclared(InputSettings, "image_size", 512)

    def check_combination(self) -> None:
        """The score of a photograph in tiles follows from its patch scores."""
        if self.tiles and self.image_score not in GRID_SCORES:
            raise ParameterError(
                f"image_score: expected one of {', '.join(GRID_SCORES)} with tiles, got "
                f"{self.image_score!r}"
            )

    def _needs_one_bank(self) -> str:
        """The same, and tiles: the image score of a photograph in tiles follows from its map."""
        return "tiles" if self.tiles else super()._needs_one_bank()


_WIDE_RESNET: Mapping[str, Any] = {
    "backbone": "wide_resnet50_2.tv_in1k",
    "scales": (1.0,),
    "max_upscale": 100,
    "patch_stride": 1,
    "banks": "joint",
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"backbone": "efficientnet_lite0", "image_size": 320, "bank_limit": 4000},
    "balanced": {},
    "accurate": {"image_size": 640, "bank_limit": 20_000, "top_fraction": 0.02},
    "few-shot": {
        "position": "auto",
        "rotations": 24,
        "image_score": "max",
        "banks": "joint",
        "image_size": 448,
    },
    "official": {
        **_WIDE_RESNET,
        "image_size": 256,
        "resize": "short_side",
        "crop": 224,
        "layer_dims": 1024,
        "target_dims": 1024,
        "coreset": 0.1,
        "projection": "uniform",
        "projection_dims": 128,
        "start": "starting_points",
        "metric": "squared",
        "image_score": "max",
    },
    "hcw": {
        **_WIDE_RESNET,
        "image_size": 256,
        "resize": "squash",
        "resampling": "lanczos",
        "crop": 224,
        "alignment": "nearest",
        "coreset": 0.001,
        "projection": "sparse",
        "start": "first",
        "metric": "squared",
        "image_score": "hcw",
    },
    "anomalib": {
        **_WIDE_RESNET,
        "image_size": 256,
        "resize": "squash",
        "coreset": 0.1,
        "projection": "sparse",
        "start": "random",
        "image_score": "reweighted",
        "smoothing": 3.5,  # sigma 4 at 256 x 256
        "map_interpolation": "nearest",
        "map_border": "mirror",
        "normalise_score": True,
    },
}
"""Changes to the default settings: sizes chosen from benchmarks/quality/presets.md, and what
other implementations do, see docs/methods/patchcore.md."""
