"""Settings of PaDiM, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patchbank.choices import Resize
from patchbank.settings import (
    InputSettings,
    PatchSettings,
    SeedSettings,
    Settings,
    redeclared,
    setting,
)
from patchbank.settings.rules import Integer, Number, Optional

TITLE = "PaDiM"


@dataclass(frozen=True, kw_only=True)
class PadimParameters(PatchSettings, SeedSettings):
    """The settings that PaDiM's `fit` and `restore` receive."""

    dims: int | None = setting(
        None,
        "Channels of the features that are kept, drawn by seed; if not given, all.",
        rule=Optional(Integer(1)),
        group=TITLE,
    )
    rank: int | None = setting(
        None,
        "Directions of each covariance that are kept; if not given, all that the photographs span.",
        rule=Optional(Integer(1)),
        group=TITLE,
    )
    ridge: float = setting(
        0.01,
        "Number added to each variance: epsilon of the paper.",
        rule=Number(1e-6, 1e6),
        group=TITLE,
    )


@dataclass(frozen=True, kw_only=True)
class PadimSettings(PadimParameters, Settings):
    """All settings of PaDiM; the defaults are the preset ``balanced``."""

    image_size: int | tuple[int, int] = redeclared(InputSettings, "image_size", 320)
    # One grid for all photographs, so that positions correspond.
    resize: Resize = redeclared(InputSettings, "resize", "squash")
    scales: tuple[float, ...] = redeclared(InputSettings, "scales", (1.0,))

    def implied(self) -> Mapping[str, Any]:
        """Height and width squash by themselves, and leave nothing to `resize`.

        >>> PadimSettings(image_size=(96, 128)).resize
        'area'
        """
        is_pair = isinstance(self.image_size, tuple)
        return {"resize": "area"} if is_pair and self.resize in ("squash", "area") else {}


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
