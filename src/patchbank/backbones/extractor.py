"""The contract of a backbone: `BackboneInfo` describes one, a `FeatureExtractor` runs one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import BackboneError
from patchbank.types import Array, Image


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a backbone whose output can be used as a feature map."""

    channels: int
    stride: int
    """Input pixels per cell of the map, the same in height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """Weights and preprocessing of a backbone in one record, so that they stay consistent."""

    name: str
    available_layers: Mapping[str, Layer]
    """Layers that can be chosen, shallow to deep."""
    default_layers: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """The network's input is (x / 255 - mean) / std per colour, red first."""
    size_multiple: int
    """Height and width of the input must be multiples of this."""
    input_size: tuple[int, int] | None
    """(H, W) if the network accepts one size only."""
    license: str
    source: str
    sha256: str
    """Digest of the weights, or of the ONNX file; empty if the weights were not read."""
    source_sha256: str = ""
    """Digest of the weights that an ONNX file was exported from, if the file states it."""

    @property
    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Two numbers per colour: the network's input is x * scale + shift."""
        mean, std = np.array(self.mean), np.array(self.std)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


class FeatureExtractor(Protocol):
    """Computes the feature maps of the chosen layers for one resized photograph.

    An extractor that a detector file can hold also has an attribute ``kind``: the key, in
    `patchbank.backbones.SOURCES`, of the source that packs and restores it.  One that gains
    nothing from many threads, as it takes one at a time, has an attribute ``most_threads``.
    """

    @property
    def info(self) -> BackboneInfo:
        """Origin of the weights, and how their input is prepared."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """The chosen layers, in the order of the returned maps."""
        ...

    def __call__(self, image: Image) -> Sequence[Array]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map per layer, on the extractor's device."""
        ...


def most_threads_of(extractor: FeatureExtractor) -> int | None:
    """Threads that may call an extractor and gain by it; None for any number."""
    found: int | None = getattr(extractor, "most_threads", None)
    return found


def check_layers(info: BackboneInfo, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Raise BackboneError unless every layer exists and is named once."""
    for layer in layers:
        if layer not in info.available_layers:
            raise BackboneError(
                f"layers: expected some of {', '.join(info.available_layers)} (the layers of "
                f"{info.name}), got {layer!r}"
            )
    if len(set(layers)) < len(layers):
        raise BackboneError(f"layers: expected each once, got {', '.join(layers)}")
    return layers
