"""The bank: fitted on the features of good images, it scores those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.core import neighbours
from patchbank.core.array_api import to_numpy
from patchbank.core.scores import image_score
from patchbank.errors import DataError, ParameterError
from patchbank.methods.base import FeatureMaps, Fit, Method, PatchScores, Tensors, TrainingImage
from patchbank.methods.memory_bank.selection import cut_sizes, select
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.methods.patch_store import PatchStore
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.settings import Settings
from patchbank.types import Array, Features, Indices

Embed: TypeAlias = Callable[[FeatureMaps], Array]
"""[(c, h, w), ...] of one image -> (h, w, d): its grid of patches."""

UNKNOWN = np.empty(0, dtype=np.float32)
RECALL_QUERIES = 2048  # patches on which the recall of an approximate index is measured


class BankModel:
    """A bank of patch features and where each row came from."""

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
    ) -> None:
        self.settings = settings
        self.embed = embed
        self.device = device
        self.bank = bank
        """(m, d), in picking order: the first rows are the coreset of that size."""
        self.origins = origins
        """(m, 4): photograph, row and column in the patch grid, number of the augmented copy."""
        self.radii = radii
        """(m,) covering radius of the first 1, 2, ... rows; empty unless selected greedily."""
        self.recall = recall
        """Share of patches of the good images whose nearest row the index finds."""

    @cached_property
    def index(self) -> neighbours.NeighbourIndex:
        """Of the bank, built when it is first searched: not every model is."""
        return neighbours.build_index(self.bank, self.settings.index, self.device)

    @cached_property
    def exact_index(self) -> neighbours.ExactIndex:
        """The index itself, or an exact one beside it."""
        if isinstance(self.index, neighbours.ExactIndex):
            return self.index
        return neighbours.ExactIndex(self.bank, self.device)

    def score(self, maps: FeatureMaps) -> PatchScores:
        """Score the feature maps of one image."""
        embedding = self.embed(maps)  # (h, w, d)
        distances, _ = self.index.nearest(_rows(embedding), self.settings.n_neighbours)
        return self._scored(embedding, distances)

    def score_left_out(
        self,
        embedding: Array,
        photograph: int,
        nearest: NDArray[np.float32] | None = None,
    ) -> PatchScores:
        """Score a photograph of the fit against the rows of the others.

        Args:
            embedding: (h, w, d) of that photograph.
            photograph: its number; the rows of its copies are left out with it.
            nearest: (h * w,) distances to the nearest row of the others, where they are known.
        """
        own = self.origins[:, 0] == photograph
        k, others = self.settings.n_neighbours, int((~own).sum())
        if others == 0:
            raise DataError(
                "expected a bank with rows of at least two photographs, to tell what unseen good "
                f"ones score; all {len(own)} rows come from one: use a larger bank"
            )
        if k > others:
            raise ParameterError(
                f"n_neighbours: expected at most {others} (the rows of the bank that come from "
                f"other photographs than number {photograph}), got {k}; use a larger bank"
            )
        if nearest is not None:
            return self._scored(embedding, nearest[:, None], own)
        distances, _ = self.exact_index.nearest(_rows(embedding), k, exclude=own)
        return self._scored(embedding, distances, own)

    def with_rows(self, n_rows: int) -> BankModel:
        """The model of the first so many rows, which are the coreset of that size.

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
        """Everything learned, by name."""
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
        embedding: Array,
        distances: NDArray[np.float32],
        without: NDArray[np.bool_] | None = None,
    ) -> PatchScores:
        """Score from the distances (n, k) to the nearest rows, some of them left out."""
        values = image_score.patch_scores(distances, self.settings.metric)
        grid = values.reshape(embedding.shape[:2])  # (h, w)
        score = self._image_score(grid, embedding, distances, without)
        return PatchScores(grid, score, self.settings.patch_stride)

    def _image_score(
        self,
        grid: NDArray[np.float32],
        embedding: Array,
        distances: NDArray[np.float32],
        without: NDArray[np.bool_] | None,
    ) -> float:
        kind = self.settings.image_score
        rows = len(self.bank) if without is None else int((~without).sum())
        if kind not in ("reweighted", "hcw") or rows == 1:
            return image_score.grid_score(grid, kind, self.settings.top_fraction)
        exact = self.exact_index
        support = min(self.settings.n_reweight_neighbours, rows)
        query = to_numpy(_rows(embedding)[int(distances[:, 0].argmax())])
        if kind == "hcw":
            _, around = exact.nearest(query[None], support, exclude=without)
            return image_score.hcw_reweighted(self._distances(query, around[0]))
        nearest, row = exact.nearest(query[None], exclude=without)
        _, around = exact.nearest(self.bank[row[0]], support, exclude=without)
        return image_score.reweighted(float(nearest[0, 0]), self._distances(query, around[0]))

    def _distances(self, query: NDArray[np.float32], rows: Indices) -> NDArray[np.float64]:
        """(d,), (b,) -> (b,), in double precision: exponents magnify the rounding of single."""
        differences = self.bank[rows].astype(np.float64) - query
        return np.asarray(np.linalg.norm(differences, axis=1))


def _rows(embedding: Array) -> Array:
    """(h, w, d) -> (h * w, d)."""
    return embedding.reshape(-1, embedding.shape[2])


def fit_bank(
    settings: BankParameters,
    embed: Embed,
    examples: Iterable[TrainingImage],
    n_examples: int,
    progress: Progress,
    device: Device,
) -> Fit:
    """Fill the bank from the features of good photographs, and score each when it is left out."""
    neighbours.require_index(settings.index)  # before minutes of work
    store = PatchStore(n_examples, settings.patch_stride, progress.note)
    for example in examples:
        store.append(to_numpy(embed(example.maps)), example)
    if not store.n_photographs:
        raise DataError("expected the features of at least one photograph, got none")
    picked = select(settings, store, progress, device)
    bank, origins = store.features[picked.centres], store.origins(picked.centres)
    radii = UNKNOWN if picked.radii is None else picked.radii
    model = BankModel(settings, embed, bank, origins, radii, device=device)
    if settings.index != "exact":
        model.recall = _measured_recall(settings, model, store.features, picked.centres)
    if store.n_photographs == 1:
        return Fit(model, ())

    def left_out_of() -> dict[int, tuple[PatchScores, ...]]:
        return {
            size: _left_out(
                model.with_rows(size),
                store,
                picked.min_distance_to_other_groups_at.get(size),
                progress,
            )
            for size in cut_sizes(len(bank))
            if _can_be_cut(model, size)
        }

    to_others = picked.min_distance_to_other_groups
    return Fit(model, _left_out(model, store, to_others, progress), left_out_of)


def _left_out(
    model: BankModel, store: PatchStore, to_others: NDArray[np.float32] | None, progress: Progress
) -> tuple[PatchScores, ...]:
    """Score every photograph without its own rows.

    `to_others` has the distance of each patch to the rows of other photographs, if it is known.
    """
    scored = []
    with progress.task("calibrating", store.n_photographs) as advance:
        for number in range(store.n_photographs):
            nearest = None if to_others is None else to_others[store.patches_of(number)]
            scored.append(model.score_left_out(store.embedding(number), number, nearest))
            advance(1)
    return tuple(scored)


def _can_be_cut(model: BankModel, n_rows: int) -> bool:
    """Whether the first rows are a bank that every photograph can be left out of."""
    if model.settings.selection != "greedy" or model.settings.index != "exact":
        return False
    _, counts = np.unique(model.origins[:n_rows, 0], return_counts=True)
    return bool(n_rows - counts.max() >= model.settings.n_neighbours)


def method_with_bank(
    name: str,
    settings: type[Settings],
    parameters: type[BankParameters],
    presets: Mapping[str, Mapping[str, Any]],
    embed: Callable[[Any, FeatureMaps], Array],
) -> Method:
    """A method with a bank; what is its own is `embed`: (settings, feature maps) -> (h, w, d)."""

    def fit(
        chosen: BankParameters,
        examples: Iterable[TrainingImage],
        n_examples: int,
        progress: Progress,
        device: Device,
    ) -> Fit:
        return fit_bank(chosen, partial(embed, chosen), examples, n_examples, progress, device)

    def restore(chosen: BankParameters, tensors: Tensors, device: Device) -> BankModel:
        return BankModel(
            chosen,
            partial(embed, chosen),
            tensors["bank"],
            tensors["bank_origins"],
            tensors["bank_radii"],
            float(tensors["index_recall"][0]),
            device=device,
        )

    return Method(name, settings, parameters, presets, fit, restore)


def _measured_recall(
    settings: BankParameters, model: BankModel, features: Features, bank_rows: Indices
) -> float:
    """Recall of the model's index on patches that are not in the bank themselves, if there are."""
    rng = np.random.default_rng(settings.seed)
    others = np.setdiff1d(np.arange(len(features)), bank_rows)
    candidates = others if len(others) else bank_rows
    some = np.sort(rng.choice(candidates, min(RECALL_QUERIES, len(candidates)), replace=False))
    return neighbours.recall(model.index, model.exact_index, features[some])
