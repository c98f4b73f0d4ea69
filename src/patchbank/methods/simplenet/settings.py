"""Settings of SimpleNet, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from patchbank.settings import PatchSettings, SeedSettings, Settings, setting
from patchbank.settings.rules import Choice, Integer, Number, fraction

Schedule: TypeAlias = Literal["fixed", "early_stopping"]

TITLE = "SimpleNet"


@dataclass(frozen=True, kw_only=True)
class SimpleNetParameters(PatchSettings, SeedSettings):
    """The settings that SimpleNet's `fit` and `restore` receive."""

    hidden_dims: int = setting(
        1024, "Width of the discriminator.", rule=Integer(1, 100_000), group=TITLE
    )
    noise_std: float = setting(
        0.3,
        "Standard deviation of the noise that makes a normal patch anomalous, relative to that of "
        "each channel.",
        rule=Number(0, 100, open_low=True),
        group=TITLE,
    )
    margin: float = setting(
        0.5,
        "Hinge margin: the discriminator is trained to exceed it on normal patches, and to stay "
        "below its negative on patches with noise.",
        rule=Number(0, 100, open_low=True),
        group=TITLE,
    )
    adaptor_learning_rate: float = setting(
        1e-4, "Learning rate of the adaptor (AdamW).", rule=fraction(), group=TITLE
    )
    discriminator_learning_rate: float = setting(
        2e-4, "Learning rate of the discriminator (Adam).", rule=fraction(), group=TITLE
    )
    schedule: Schedule = setting(
        "fixed",
        "End of the training: after all steps, or after as many as score held-out photographs best "
        "(with one photograph none can be held out, and all steps are made).",
        rule=Choice.of(Schedule),
        group=TITLE,
    )
    steps: int = setting(
        1500, "Steps of the optimisers, or the most of them.", rule=Integer(1), group=TITLE
    )
    batch_patches: int = setting(
        512,
        "Normal patches of one step; each is seen as it is and with noise.",
        rule=Integer(1, 10_000_000),
        group=TITLE,
    )
    folds: int = setting(
        3,
        "Folds of the photographs that are left out in turn, for scores of unseen good ones.",
        rule=Integer(2),
        group=TITLE,
    )


@dataclass(frozen=True, kw_only=True)
class SimpleNetSettings(SimpleNetParameters, Settings):
    """All settings of SimpleNet; the defaults are the preset ``balanced``."""


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
