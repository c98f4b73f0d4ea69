"""The memory bank: fitted on the features of good images, it scores the features of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.core import neighbours
from patchbank.core.array_api import to_numpy
from patchbank.core.coreset import Coreset
from patchbank.core.scores import image_score
from patchbank.errors import DataError, ParameterError
from patchbank.methods.base import (
    FeatureMaps,
    Fit,
    Method,
    PatchEmbedding,
    PatchScores,
    Tensors,
    TrainingImage,
)
from patchbank.methods.memory_bank.selection import select, sizes_to_calibrate
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.methods.patch_store import PatchStore
from patchbank.methods.tensor_spec import TensorSpec
from patchbank.runtime.devices import Device
from patchbank.runtime.once import BuiltOnce
from patchbank.runtime.progress import Progress
from patchbank.settings import Settings
from patchbank.types import Array, Features, Indices

Embed: TypeAlias = Callable[[FeatureMaps], Array | PatchEmbedding]
"""[(c, h, w), ...] of one image -> its grid of patches, (h, w, d), or with a mask."""

UNKNOWN = np.empty(0, dtype=np.float32)
CONTENTS: Mapping[str, TensorSpec] = {
    "bank": TensorSpec("float32", ("m", "d")),
    "bank_origins": TensorSpec("int32", ("m", "4"), low=0),
    "bank_radii": TensorSpec("float32", ("m?",), low=0),
    "index_recall": TensorSpec("float64", ("1",), low=0, high=1),
}
RECALL_QUERIES = 2048  # patches on which the recall of an approximate index is measured


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

    def score(self, maps: FeatureMaps) -> PatchScores:
        """Score the feature maps of one image."""
        embedding = PatchEmbedding.of(self.embed(maps))
        rows = embedding.rows
        if len(rows) == 0:
            return self._nothing_scored(embedding)
        distances, _ = self.index.nearest(rows, self.settings.n_neighbours)
        return self._scored(embedding, rows, distances)

    def score_left_out(
        self,
        embedding: PatchEmbedding,
        photograph: int,
        nearest: NDArray[np.float32] | None = None,
    ) -> PatchScores:
        """Score a photograph of the fit against the rows of the others.

        Args:
            embedding: of that photograph.
            photograph: its number; the rows of its copies are left out with it.
            nearest: (n,) distances of its patches to the nearest row of the others, if known.
        """
        own = self.origins[:, 0] == photograph
        k, others = self.settings.n_neighbours, int((~own).sum())
        if others == 0:
            raise DataError(
                "expected a bank with rows of at least two photographs, to compute leave-one-out "
                f"scores; all {len(own)} rows come from one: use a larger bank"
            )
        if k > others:
            raise ParameterError(
                f"n_neighbours: expected at most {others} (the rows of the bank that come from "
                f"other photographs than number {photograph}), got {k}; use a larger bank"
            )
        rows = embedding.rows
        if len(rows) == 0:
            return self._nothing_scored(embedding)
        if nearest is not None:
            return self._scored(embedding, rows, nearest[:, None], own)
        distances, _ = self.exact_index.nearest(rows, k, exclude=own)
        return self._scored(embedding, rows, distances, own)

    @property
    def n_rows(self) -> int:
        """Rows of the bank."""
        return len(self.bank)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Smaller sizes to calibrate: every photograph can be left out of the first so many rows.

        Empty unless the bank was selected greedily and the index is exact.
        """
        if self.settings.selection != "greedy" or self.settings.index != "exact":
            return ()
        return tuple(n for n in sizes_to_calibrate(self.n_rows) if self._can_leave_out(n))

    def _can_leave_out(self, n_rows: int) -> bool:
        _, counts = np.unique(self.origins[:n_rows, 0], return_counts=True)
        return bool(n_rows - counts.max() >= self.settings.n_neighbours)

    def truncated(self, n_rows: int) -> BankModel:
        """The model of the first `n_rows` rows, which are the coreset of that size.

        Raises:
            ParameterError: there are fewer rows, or the bank is not in greedy order, or its index
                is approximate (its recall would not be known).
        """
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
        return BankModel(
            self.settings,
            self.embed,
            self.bank[:n_rows],
            self.origins[:n_rows],
            self.radii[:n_rows],
            device=self.device,
        )

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
        embedding: PatchEmbedding,
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

    def _nothing_scored(self, embedding: PatchEmbedding) -> PatchScores:
        """Scores of an image whose patches are all masked: those of a normal one."""
        return PatchScores(
            np.zeros(embedding.grid, dtype=np.float32), 0.0, self.settings.patch_stride
        )

    def _distances(self, query: NDArray[np.float32], rows: Indices) -> NDArray[np.float64]:
        """(d,), (b,) -> (b,) in float64: exponentials would magnify the rounding of float32."""
        differences = self.bank[rows].astype(np.float64) - query
        return np.asarray(np.linalg.norm(differences, axis=1))


class BankLearner:
    """Collects the patches of good photographs, then selects the bank from them."""

    def __init__(
        self,
        settings: BankParameters,
        embed: Embed,
        n_images: int,
        progress: Progress,
        device: Device,
    ) -> None:
        """Prepare for `n_images`.

        Raises:
            ParameterError: the index needs a package that is not installed.
        """
        neighbours.require_index(settings.index)  # before minutes of work
        self._settings = settings
        self._embed = embed
        self._progress = progress
        self._device = device
        self._store = PatchStore(n_images, settings.patch_stride, progress.note)

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the next image, and store its patches."""
        self._store.append(self._embed(image.maps), image)

    def fit(self) -> Fit:
        """Select the bank, and score each photograph without itself."""
        store, settings = self._store, self._settings
        if not store.n_photographs:
            raise DataError("expected the features of at least one photograph, got none")
        if not len(store.features):
            raise DataError("expected at least one patch that counts, got images masked all over")
        coreset = select(settings, store, self._progress, self._device)
        bank = store.features[coreset.centres]
        index, recall = None, 1.0
        if settings.index != "exact":
            index = neighbours.build_index(bank, settings.index, self._device)
            recall = self._measured_recall(index, bank, coreset.centres)
        model = BankModel(
            settings,
            self._embed,
            bank,
            store.origins(coreset.centres),
            UNKNOWN if coreset.radii is None else coreset.radii,
            recall,
            device=self._device,
            index=index,
        )
        if store.n_photographs == 1:
            return Fit(model, ())
        left_out = _left_out_scores(
            model, store, coreset.min_distance_to_other_groups, self._progress
        )
        return Fit(model, left_out, LeftOutBySize(model, store, coreset, self._progress))

    def _measured_recall(
        self, index: neighbours.NeighbourIndex, bank: Features, bank_rows: Indices
    ) -> float:
        """Recall of an index on patches outside the bank; on those of the bank if it has all."""
        features = self._store.features
        rng = np.random.default_rng(self._settings.seed)
        others = np.setdiff1d(np.arange(len(features)), bank_rows)
        candidates = others if len(others) else bank_rows
        drawn = np.sort(rng.choice(candidates, min(RECALL_QUERIES, len(candidates)), replace=False))
        exact = neighbours.ExactIndex(bank, self._device)
        return neighbours.recall(index, exact, features[drawn])


class LeftOutBySize(Mapping[int, tuple[PatchScores, ...]]):
    """Leave-one-out scores of the photographs for each smaller bank, by its number of rows.

    An entry is computed each time it is read.  Where the selection knows the distances for that
    size this is little work, otherwise it is a search of all patches in the smaller bank.  As long
    as it lives, so does the array of all patches of the fit.
    """

    def __init__(
        self, model: BankModel, store: PatchStore, coreset: Coreset, progress: Progress
    ) -> None:
        self._model = model
        self._store = store
        self._coreset = coreset
        self._progress = progress
        self._sizes = model.sizes

    def __getitem__(self, n_rows: int) -> tuple[PatchScores, ...]:
        if n_rows not in self._sizes:
            raise KeyError(n_rows)
        known = self._coreset.min_distance_to_other_groups_at.get(n_rows)
        return _left_out_scores(self._model.truncated(n_rows), self._store, known, self._progress)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)


def _left_out_scores(
    model: BankModel, store: PatchStore, to_others: NDArray[np.float32] | None, progress: Progress
) -> tuple[PatchScores, ...]:
    """Score every photograph without its own rows.

    Args:
        model: whose bank is searched.
        store: patches of the photographs.
        to_others: (n,) distance of each patch to the rows of other photographs; None if unknown.
        progress: shows the photographs.
    """
    scores = []
    with progress.task("calibrating", store.n_photographs) as advance:
        for number in range(store.n_photographs):
            nearest = None if to_others is None else to_others[store.patches_of(number)]
            scores.append(model.score_left_out(store.embedding(number), number, nearest))
            advance(1)
    return tuple(scores)


def method_with_bank(
    name: str,
    settings: type[Settings],
    parameters: type[BankParameters],
    presets: Mapping[str, Mapping[str, Any]],
    embed: Callable[[Any, FeatureMaps], Array | PatchEmbedding],
    dimensions: Callable[[Any, Sequence[int]], int],
) -> Method:
    """Make a method with a bank.

    Args:
        name: of the method.
        settings: all settings of it.
        parameters: the part of them that it receives.
        presets: name -> the settings that differ.
        embed: (parameters, feature maps) -> patches.
        dimensions: (parameters, channels of each map) -> dimensions of a patch.
    """

    def learner(
        chosen: BankParameters, n_images: int, progress: Progress, device: Device
    ) -> BankLearner:
        return BankLearner(chosen, partial(embed, chosen), n_images, progress, device)

    def restore(chosen: BankParameters, tensors: Tensors, device: Device) -> BankModel:
        if chosen.n_neighbours > len(tensors["bank"]):
            raise ParameterError(
                f"n_neighbours: expected at most {len(tensors['bank'])} (the rows of the bank), "
                f"got {chosen.n_neighbours}"
            )
        return BankModel(
            chosen,
            partial(embed, chosen),
            tensors["bank"],
            tensors["bank_origins"],
            tensors["bank_radii"],
            float(tensors["index_recall"][0]),
            device=device,
        )

    def lengths(chosen: BankParameters, channels: Sequence[int]) -> Mapping[str, int]:
        return {"d": dimensions(chosen, channels)}

    return Method(
        name, settings, parameters, presets, learner, restore, contents=CONTENTS, lengths=lengths
    )
