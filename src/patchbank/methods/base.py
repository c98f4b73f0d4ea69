"""What every method promises: settings, `fit`, and a fitted model that scores features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from patchbank.core.arrays import Array, Device
from patchbank.methods.settings import Settings
from patchbank.types import PatchGrid

FeatureMaps: TypeAlias = Sequence[Array]
"""Of one image: one (c, h, w) float32 map a layer, numpy arrays or tensors on a device."""
Tensors: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a method says of one image."""

    patch_scores: PatchGrid
    """(h, w) float32."""
    image_score: float
    stride: int = 1
    """Cells of the first layer's grid from one patch to the next."""


class FittedMethod(Protocol):
    """What a method has learned; it scores one image at a time, and never changes."""

    def score(self, maps: FeatureMaps) -> Scored:
        """Score the feature maps of one image."""
        ...

    def tensors(self) -> Tensors:
        """Everything learned, by name, for the detector file."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What `patchbank info` tells of it: sizes, radius, recall."""
        ...


class Progress(Protocol):
    """Tells a person how far long work has come."""

    def task(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Open a task; what it yields is called with the steps done since the last call."""
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """The outcome of fitting: the model, and the score of each image when it is left out."""

    model: FittedMethod
    left_out: tuple[Scored, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """One entry of METHODS."""

    name: str
    settings: type[Settings]
    presets: tuple[str, ...]
    """Their names."""
    changed_preset: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
    """(name of a preset, changes) -> what differs from the default settings."""
    fit: Callable[[Any, Iterable[FeatureMaps], int, Progress, Device], Fit]
    """(settings, features of each image, number of images, progress, device) -> Fit."""
    restore: Callable[[Any, Tensors, Device], FittedMethod]
    """(settings, tensors, device) -> the model that `tensors` came from."""
