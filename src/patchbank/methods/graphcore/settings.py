"""All knobs of GraphCore, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patchbank.core.scores.image_score import ImageScore
from patchbank.errors import ParameterError
from patchbank.methods.memory_bank import BankSettings, ruled_out
from patchbank.methods.settings import preset_with, require_number, require_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCoreSettings(BankSettings):
    """All knobs of GraphCore; the defaults are the preset ``balanced``."""

    image_score: ImageScore = "max"
    """As `PatchSettings.image_score`."""
    graph_neighbours: int = 9
    """Patches of the same image that each is compared with, itself among them; 0 takes the features
    as they are, for backbones that are graph networks themselves."""
    graph_weight: float = 1.0
    """Of what the graph tells, beside the features; 0 leaves it out."""

    def __post_init__(self) -> None:
        # slots make a new class, which the argument-free super() would not find
        super(GraphCoreSettings, self).__post_init__()
        require_whole("graph_neighbours", self.graph_neighbours, 0)
        require_number("graph_weight", self.graph_weight)
        if not 0 <= self.graph_weight <= 100:
            raise ParameterError(f"graph_weight: expected 0 to 100, got {self.graph_weight}")


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


def changed_preset(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with changes; what they rule out is left out of the preset.

    >>> changed_preset("paper", {"bank_rows": 500}).get("coreset") is None
    True
    """
    return preset_with(PRESETS[name], changes, ruled_out(changes))
