"""Settings of GraphCore, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patchbank.choices import ImageScore
from patchbank.methods.memory_bank import BankParameters
from patchbank.settings import Settings, redeclared, setting
from patchbank.settings.rules import Integer, Number

TITLE = "GraphCore"


@dataclass(frozen=True, kw_only=True)
class GraphCoreParameters(BankParameters):
    """The settings that GraphCore's `fit` and `restore` receive."""

    image_score: ImageScore = redeclared(BankParameters, "image_score", "max")
    graph_neighbours: int = setting(
        9,
        "Most similar patches of the same image that each patch is compared with, itself among "
        "them; 0 keeps the features as they are, for backbones that are graph networks themselves.",
        rule=Integer(0),
        group=TITLE,
    )
    graph_weight: float = setting(
        1.0,
        "Weight of the graph features relative to the patch features; 0 leaves them out.",
        rule=Number(0, 100),
        group=TITLE,
    )


@dataclass(frozen=True, kw_only=True)
class GraphCoreSettings(GraphCoreParameters, Settings):
    """All settings of GraphCore; the defaults are the preset ``balanced``."""


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "balanced": {},
    "paper": {
        "backbone": "pvig_ti_224_gelu",
        "image_size": 224,
        "resize": "squash",
        "scales": (1.0,),
        "max_upscale": 100,
        "patch_size": 1,
        "patch_stride": 1,
        "graph_neighbours": 0,
        "coreset": 0.01,
        "projection": "sparse",
        "start": "random",
        "metric": "squared",
    },
}
"""Changes to the default settings; ``paper`` as far as the paper says, see
docs/methods/graphcore.md."""
