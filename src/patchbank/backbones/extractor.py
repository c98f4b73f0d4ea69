"""What every backbone promises, whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from patchbank.types import FeatureMap, Image


@dataclass(frozen=True, slots=True)
class Tap:
    """A layer whose output can be taken."""

    channels: int
    stride: int
    """Pixels of the input a step of the map, the same in height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """Weights and preprocessing in one record, so that they cannot drift apart."""

    name: str
    taps: Mapping[str, Tap]
    """Layers that can be asked for, shallow to deep."""
    default_layers: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """The network sees (x / 255 - mean) / std of each colour, red first."""
    size_multiple: int
    """Input height and width are multiples of this."""
    input_size: tuple[int, int] | None
    """(H, W) where the network accepts one size only."""
    license: str
    source: str
    sha256: str


class FeatureExtractor(Protocol):
    """Turns one photograph, already resized, into the feature maps of the chosen layers."""

    @property
    def info(self) -> BackboneInfo:
        """Where the weights come from and how their input is prepared."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers taken, in the order of the maps returned."""
        ...

    def __call__(self, image: Image) -> Sequence[FeatureMap]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map a layer."""
        ...
