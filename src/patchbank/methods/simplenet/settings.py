"""Knobs of SimpleNet, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from patchbank.errors import ParameterError
from patchbank.methods.settings import (
    PatchSettings,
    preset_with,
    require_choice,
    require_number,
    require_share,
    require_whole,
)

Schedule: TypeAlias = Literal["fixed", "early_stopping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleNetSettings(PatchSettings):
    """All knobs of SimpleNet; the defaults are the preset ``balanced``."""

    hidden_dims: int = 1024
    """Width of the discriminator."""
    noise_std: float = 0.3
    """Of the noise that makes a good patch odd, relative to each channel's own spread."""
    margin: float = 0.5
    """The discriminator is to say more than this of good patches, less than its negative of odd."""
    adaptor_learning_rate: float = 1e-4
    """Of the adaptor (AdamW)."""
    discriminator_learning_rate: float = 2e-4
    """Of the discriminator (Adam)."""
    schedule: Schedule = "fixed"
    """``fixed`` takes all `steps`; ``early_stopping`` so many of them as serve photographs that
    are held out best (of one photograph alone none can be: it takes all)."""
    steps: int = 1500
    """Steps of the optimisers, or the most of them."""
    batch_patches: int = 512
    """Good patches a step; each is seen as it is and with noise."""
    folds: int = 3
    """Parts of the photographs that are left out in turn, to tell what unseen ones score."""

    def __post_init__(self) -> None:
        # slots make a new class, which the argument-free super() would not find
        super(SimpleNetSettings, self).__post_init__()
        for name in ("noise_std", "margin"):
            _require_moderate(name, getattr(self, name))
        for name in ("adaptor_learning_rate", "discriminator_learning_rate"):
            require_share(name, getattr(self, name))
        require_choice("schedule", self.schedule, get_args(Schedule))
        for name in ("hidden_dims", "steps", "batch_patches"):
            require_whole(name, getattr(self, name), 1)
        require_whole("folds", self.folds, 2)


def _require_moderate(name: str, value: float) -> None:
    require_number(name, value)
    if not 0 < value <= 100:
        raise ParameterError(f"{name}: expected more than 0 and at most 100, got {value}")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "balanced": {},
    "paper": {
        "backbone": "wide_resnet50_2.tv_in1k",
        "image_size": 329,
        "resize": "short_side",
        "crop": 288,
        "scales": (1.0,),
        "max_upscale": 100,
        "patch_stride": 1,
        "image_score": "max",
        "steps": 4800,  # 160 passes over the 240 photographs of a usual set, eight a step
        "batch_patches": 8 * 36 * 36,
    },
}
"""Changes to the default settings; see docs/methods/simplenet.md."""


def changed_preset(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with changes; what they rule out is left out of the preset."""
    return preset_with(PRESETS[name], changes)
