"""What every method promises: settings, `fit`, and a fitted model that scores features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.settings import Group, Settings, with_preset
from patchbank.settings.rules import Choice
from patchbank.types import Array, PatchGrid

FeatureMaps: TypeAlias = Sequence[Array]
"""Of one image: one (c, h, w) float32 map a layer, numpy arrays or tensors on a device."""
Tensors: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """The features of one good photograph, or of an augmented copy of it."""

    maps: FeatureMaps
    photograph: int
    """Its number from 0; copies have that of their original.  Ascending: the original comes first,
    its copies follow."""
    inside: NDArray[np.bool_] | None = None
    """(h, w) of the first layer's grid: False where a copy shows nothing of its photograph.  None
    for the photograph itself."""

    @property
    def is_copy(self) -> bool:
        """Whether it is an augmented copy: learned from, but nobody's left-out score."""
        return self.inside is not None

    def cells_inside(self, grid: tuple[int, int], stride: int = 1) -> NDArray[np.intp]:
        """Numbers of the cells of the patch `grid` that show something of the photograph.  (n,)."""
        if self.inside is None:
            return np.arange(grid[0] * grid[1])
        return np.flatnonzero(self.inside[::stride, ::stride])


@dataclass(frozen=True, slots=True)
class PatchScores:
    """What a method says of one image."""

    patch_scores: PatchGrid
    """(h, w) float32."""
    image_score: float
    stride: int = 1
    """Cells of the first layer's grid from one patch to the next."""


class FittedMethod(Protocol):
    """What a method has learned; it scores one image at a time, and never changes."""

    def score(self, maps: FeatureMaps) -> PatchScores:
        """Score the feature maps of one image."""
        ...

    def tensors(self) -> Tensors:
        """Everything learned, by name, for the detector file."""
        ...

    def summary(self) -> Mapping[str, Any]:
        """What `patchbank info` tells of it: sizes, radius, recall."""
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """The outcome of fitting."""

    model: FittedMethod
    left_out: tuple[PatchScores, ...]
    """What each photograph scores, in order, when it and all its copies are left out; empty where
    there is one photograph only."""
    left_out_of: Callable[[], Mapping[int, tuple[PatchScores, ...]]] = dict
    """() -> the same for smaller banks, by their rows, where the model has one that can be cut."""


@dataclass(frozen=True, slots=True)
class Method:
    """One entry of METHODS."""

    name: str
    settings: type[Settings]
    """All settings of a detector that is fitted by this method."""
    parameters: type[Group]
    """The part of them that `fit` and `restore` receive."""
    presets: Mapping[str, Mapping[str, Any]]
    """Name of each preset -> what differs from the default settings."""
    fit: Callable[[Any, Iterable[TrainingImage], int, Progress, Device], Fit]
    """(parameters, examples, number of examples, progress, device) -> Fit."""
    restore: Callable[[Any, Tensors, Device], FittedMethod]
    """(parameters, tensors, device) -> the model that `tensors` came from."""

    def changed_preset(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a preset with changes; what the changes rule out is dropped from the preset.

        >>> from patchbank.methods import METHODS
        >>> METHODS["patchcore"].changed_preset("anomalib", {"bank_rows": 500}).get("coreset")
        """
        return with_preset(self.settings, self.presets[name], changes)

    def settings_from(self, preset: str | None, changes: Mapping[str, Any]) -> Settings:
        """All settings of a preset (None: the defaults) with changes.

        Raises:
            ParameterError: no such preset or setting, or a value that is out of range.
        """
        if preset is None:
            return self.settings.from_mapping(changes)
        Choice(tuple(self.presets)).check("preset", preset)
        return self.settings.from_mapping(self.changed_preset(preset, changes))
