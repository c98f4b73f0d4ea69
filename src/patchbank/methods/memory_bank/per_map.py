"""Memory banks, one for each feature map: their distances are made comparable, and averaged.

Maps differ in the size of their distances, so that in one bank of all maps together the map with
the largest ones decides.  And a patch of one bank has to be like one good patch in all maps at
once, for which no bank has rows enough; here each map has a nearest row of its own.  The distance
to each bank is divided by the spread of all good patches in that map, which depends neither on the
size of the bank nor on what is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores import image_score
from patchbank.methods.base import (
    FeatureMaps,
    PatchEmbedding,
    PatchRows,
    PatchScores,
    Tensors,
)
from patchbank.methods.explaining import Comparison, at_patches
from patchbank.methods.memory_bank.columns import columns
from patchbank.methods.memory_bank.explaining import comparison, nearest_rows
from patchbank.methods.memory_bank.model import UNKNOWN, BankModel, Embed, embedded
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.runtime.devices import Device
from patchbank.types import Array, Features, Indices


@dataclass(frozen=True, slots=True)
class MapPart:
    """A feature map that has a bank of its own."""

    number: int
    """Number of the map among those of an image: layers of the first scale, then of the next."""
    weight: float
    """Weight of its distances in the mean over the banks."""
    is_mapped: bool
    """Whether the anomaly map shows its distances."""


@dataclass(frozen=True, slots=True)
class MapBank:
    """The bank of one feature map."""

    part: MapPart
    model: BankModel
    """Rows, origins and indexes; it scores nothing itself."""
    spread: float
    """Unit of its distances: root mean square distance of all patches of the fit from their mean,
    or 1 where they are all equal."""

    def relative(self, distances: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n, k) to the nearest rows -> (n,): their mean in units of the spread."""
        scores = image_score.patch_scores(distances, "euclidean")
        return scores.astype(np.float64) / self.spread

    def truncated(self, n_rows: int) -> MapBank:
        """The bank of the first `n_rows` rows, in the same units."""
        return MapBank(self.part, self.model.truncated(n_rows), self.spread)


class MapBanks(BankModel):
    """The banks of the feature maps of one backbone, which together score patches.

    A row of `bank` has the rows of all banks at one position in the order of selection, which come
    from different patches: `origins` is (m, b, 4).
    """

    def __init__(
        self, settings: BankParameters, embed: Embed, banks: Sequence[MapBank], *, device: Device
    ) -> None:
        """Keep what was learned, one bank or more of the same number of rows."""
        super().__init__(
            settings,
            embed,
            np.hstack([each.model.bank for each in banks]),
            np.stack([each.model.origins for each in banks], axis=1),  # (m, b, 4)
            UNKNOWN,
            min(each.model.recall for each in banks),
            device=device,
            index=_RelativeDistances(banks),
        )
        self.banks = tuple(banks)
        weights = np.array([each.part.weight for each in banks])
        mapped = np.array([each.part.is_mapped for each in banks])
        self._mapped = np.flatnonzero(mapped)
        self._factor = np.float32(weights.sum() / (len(weights) * weights[mapped].sum()))

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
            nearest: (n, b) `weighted` distances of its patches to the banks of the others, if
                known.
        """
        own = [each.model.rows_of(photographs) for each in self.banks]
        rows = embedding.rows
        if len(rows) == 0:
            return self._nothing_scored(embedding)
        if nearest is None:
            k = self.settings.n_neighbours
            found = [
                each.relative(each.model.exact_index.nearest(part, k, exclude=of_group)[0])
                for each, part, of_group in zip(
                    self.banks, columns_of(rows, self.banks), own, strict=True
                )
            ]
            nearest = weighted(self.banks, found)
        return self._scored(embedding, rows, nearest)

    def compare(
        self,
        maps: FeatureMaps,
        patches: Indices,
        n_nearest: int,
        of_interest: NDArray[np.bool_] | None = None,
    ) -> list[tuple[Comparison, ...]]:
        """Compare some patches with each bank, in units of its spread."""
        queries = at_patches(embedded(self.embed, maps, of_interest).features, patches)
        stride, found = self.settings.patch_stride, []
        for number, (each, part) in enumerate(
            zip(self.banks, columns_of(queries, self.banks), strict=True), start=1
        ):
            model = each.model
            rows = nearest_rows(model.exact_index, model.origins, part, n_nearest, stride)
            name, unit, of_map = f"bank {number}", each.spread, each.part.number
            found.append([comparison(name, row, model.radii, unit, of_map) for row in rows])
        return list(zip(*found, strict=True))

    def scores_of(
        self, features: Features, patches: Indices, grid: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Scores of patches, (n,): the mean over all banks, wherever they lie."""
        distances, _ = self.index.nearest(features, self.settings.n_neighbours)
        return image_score.patch_scores(distances, "euclidean")

    def can_leave_out(self, n_rows: int, groups: Indices | None = None) -> bool:
        """Whether the first `n_rows` rows of each bank are enough without those of any one group.

        Args:
            n_rows: of the smaller banks.
            groups: (n,) group of each photograph; None where each is a group of its own.
        """
        return all(each.model.can_leave_out(n_rows, groups) for each in self.banks)

    def truncated(self, n_rows: int) -> MapBanks:
        """The model of the first `n_rows` rows of each bank, which are the coreset of that size.

        Raises:
            ParameterError: as `BankModel.truncated`.
        """
        self.check_size(n_rows)
        smaller = [each.truncated(n_rows) for each in self.banks]
        return MapBanks(self.settings, self.embed, smaller, device=self.device)

    @property
    def banks_of_maps(self) -> Sequence[BankModel]:
        """The bank of each feature map."""
        return tuple(each.model for each in self.banks)

    def with_banks(self, banks: Sequence[BankModel]) -> MapBanks:
        """The model with other banks, one for each of its own, in the same units."""
        pairs = zip(self.banks, banks, strict=True)
        others = [MapBank(each.part, model, each.spread) for each, model in pairs]
        return MapBanks(self.settings, self.embed, others, device=self.device)

    def together(self, distances: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Distances (n, k) to the nearest rows of each bank, `weighted`."""
        pairs = zip(self.banks, distances, strict=True)
        return weighted(self.banks, [each.relative(found) for each, found in pairs])

    def tensors(self) -> Tensors:
        """Everything learned, by its key in the detector file."""
        tensors: Tensors = {"index_recall": np.array([self.recall])}
        for number, each in enumerate(self.banks):
            tensors |= {
                f"bank{number}": each.model.bank,
                f"bank{number}_origins": each.model.origins,
                f"bank{number}_radii": each.model.radii,
                f"bank{number}_spread": np.array([each.spread]),
            }
        return tensors

    def summary(self) -> Mapping[str, Any]:
        """Banks, rows of each, dimensions of all, and recall; radii have no unit in common."""
        return {**super().summary(), "banks": len(self.banks), "covering_radius": None}

    def _scored(
        self,
        embedding: PatchEmbedding | PatchRows,
        patches: Array,
        distances: NDArray[np.float32],
        without: NDArray[np.bool_] | None = None,
    ) -> PatchScores:
        """Score from the `weighted` distances (n, b) of the patches that count.

        The image score is made of all banks, the map of those of the first scale, which place
        defects better.
        """
        settings = self.settings
        whole = embedding.on_grid(image_score.patch_scores(distances, "euclidean"))
        score = image_score.grid_score(
            whole, settings.image_score, settings.top_fraction, embedding.mask
        )
        shown: NDArray[np.float32] = distances[:, self._mapped].sum(axis=1) * self._factor
        return PatchScores(embedding.on_grid(shown), score, settings.patch_stride, whole)


def weighted(
    banks: Sequence[MapBank], relative: Sequence[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """`MapBank.relative` distances (n,) to each bank -> (n, b), whose mean is the score of a patch.

    That is the mean over the banks by the weights of their parts.
    """
    weights = np.array([each.part.weight for each in banks])
    columns = np.stack(relative, axis=1) * (weights * len(weights) / weights.sum())
    return np.asarray(columns, dtype=np.float32)


def columns_of(rows: Array, banks: Sequence[MapBank]) -> list[Array]:
    """The features of each map in patches (n, d) of all of them.  -> (n, d of the map) each."""
    return columns(rows, [each.model.n_features for each in banks])


class _RelativeDistances:
    """The index of several banks: distances to each, `weighted`."""

    def __init__(self, banks: Sequence[MapBank]) -> None:
        self._banks = banks

    def nearest(self, queries: Array, k: int = 1) -> tuple[NDArray[np.float32], Indices]:
        """(n, d) patches -> `weighted` distances (n, b) and the nearest row of each bank (n, b)."""
        distances, rows = [], []
        for each, part in zip(self._banks, columns_of(queries, self._banks), strict=True):
            found, nearest = each.model.index.nearest(part, k)
            distances.append(each.relative(found))
            rows.append(nearest[:, 0])
        return weighted(self._banks, distances), np.stack(rows, axis=1)
