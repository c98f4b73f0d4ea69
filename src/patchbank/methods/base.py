"""The contract of every method: settings, a learner, and a fitted model that scores features.

A fit goes `Method.learner` -> `Learner.add` for each image -> `Learner.fit` -> `Fit`.  Whoever runs
it extracts the features and hands them over one image at a time, so a method never reads an image,
and the feature maps of all images are never in memory together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from patchbank.core.spatial.tiles import Tile
from patchbank.errors import ParameterError, ShapeError
from patchbank.methods.continuation import Continuation
from patchbank.methods.tensor_spec import TensorSpec
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.settings import Group, Settings, given_with_tiles, with_preset
from patchbank.settings.rules import Choice
from patchbank.types import Array, Indices, PatchGrid

FeatureMaps: TypeAlias = Sequence[Array]
"""Features of one image: a (c, h, w) float32 map for each layer, numpy arrays or tensors on a
device."""
Tensors: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """The features of one good photograph, or of an augmented copy of it."""

    maps: FeatureMaps
    photograph: int
    """Number of the photograph from 0, ascending; copies have that of their original, and follow
    it."""
    inside: NDArray[np.bool_] | None = None
    """(h, w) of the first layer's grid: False where a copy shows nothing of its photograph.  None
    for the photograph itself."""
    of_interest: NDArray[np.bool_] | None = None
    """(h, w) of the first layer's grid: True for the cells of the region of interest, which alone
    are learned and scored.  None where all are; never given to a method that does not take it."""
    tile: Tile | None = None
    """Where the maps lie in the photograph, if they are one tile of it; tiles come row by row.
    `inside` and `of_interest` are those of the whole photograph nevertheless."""

    @property
    def is_copy(self) -> bool:
        """Whether it is an augmented copy: used for fitting, not for calibration."""
        return self.inside is not None

    def cells_inside(self, grid: tuple[int, int], stride: int = 1) -> NDArray[np.intp]:
        """Cells of the patch `grid`, by number, that are `learned`.  (n,)."""
        if self.learned is None:
            return np.arange(grid[0] * grid[1])
        return np.flatnonzero(self.learned[::stride, ::stride])

    @property
    def learned(self) -> NDArray[np.bool_] | None:
        """Cells of the first layer's grid, (h, w), that are learned; None if all are.

        They are of the region of interest, and show something of the photograph.
        """
        if self.inside is None or self.of_interest is None:
            return self.of_interest if self.inside is None else self.inside
        return self.inside & self.of_interest


@dataclass(frozen=True, slots=True)
class PatchEmbedding:
    """The embedded patches of one image, with a mask where some of them do not count."""

    features: Array
    """(h, w, d)."""
    mask: NDArray[np.bool_] | None = None
    """(h, w): False for a patch that is neither learned nor scored; None where all count."""

    def __post_init__(self) -> None:
        mask, grid = self.mask, tuple(self.features.shape[:2])
        if mask is not None and (mask.shape != grid or mask.dtype != np.bool_):
            raise ShapeError(
                f"mask: expected booleans of shape {grid} (the patch grid), "
                f"got {mask.dtype} of shape {mask.shape}"
            )

    @classmethod
    def of(cls, embedded: Array | PatchEmbedding) -> PatchEmbedding:
        """The embedding itself, or one without a mask for a plain (h, w, d) array."""
        return embedded if isinstance(embedded, PatchEmbedding) else cls(embedded)

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w)."""
        return self.features.shape[0], self.features.shape[1]

    def within(self, of_interest: NDArray[np.bool_] | None, stride: int) -> PatchEmbedding:
        """The embedding in which only patches of the region of interest count.

        Args:
            of_interest: cells of the first layer's grid; None where all are of interest.
            stride: cells from one patch to the next.
        """
        if of_interest is None:
            return self
        patches = of_interest[::stride, ::stride]
        return PatchEmbedding(self.features, patches if self.mask is None else patches & self.mask)

    @property
    def rows(self) -> Array:
        """(n, d): the patches that count, row by row of the grid."""
        flat = self.features.reshape(-1, self.features.shape[2])
        return flat if self.mask is None else flat[np.flatnonzero(self.mask)]

    def on_grid(self, values: NDArray[np.float32]) -> PatchGrid:
        """Values of the patches that count, (n,), on the grid, (h, w); masked patches get 0."""
        if self.mask is None:
            return values.reshape(self.grid)
        grid = np.zeros(self.grid, dtype=values.dtype)
        grid[self.mask] = values
        return grid


@dataclass(frozen=True, slots=True)
class PatchRows:
    """The patches of one image that count, wherever they lie: a view of what a fit stores."""

    rows: Array
    """(n, d)."""
    grid: tuple[int, int]
    """(h, w)."""
    cells: Indices
    """(n,) number of the cell of each in the grid."""

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """(h, w): False for a patch that does not count; None where all do."""
        if len(self.cells) == self.grid[0] * self.grid[1]:
            return None
        mask = np.zeros(self.grid, dtype=np.bool_)
        mask.ravel()[self.cells] = True
        return mask

    def on_grid(self, values: NDArray[np.float32]) -> PatchGrid:
        """Values of the patches, (n,), on the grid, (h, w); those that do not count get 0."""
        grid = np.zeros(self.grid, dtype=values.dtype)
        grid.ravel()[self.cells] = values
        return grid


@dataclass(frozen=True, slots=True)
class PatchScores:
    """The scores that a method gives one image."""

    patch_scores: PatchGrid
    """(h, w) float32; 0 for a patch that does not differ from good ones, and for a masked one."""
    image_score: float
    stride: int = 1
    """Cells of the first layer's grid from one patch to the next."""
    decisive: PatchGrid | None = None
    """(h, w) float32: patch scores that the image score is made of, where those are others."""


class FittedMethod(Protocol):
    """A fitted model: it scores one image at a time, from any thread, and does not change.

    Search indexes and the like may be built at the first use; scores do not depend on it.
    """

    def score(self, maps: FeatureMaps, of_interest: NDArray[np.bool_] | None = None) -> PatchScores:
        """Score the feature maps of one image.

        Args:
            maps: of all layers.
            of_interest: (h, w) of the first layer's grid: True for the cells of the region of
                interest; patches of others get 0, and are not part of the image score.  None
                where all are of interest.
        """
        ...

    def tensors(self) -> Tensors:
        """Everything learned, by its key in the detector file."""
        ...

    def summary(self) -> Mapping[str, Any]:
        """Facts for `patchbank info` and the detector file: sizes, radius, recall."""
        ...


@runtime_checkable
class ResizableBank(Protocol):
    """A fitted model whose bank can be truncated; a model offers it or does not."""

    @property
    def n_rows(self) -> int:
        """Rows of the bank."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Smaller sizes that a fit calibrates, ascending; empty if it cannot be truncated."""
        ...

    def truncated(self, n_rows: int) -> FittedMethod:
        """The model of the first `n_rows` rows.

        Raises:
            ParameterError: it cannot be truncated to so many rows.
        """
        ...


@runtime_checkable
class TileScorer(Protocol):
    """A fitted model that scores patches one by one, so that a photograph can come in tiles."""

    def score_tile(
        self, maps: FeatureMaps, tile: Tile, of_interest: NDArray[np.bool_] | None = None
    ) -> PatchGrid:
        """Scores of a tile's own patches, (h, w), from the feature maps that cover it.

        Args:
            maps: of all layers.
            tile: where they lie in the photograph.
            of_interest: (h, w) of the photograph's feature grid, as `FittedMethod.score` has it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """The outcome of fitting."""

    model: FittedMethod
    left_out: tuple[PatchScores, ...]
    """Leave-one-out scores of each photograph, in order: without its group and all copies of it;
    empty where there is one group only."""
    calibration_by_size: Mapping[int, tuple[PatchScores, ...]] = field(default_factory=dict)
    """The same for the smaller `sizes` of a `ResizableBank`, by number of rows; empty for other
    models.  A method may compute an entry each time it is read, which can cost as much time as
    `left_out` did."""
    before: tuple[PatchScores, ...] = ()
    """Scores of each photograph by the model that was continued; empty of another fit."""
    uncovered: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(k,) distance of usual patches to some of the photographs, each without its group; empty of
    methods that know none.  See `memory_bank.coverage`."""


class Learner(Protocol):
    """A fit in progress."""

    def add(self, image: TrainingImage) -> None:
        """Take the features of the next image; its maps are not needed afterwards.

        Raises:
            ShapeError: a feature is not finite.
        """
        ...

    def fit(self, groups: Indices | None = None) -> Fit:
        """Learn from all images that were added, and score each photograph without its group.

        Args:
            groups: (n,) group of each photograph; photographs of equal number, and their copies,
                are left out together.  None leaves out each photograph alone.  What the model
                learns does not depend on it.

        Raises:
            DataError: no image was added.
            ParameterError: the settings do not suit the features.
            ShapeError: there is not one group for each photograph.
        """
        ...


@dataclass(frozen=True, slots=True)
class NormalTrial:
    """A model that has learned more of a photograph said to be normal, and what it says of it."""

    model: FittedMethod
    scores: PatchScores


class NormalLearner(Protocol):
    """Learns one photograph said to be normal, no more of it than is needed."""

    def add(self, image: TrainingImage) -> None:
        """Take the features of the photograph, or of its next tile.

        Raises:
            ShapeError: a feature is not finite.
        """
        ...

    def learned(self, effort: int) -> NormalTrial | None:
        """The model that has learned the photograph with some effort, 1, 2, 4, ..., or 0 for none.

        The effort is the number of rows that a bank gets, or the number of photographs that it
        counts as.  None where nothing is left that half the effort did not reach.
        """
        ...


def numbered_groups(groups: Indices | None, n_photographs: int) -> Indices:
    """Number the groups of photographs from 0 in the order of their first photographs.

    Args:
        groups: (n,) group of each photograph; None where each is a group of its own.
        n_photographs: n.

    Returns:
        (n,) number of the group of each photograph.

    Raises:
        ShapeError: there is not one group for each photograph.

    >>> numbered_groups(np.array([7, 3, 7]), 3).tolist(), numbered_groups(None, 2).tolist()
    ([0, 1, 0], [0, 1])
    """
    if groups is None:
        return np.arange(n_photographs)
    if groups.shape != (n_photographs,) or groups.dtype.kind not in "iu":
        raise ShapeError(
            f"groups: expected ({n_photographs},) integers, one for each photograph, got "
            f"{groups.dtype} of shape {groups.shape}"
        )
    _, first, numbers = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]


def _no_lengths(parameters: Any, channels: Sequence[int]) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Method:
    """One entry of METHODS."""

    name: str
    settings: type[Settings]
    """All settings of a detector that is fitted by this method."""
    parameters: type[Group]
    """The part of them that `learner` and `restore` receive."""
    presets: Mapping[str, Mapping[str, Any]]
    """Name of each preset -> the settings that differ from the defaults; may be empty."""
    learner: Callable[[Any, int, Progress, Device], Learner]
    """(parameters, number of training images, progress, device) -> a Learner."""
    restore: Callable[[Any, Tensors, Device], FittedMethod]
    """(parameters, tensors, device) -> the model that `tensors` came from."""
    contents: Mapping[str, TensorSpec] = field(default_factory=dict)
    """Name of each tensor -> its type, axes and range, which are checked before `restore`; where
    it is empty, `restore` has to check them."""
    lengths: Callable[[Any, Sequence[int]], Mapping[str, int]] = _no_lengths
    """(parameters, channels of each feature map) -> lengths of the axes that follow from them;
    that of the axis ``n`` is the number of good images."""
    takes_interest: bool = False
    """Whether its learner and its models leave out the cells that are not `of_interest`."""
    scores_tiles: bool = False
    """Whether its learner takes photographs in tiles, and its model is a `TileScorer`."""
    continued: Callable[[Any, Continuation, Progress, Device], Learner] | None = None
    """(model, what is added, progress, device) -> a Learner of further good photographs, whose fit
    gives a model of old and new ones, and left-out scores of the new ones.  None where a model
    cannot learn more without the photographs that it was fitted on."""
    normal: Callable[[Any, Continuation, Device], NormalLearner] | None = None
    """The same for one photograph that a person said to be normal."""
    check_in_shards: Callable[[Any], None] | None = None
    """(parameters) -> a ParameterError where they need all features in one place.  None where the
    learner is no `methods.patch_store.ShardedLearner`."""
    chooses_neighbours: bool = False
    """Whether features of a patch are made of the patches most like it: where two are equally like
    it but for rounding, programs may choose differently, and one cell of the map changes."""

    def changed_preset(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a preset with changes; what the changes rule out is dropped from the preset.

        >>> from patchbank.methods import METHODS
        >>> METHODS["patchcore"].changed_preset("anomalib", {"bank_rows": 500}).get("coreset")
        """
        preset = with_preset(self.settings, self.presets[name], changes)
        return given_with_tiles(self.settings, preset)

    def settings_from(self, preset: str | None, changes: Mapping[str, Any]) -> Settings:
        """All settings of a preset (None: the defaults) with changes.

        Raises:
            ParameterError: no such preset or setting, or a value that is out of range.
        """
        if preset is None:
            return self.settings.from_mapping(given_with_tiles(self.settings, changes))
        if not self.presets:
            raise ParameterError(
                f"preset: expected none, {self.name} has no presets, got {preset!r}"
            )
        Choice(tuple(self.presets)).check("preset", preset)
        return self.settings.from_mapping(self.changed_preset(preset, changes))
