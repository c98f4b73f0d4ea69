"""What every backbone promises, whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import BackboneError
from patchbank.types import Array, Image

Normalisation: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of red, green and blue, as shares of the full range."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose output can be taken."""

    channels: int
    stride: int
    """Pixels of the input a step of the map, the same in height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """Weights and preprocessing in one record, so that they cannot drift apart."""

    name: str
    available_layers: Mapping[str, Layer]
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
    """Of the weights, or of the ONNX file; empty where they were not read."""
    source_sha256: str = ""
    """Of the weights that an ONNX file was made from, where it says so."""

    @property
    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Two numbers a colour: the network sees x * scale + shift."""
        mean, std = np.array(self.mean), np.array(self.std)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


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

    def __call__(self, image: Image) -> Sequence[Array]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map a layer, where they were computed."""
        ...


def check_layers(info: BackboneInfo, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Raise BackboneError unless each layer exists and is asked for once."""
    for layer in layers:
        if layer not in info.available_layers:
            raise BackboneError(
                f"layers: expected some of {', '.join(info.available_layers)} (those of "
                f"{info.name}), got {layer!r}"
            )
    if len(set(layers)) < len(layers):
        raise BackboneError(f"layers: expected each once, got {', '.join(layers)}")
    return layers
