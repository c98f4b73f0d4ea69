"""The memory bank: fitted on the features of good images, it scores the features of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.core import neighbours
from patchbank.core.array_api import to_numpy
from patchbank.core.scores import image_score
from patchbank.core.spatial.tiles import Tile
from patchbank.errors import DataError, ParameterError
from patchbank.methods.base import (
    FeatureMaps,
    PatchEmbedding,
    PatchRows,
    PatchScores,
    Tensors,
    TrainingImage,
)
from patchbank.methods.explaining import Comparison, at_patches
from patchbank.methods.memory_bank.columns import columns
from patchbank.methods.memory_bank.explaining import comparison, nearest_rows, rows_of_photographs
from patchbank.methods.memory_bank.selection import sizes_to_calibrate
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.methods.tensor_spec import TensorSpec
from patchbank.runtime.devices import Device
from patchbank.runtime.once import BuiltOnce
from patchbank.types import Array, Features, Indices, PatchGrid

Embed: TypeAlias = Callable[..., Array | PatchEmbedding]
"""[(c, h, w), ...] of one image, and the cells of interest, unless all are -> its grid of patches,
(h, w, d), or with a mask."""


def embedded(
    embed: Embed, maps: FeatureMaps, of_interest: NDArray[np.bool_] | None
) -> PatchEmbedding:
    """The patches of one image; an embedding that knows no region of interest needs none here."""
    return PatchEmbedding.of(embed(maps) if of_interest is None else embed(maps, of_interest))


def embedded_to_learn(embed: Embed, image: TrainingImage) -> PatchEmbedding:
    """The patches of an image that is learned.

    Those of a tile are not restricted here: the cells of interest are of the whole photograph.
    """
    return embedded(embed, image.maps, image.of_interest if image.tile is None else None)


UNKNOWN = np.empty(0, dtype=np.float32)
SMALLEST_SPREAD = 1e-9
"""Smallest spread of good patches in a feature map that distances are divided by."""
CONTENTS: Mapping[str, TensorSpec] = {
    "bank": TensorSpec("float32", ("m", "d"), repeated="joint"),
    "bank_origins": TensorSpec("int32", ("m", "4"), low=0, repeated="joint"),
    "bank_radii": TensorSpec("float32", ("m?",), low=0, repeated="joint"),
    "bankI": TensorSpec("float32", ("m", "dI"), repeated="banks"),
    "bankI_origins": TensorSpec("int32", ("m", "4"), low=0, repeated="banks"),
    "bankI_radii": TensorSpec("float32", ("m?",), low=0, repeated="banks"),
    "bankI_spread": TensorSpec("float64", ("1",), low=SMALLEST_SPREAD, repeated="banks"),
    "index_recall": TensorSpec("float64", ("1",), low=0, high=1),
}


class BankModel:
    """A bank of patch features, and the origin of each row; a `ResizableBank`."""

    def __init__(
        self,
        settings: BankParameters,
        embed: Embed,
        bank: Features,
        origins: NDArray[np.int32],
        radii: NDArray[np.float32],
        recall: float = 1.0,
        *,
        device: Device,
        index: neighbours.NeighbourIndex | None = None,
    ) -> None:
        """Keep what was learned; an `index` of the bank is built at the first search, if None."""
        self.settings = settings
        self.embed = embed
        self.device = device
        self.bank = bank
        """(m, d), in the order of selection: the first rows are the coreset of that size."""
        self.origins = origins
        """(m, 4): photograph, row and column in the patch grid, number of the augmented copy."""
        self.radii = radii
        """(m,) covering radius of the first 1, 2, ... rows; empty unless selected greedily."""
        self.recall = recall
        """Share of patches of the good images whose nearest row the index finds."""
        self._index = BuiltOnce(lambda: neighbours.build_index(bank, settings.index, device), index)
        self._exact_index = BuiltOnce(lambda: neighbours.ExactIndex(bank, device))

    @property
    def index(self) -> neighbours.NeighbourIndex:
        """The index of the bank; not every model is searched, so it is built at the first use."""
        return self._index()

    @property
    def exact_index(self) -> neighbours.ExactIndex:
        """The index itself if it is exact, otherwise an exact one of the same bank."""
        index = self.index
        return index if isinstance(index, neighbours.ExactIndex) else self._exact_index()

    def score(self, maps: FeatureMaps, of_interest: NDArray[np.bool_] | None = None) -> PatchScores:
        """Score the patches of one image that are of interest."""
        return self.score_embedded(embedded(self.embed, maps, of_interest))

    def score_embedded(self, embedding: PatchEmbedding) -> PatchScores:
        """Score patches that are embedded already."""
        rows = embedding.rows
        if len(rows) == 0:
            return self._nothing_scored(embedding)
        distances, _ = self.index.nearest(rows, self.settings.n_neighbours)
        return self._scored(embedding, rows, distances)

    def score_tile(
        self, maps: FeatureMaps, tile: Tile, of_interest: NDArray[np.bool_] | None = None
    ) -> PatchGrid:
        """Scores of a tile's own patches, (h, w), from the feature maps that cover it."""
        stride = self.settings.patch_stride
        whole, own = PatchEmbedding.of(self.embed(maps)), tile.in_maps(stride)
        mask = None if whole.mask is None else whole.mask[own]
        embedding = PatchEmbedding(whole.features[own], mask).within(
            tile.own(of_interest, stride), 1
        )
        rows = embedding.rows
        if len(rows) == 0:
            return np.zeros(embedding.grid, dtype=np.float32)
        distances, _ = self.index.nearest(rows, self.settings.n_neighbours)
        return embedding.on_grid(image_score.patch_scores(distances, self.settings.metric))

    def score_left_out(
        self,
        embedding: PatchEmbedding | PatchRows,
        photographs: Indices,
        nearest: NDArray[np.float32] | None = None,
    ) -> PatchScores:
        """Score a photograph of the fit against the rows of other groups.

        Args:
            embedding: of that photograph.
            photographs: numbers of all photographs of its group, which are left out with their
                copies.
            nearest: (n,) distances of its patches to the nearest row of the others, if known.
        """
        own = self.rows_of(photographs)
        rows = embedding.rows
        if len(rows) == 0:
            return self._nothing_scored(embedding)
        if nearest is not None:
            return self._scored(embedding, rows, nearest[:, None], own)
        distances, _ = self.exact_index.nearest(rows, self.settings.n_neighbours, exclude=own)
        return self._scored(embedding, rows, distances, own)

    def compare(
        self,
        maps: FeatureMaps,
        patches: Indices,
        n_nearest: int,
        of_interest: NDArray[np.bool_] | None = None,
    ) -> list[tuple[Comparison, ...]]:
        """Compare some patches with the bank, as `methods.explaining.Explaining` has it.

        Distances are Euclidean, whatever the metric of the patch scores; the search is exact.
        """
        queries = at_patches(embedded(self.embed, maps, of_interest).features, patches)
        stride = self.settings.patch_stride
        found = nearest_rows(self.exact_index, self.origins, queries, n_nearest, stride)
        return [(comparison("bank", rows, self.radii),) for rows in found]

    @property
    def n_features(self) -> int:
        """Numbers of each patch."""
        return int(self.bank.shape[1])

    def patch_features(
        self, maps: FeatureMaps, patches: Indices, of_interest: NDArray[np.bool_] | None = None
    ) -> Features:
        """Features of some patches, (n, d), as `methods.remembering.Remembering` has it."""
        embedding = embedded(self.embed, maps, of_interest)
        found: Features = to_numpy(at_patches(embedding.features, patches))
        return found

    def scores_of(
        self, features: Features, patches: Indices, grid: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Scores of patches, (n,), wherever they lie."""
        distances, _ = self.index.nearest(features, self.settings.n_neighbours)
        return image_score.patch_scores(distances, self.settings.metric)

    def sources(self, n_photographs: int) -> Indices:
        """Rows that come from each photograph, (n_photographs,)."""
        return rows_of_photographs(self.origins, n_photographs)

    def rows_of(self, photographs: Indices) -> NDArray[np.bool_]:
        """(m,) the rows of a group of photographs, which are left out together.

        Raises:
            DataError: no others remain.
            ParameterError: fewer others remain than there are neighbours.
        """
        own = np.isin(self.origins[:, 0], photographs)
        k, others = self.settings.n_neighbours, int((~own).sum())
        if others == 0:
            one = "one" if len(photographs) == 1 else "one group"
            least = "two photographs" if len(photographs) == 1 else "two groups of photographs"
            raise DataError(
                f"expected a bank with rows of at least {least}, to compute leave-one-out "
                f"scores; all {len(own)} rows come from {one}: use a larger bank"
            )
        if k > others:
            kind = "photographs" if len(photographs) == 1 else "groups"
            own_name = "" if len(photographs) == 1 else "that of photograph "
            raise ParameterError(
                f"n_neighbours: expected at most {others} (the rows of the bank that come from "
                f"other {kind} than {own_name}number {photographs[0]}), got {k}; use a larger bank"
            )
        return own

    @property
    def n_rows(self) -> int:
        """Rows of the bank."""
        return len(self.bank)

    @property
    def usual_rows(self) -> int:
        """Rows that a fit keeps: more than it has where those are all patches."""
        settings = self.settings
        given = (settings.coreset, settings.bank_rows, settings.covering_radius)
        covers_all = any(len(one.radii) and one.radii[-1] == 0 for one in self.banks_of_maps)
        if given == (None, None, None) and covers_all:
            return max(self.n_rows, settings.bank_limit)
        return self.n_rows

    @property
    def sizes(self) -> tuple[int, ...]:
        """Smaller sizes to calibrate: every photograph can be left out of the first so many rows.

        Empty unless the bank was selected greedily and the index is exact.
        """
        if self.settings.selection != "greedy" or self.settings.index != "exact":
            return ()
        return tuple(n for n in sizes_to_calibrate(self.n_rows) if self.can_leave_out(n))

    def can_leave_out(self, n_rows: int, groups: Indices | None = None) -> bool:
        """Whether the first `n_rows` rows are enough without those of any one group.

        Args:
            n_rows: of the smaller bank.
            groups: (n,) group of each photograph; None where each is a group of its own.
        """
        photographs = self.origins[:n_rows, 0]
        own = photographs if groups is None else groups[photographs]
        _, counts = np.unique(own, return_counts=True)
        return bool(n_rows - counts.max() >= self.settings.n_neighbours)

    def truncated(self, n_rows: int) -> BankModel:
        """The model of the first `n_rows` rows, which are the coreset of that size.

        Raises:
            ParameterError: there are fewer rows, or the bank is not in greedy order, or its index
                is approximate (its recall would not be known).
        """
        self.check_size(n_rows)
        return BankModel(
            self.settings,
            self.embed,
            self.bank[:n_rows],
            self.origins[:n_rows],
            self.radii[:n_rows],
            device=self.device,
        )

    def check_size(self, n_rows: int) -> None:
        """Raise a ParameterError where the bank cannot be truncated to `n_rows`."""
        if self.settings.selection != "greedy":
            raise ParameterError(
                "bank_rows: expected a bank that was selected greedily, whose first rows are a "
                f"smaller one, got selection {self.settings.selection!r}"
            )
        if self.settings.index != "exact":
            raise ParameterError(
                f"bank_rows: expected the exact index, got {self.settings.index!r}, whose recall "
                "on another bank is not known"
            )
        least = self.settings.n_neighbours
        if not least <= n_rows <= len(self.bank):
            raise ParameterError(
                f"bank_rows: expected {least} to {len(self.bank)} (the rows of the bank), "
                f"got {n_rows}"
            )

    @property
    def banks_of_maps(self) -> Sequence[BankModel]:
        """The banks that it searches: itself, or one for each feature map."""
        return (self,)

    @property
    def widths(self) -> tuple[int, ...]:
        """Dimensions of each of these banks, whose features lie side by side in a patch."""
        return tuple(each.bank.shape[1] for each in self.banks_of_maps)

    def with_banks(self, banks: Sequence[BankModel]) -> BankModel:
        """The model with other banks, one for each of `banks_of_maps`."""
        return banks[0]

    def with_index(self, index: neighbours.NeighbourIndex, recall: float) -> BankModel:
        """The model with an index of its bank that was built already."""
        return BankModel(
            self.settings,
            self.embed,
            self.bank,
            self.origins,
            self.radii,
            recall,
            device=self.device,
            index=index,
        )

    def together(self, distances: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Distances (n, k) to the rows of each of `banks_of_maps`, as `scored` takes them."""
        return distances[0]

    def scored(self, patches: PatchRows, distances: NDArray[np.float32]) -> PatchScores:
        """Score an image from the distances of its patches to the nearest rows; see `together`."""
        if not len(distances):
            return self._nothing_scored(patches)
        return self._scored(patches, patches.rows, distances)

    def columns(self, rows: Features) -> list[Features]:
        """Features (n, d) of patches -> those for each of `banks_of_maps`."""
        return columns(rows, self.widths)

    def tensors(self) -> Tensors:
        """Everything learned, by its key in the detector file."""
        return {
            "bank": self.bank,
            "bank_origins": self.origins,
            "bank_radii": self.radii,
            "index_recall": np.array([self.recall]),
        }

    def summary(self) -> Mapping[str, Any]:
        """Rows, dimensions, covering radius and recall."""
        radius = float(self.radii[-1]) if len(self.radii) else None
        return {
            "bank_rows": len(self.bank),
            "dimensions": self.bank.shape[1],
            "covering_radius": radius,
            "index_recall": self.recall,
        }

    def _scored(
        self,
        embedding: PatchEmbedding | PatchRows,
        patches: Array,
        distances: NDArray[np.float32],
        without: NDArray[np.bool_] | None = None,
    ) -> PatchScores:
        """Score from the distances (n, k) of the patches that count, (n, d), to the nearest rows.

        Rows of the bank in `without` are left out.
        """
        grid = embedding.on_grid(image_score.patch_scores(distances, self.settings.metric))
        kind, rows = self.settings.image_score, len(self.bank)
        if without is not None:
            rows = int((~without).sum())
        if kind in ("reweighted", "hcw") and rows > 1:
            query = to_numpy(patches[int(distances[:, 0].argmax())])
            score = self._reweighted_score(query, rows, without)
        else:
            score = image_score.grid_score(grid, kind, self.settings.top_fraction, embedding.mask)
        return PatchScores(grid, score, self.settings.patch_stride)

    def _reweighted_score(
        self, query: NDArray[np.float32], rows: int, without: NDArray[np.bool_] | None
    ) -> float:
        """Image score from the worst patch and the neighbourhood of its nearest of `rows` rows."""
        exact = self.exact_index
        n_neighbours = min(self.settings.n_reweight_neighbours, rows)
        if self.settings.image_score == "hcw":
            _, around = exact.nearest(query[None], n_neighbours, exclude=without)
            return image_score.hcw_reweighted(self._distances(query, around[0]))
        nearest, row = exact.nearest(query[None], exclude=without)
        _, around = exact.nearest(self.bank[row[0]], n_neighbours, exclude=without)
        return image_score.reweighted(float(nearest[0, 0]), self._distances(query, around[0]))

    def _nothing_scored(self, embedding: PatchEmbedding | PatchRows) -> PatchScores:
        """Scores of an image whose patches are all masked: those of a normal one."""
        return PatchScores(
            np.zeros(embedding.grid, dtype=np.float32), 0.0, self.settings.patch_stride
        )

    def _distances(self, query: NDArray[np.float32], rows: Indices) -> NDArray[np.float64]:
        """(d,), (b,) -> (b,) in float64: exponentials would magnify the rounding of float32."""
        differences = self.bank[rows].astype(np.float64) - query
        return np.asarray(np.linalg.norm(differences, axis=1))
