"""PatchCore (Roth et al., CVPR 2022): distance to a bank of the patch features of good parts.

`docs/methods/patchcore.md` maps equations to functions and says where implementations differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from patchbank.core import coreset, neighbours, patches, scoring
from patchbank.core.coreset import Coreset
from patchbank.core.neighbours import IndexKind
from patchbank.core.scoring import ImageScore, Metric
from patchbank.errors import DataError, ParameterError, ShapeError
from patchbank.methods.base import FeatureMaps, Fit, Method, Progress, Scored, Tensors
from patchbank.methods.settings import (
    Settings,
    require_choice,
    require_number,
    require_share,
    require_whole,
)
from patchbank.types import Features, Indices

RECALL_QUERIES = 2048  # patches on which the recall of an approximate index is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCoreSettings(Settings):
    """All knobs of PatchCore; the defaults are the preset ``balanced``."""

    patch_size: int = 3
    """Side of the neighbourhood that a patch sees, odd: 1, 3, 5, ..."""
    patch_stride: int = 2
    """Steps of the feature grid between patches."""
    target_dims: int | None = None
    """Pool patches to so many numbers, as the official code does; None concatenates the layers."""
    layer_dims: int | None = None
    """Numbers a layer before that pooling; None for `target_dims`."""
    selection: Literal["greedy", "random", "all"] = "greedy"
    """Which patches the bank keeps."""
    bank_limit: int = 7000
    """The most rows, where no size is asked for by one of the next three."""
    coreset: float | None = None
    """Share of the patches that the bank keeps, in (0, 1]."""
    bank_rows: int | None = None
    """Rows that the bank keeps."""
    covering_radius: float | None = None
    """Keep rows until every patch lies within this distance of one; greedy only."""
    projection_dims: int | None = None
    """Select on a random projection to so many dimensions; None selects on the features."""
    start: Literal["mean", "random"] = "mean"
    """First pick of the greedy selection: the row nearest the mean, or drawn by `seed`."""
    n_neighbours: int = 1
    """Bank rows whose distances are averaged for a patch."""
    metric: Metric = "euclidean"
    """Distances of patches: ``euclidean``, or ``squared`` as in the official code."""
    index: IndexKind = "exact"
    """How neighbours are found; ``hnsw`` and ``ivf`` are approximate."""
    image_score: ImageScore = "top_share"
    """``max``, ``reweighted`` (equation 7), ``smooth_max`` (3 x 3 mean), or ``top_share``."""
    top_share: float = 0.01
    """Share of an image's patches, the worst ones, whose mean is its score."""
    support: int = 9
    """Neighbours of the nearest row that re-weighting looks at: b of equation 7."""

    def __post_init__(self) -> None:
        # slots make a new class, which the argument-free super() would not find
        super(PatchCoreSettings, self).__post_init__()
        require_whole("patch_size", self.patch_size, 1)
        if self.patch_size % 2 == 0:
            raise ParameterError(f"patch_size: expected an odd number, got {self.patch_size}")
        for name in ("patch_stride", "bank_limit", "n_neighbours"):
            require_whole(name, getattr(self, name), 1)
        require_whole("support", self.support, 2)
        for name in ("target_dims", "layer_dims", "bank_rows", "projection_dims"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), 1)
        require_choice("selection", self.selection, ("greedy", "random", "all"))
        require_choice("start", self.start, ("mean", "random"))
        require_choice("metric", self.metric, ("euclidean", "squared"))
        require_choice("index", self.index, ("exact", "hnsw", "ivf"))
        require_choice(
            "image_score", self.image_score, ("max", "reweighted", "smooth_max", "top_share")
        )
        require_share("top_share", self.top_share)
        if self.layer_dims is not None and self.target_dims is None:
            raise ParameterError("layer_dims: expected target_dims beside it, got none")
        self._check_bank_size()

    def _check_bank_size(self) -> None:
        asked = ("coreset", "bank_rows", "covering_radius")
        given = [name for name in asked if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(f"expected one size of the bank, got {' and '.join(given)}")
        if given and self.selection == "all":
            raise ParameterError(
                f"selection: expected 'greedy' or 'random' with {given[0]}, got 'all'"
            )
        if self.coreset is not None:
            require_share("coreset", self.coreset)
        for name in ("projection_dims", "start"):
            default = PatchCoreSettings.__dataclass_fields__[name].default
            if self.selection != "greedy" and getattr(self, name) != default:
                raise ParameterError(
                    f"{name}: expected with selection 'greedy', got {self.selection!r}"
                )
        if self.covering_radius is not None:
            require_number("covering_radius", self.covering_radius)
            if not 0 <= self.covering_radius < float("inf"):
                raise ParameterError(
                    f"covering_radius: expected 0 or more, got {self.covering_radius}"
                )
            if self.selection != "greedy":
                raise ParameterError(
                    f"covering_radius: expected with selection 'greedy', got {self.selection!r}"
                )

    def rows_to_keep(self, n: int) -> int:
        """The most rows that the bank gets of `n` patches.

        Raises:
            ParameterError: more rows are asked for than there are patches.
        """
        if self.selection == "all" or self.covering_radius is not None:
            return n
        if self.coreset is not None:
            return max(1, int(n * self.coreset))
        if self.bank_rows is None:
            return min(n, self.bank_limit)
        if self.bank_rows > n:
            raise ParameterError(
                f"bank_rows: expected at most {n} (the patches), got {self.bank_rows}"
            )
        return self.bank_rows


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"backbone": "efficientnet_lite0", "image_size": 320, "bank_limit": 4000},
    "balanced": {},
    "accurate": {"image_size": 576, "bank_limit": 20_000, "top_share": 0.02},
}
"""Changes to the default settings; chosen from benchmarks/quality/presets.md."""


class PatchCoreModel:
    """A bank of patch features and where each row came from."""

    def __init__(
        self,
        settings: PatchCoreSettings,
        bank: Features,
        origins: NDArray[np.int32],
        radii: NDArray[np.float32],
        recall: float = 1.0,
    ) -> None:
        self.settings = settings
        self.bank = bank
        """(m, d), in picking order: the first rows are the coreset of that size."""
        self.origins = origins
        """(m, 3): number of the image, row and column in its patch grid."""
        self.radii = radii
        """(m,) covering radius of the first 1, 2, ... rows; empty unless selected greedily."""
        self.recall = recall
        """Share of patches of the good images whose nearest row the index finds."""
        self.index = neighbours.build_index(bank, settings.index)
        self._exact_index: neighbours.ExactIndex | None = None
        if isinstance(self.index, neighbours.ExactIndex):
            self._exact_index = self.index

    def score(self, maps: FeatureMaps) -> Scored:
        """Score the feature maps of one image."""
        embedding = embed(self.settings, maps)  # (h, w, d)
        queries = embedding.reshape(-1, embedding.shape[2])
        distances, _ = self.index.nearest(queries, self.settings.n_neighbours)
        return self._scored(embedding, distances)

    def score_left_out(
        self,
        embedding: NDArray[np.float32],
        image: int,
        nearest: NDArray[np.float32] | None = None,
    ) -> Scored:
        """Score image number `image` of the fit against the rows of the others.

        Args:
            embedding: (h, w, d) of that image.
            image: its number.
            nearest: (h * w,) distances to the nearest row of the others, where they are known.
        """
        own = self.origins[:, 0] == image
        k, others = self.settings.n_neighbours, int((~own).sum())
        if others == 0:
            raise DataError(
                "expected a bank with rows of at least two images, to tell what unseen good images "
                f"score; all {len(own)} rows come from one: use a larger bank"
            )
        if k > others:
            raise ParameterError(
                f"n_neighbours: expected at most {others} (the rows of the bank that come from "
                f"other images than number {image}), got {k}; use a larger bank"
            )
        if nearest is not None:
            return self._scored(embedding, nearest[:, None], own)
        queries = embedding.reshape(-1, embedding.shape[2])
        distances, _ = self._exact().nearest(queries, k, without=own)
        return self._scored(embedding, distances, own)

    def tensors(self) -> Tensors:
        """Everything learned, by name."""
        return {
            "bank": self.bank,
            "bank_origins": self.origins,
            "bank_radii": self.radii,
            "index_recall": np.array([self.recall]),
        }

    def facts(self) -> Mapping[str, Any]:
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
        embedding: NDArray[np.float32],
        distances: NDArray[np.float32],
        without: NDArray[np.bool_] | None = None,
    ) -> Scored:
        """Score from the distances (n, k) to the nearest rows, some of them left out."""
        values = scoring.patch_scores(distances, self.settings.metric)
        grid = values.reshape(embedding.shape[:2])  # (h, w)
        score = self._image_score(grid, embedding, distances, without)
        return Scored(grid, score, self.settings.patch_stride)

    def _image_score(
        self,
        grid: NDArray[np.float32],
        embedding: NDArray[np.float32],
        distances: NDArray[np.float32],
        without: NDArray[np.bool_] | None,
    ) -> float:
        if self.settings.image_score == "smooth_max":
            return scoring.smooth_largest(grid)
        if self.settings.image_score == "top_share":
            return scoring.top_share_mean(grid, self.settings.top_share)
        rows = len(self.bank) if without is None else int((~without).sum())
        if self.settings.image_score == "max" or rows == 1:
            return scoring.largest(grid)
        exact = self._exact()
        worst = int(distances[:, 0].argmax())
        query = embedding.reshape(-1, embedding.shape[2])[worst]
        nearest, row = exact.nearest(query[None], without=without)
        support = min(self.settings.support, rows)
        _, around = exact.nearest(self.bank[row[0]], support, without=without)
        to_support = np.linalg.norm(self.bank[around[0]] - query, axis=1)  # (b,)
        return scoring.reweighted(float(nearest[0, 0]), to_support)

    def _exact(self) -> neighbours.ExactIndex:
        """The exact index, built when it is first needed where another one serves `score`."""
        if self._exact_index is None:
            self._exact_index = neighbours.ExactIndex(self.bank)
        return self._exact_index


def embed(settings: PatchCoreSettings, maps: FeatureMaps) -> NDArray[np.float32]:
    """Embed the patches of one image as the settings say.  [(c, h, w), ...] -> (h, w, d).

    Raises:
        ShapeError: a feature is not finite: what cannot be measured must not pass for normal.
    """
    if settings.target_dims is None:
        embedding = patches.concatenated(maps, settings.patch_size, settings.patch_stride)
    else:
        embedding = patches.adaptively_pooled(
            maps,
            settings.patch_size,
            settings.patch_stride,
            layer_dims=settings.layer_dims or settings.target_dims,
            target_dims=settings.target_dims,
        )
    if not np.isfinite(embedding).all():
        raise ShapeError("features: expected finite numbers, got NaN or infinity")
    return embedding


def fit(
    settings: PatchCoreSettings, features: Iterable[FeatureMaps], n_images: int, progress: Progress
) -> Fit:
    """Fill the bank from the features of good images, and score each image when left out."""
    store = _PatchStore(n_images)
    for maps in features:
        store.append(embed(settings, maps))
    if not len(store.features):
        raise DataError("expected the features of at least two images, got none")
    picked = _select(settings, store, progress)
    bank, origins = store.features[picked.rows], store.origins(picked.rows)
    model = PatchCoreModel(settings, bank, origins, picked.radii)
    if settings.index != "exact":
        model.recall = _measured_recall(settings, model, store.features, picked.rows)
    left_out = []
    with progress.task("calibrating", n_images) as advance:
        for image in range(n_images):
            nearest = picked.to_others[store.patches_of(image)] if len(picked.to_others) else None
            left_out.append(model.score_left_out(store.embedding(image), image, nearest))
            advance(1)
    return Fit(model, tuple(left_out))


def restore(settings: PatchCoreSettings, tensors: Tensors) -> PatchCoreModel:
    """Build the model that `tensors` came from."""
    return PatchCoreModel(
        settings,
        tensors["bank"],
        tensors["bank_origins"],
        tensors["bank_radii"],
        float(tensors["index_recall"][0]),
    )


METHOD = Method("patchcore", PatchCoreSettings, PRESETS, fit, restore)


def _select(settings: PatchCoreSettings, store: _PatchStore, progress: Progress) -> Coreset:
    """Choose the rows of the bank."""
    features = store.features
    n = len(features)
    n_keep = settings.rows_to_keep(n)
    rng = np.random.default_rng(settings.seed)
    unknown = np.empty(0, dtype=np.float32)
    if settings.selection == "all":
        return Coreset(np.arange(n), unknown, unknown)
    if settings.selection == "random":
        return Coreset(coreset.random_coreset(n, n_keep, rng=rng), unknown, unknown)
    start = int(rng.integers(n)) if settings.start == "random" else None
    projected = settings.projection_dims is not None
    space = (
        coreset.project(features, settings.projection_dims or 0, rng=rng) if projected else features
    )
    # The nearest row of another image falls out of the selection; more neighbours do not.
    groups = None if projected or settings.n_neighbours > 1 else store.image_of_patches()
    total = None if settings.covering_radius is not None else n_keep
    with progress.task("selecting the bank", total) as advance:
        picked = coreset.greedy_coreset(
            space,
            n_keep,
            start=start,
            radius=settings.covering_radius,
            groups=groups,
            on_progress=advance,
        )
    if projected:  # radii of a projection are not distances of the features
        return Coreset(picked.rows, unknown, unknown)
    return picked


def _measured_recall(
    settings: PatchCoreSettings, model: PatchCoreModel, features: Features, bank_rows: Indices
) -> float:
    """Recall of the model's index on patches that are not in the bank themselves, if there are."""
    rng = np.random.default_rng(settings.seed)
    others = np.setdiff1d(np.arange(len(features)), bank_rows)
    candidates = others if len(others) else bank_rows
    some = np.sort(rng.choice(candidates, min(RECALL_QUERIES, len(candidates)), replace=False))
    return neighbours.recall(model.index, neighbours.ExactIndex(model.bank), features[some])


class _PatchStore:
    """All patches of the fit in one array, and where each came from."""

    def __init__(self, n_images: int) -> None:
        self._n_images = n_images
        self._buffer = np.empty((0, 0), dtype=np.float32)
        self._grids: list[tuple[int, int]] = []
        self._ends = [0]

    @property
    def features(self) -> Features:
        """(n, d): a view."""
        return self._buffer[: self._ends[-1]]

    def append(self, embedding: NDArray[np.float32]) -> None:
        """Add the patches of the next image, (h, w, d)."""
        h, w, d = embedding.shape
        begin, end = self._ends[-1], self._ends[-1] + h * w
        if end > len(self._buffer):
            # Memory that is not written to costs nothing, so ask for all images at once.
            remaining = max(self._n_images - len(self._grids), 1)
            larger = np.empty((begin + int(h * w * remaining * 1.2), d), dtype=np.float32)
            if begin:
                larger[:begin] = self._buffer[:begin]
            self._buffer = larger
        self._buffer[begin:end] = embedding.reshape(h * w, d)
        self._grids.append((h, w))
        self._ends.append(end)

    def embedding(self, image: int) -> NDArray[np.float32]:
        """(h, w, d) of one image: a view."""
        h, w = self._grids[image]
        return self._buffer[self.patches_of(image)].reshape(h, w, -1)

    def patches_of(self, image: int) -> slice:
        """The rows of `features` that belong to one image."""
        return slice(self._ends[image], self._ends[image + 1])

    def image_of_patches(self) -> Indices:
        """(n,) number of the image that each patch comes from."""
        return np.repeat(np.arange(len(self._grids)), np.diff(self._ends))

    def origins(self, rows: Indices) -> NDArray[np.int32]:
        """(m, 3): image number, grid row and grid column of given patches."""
        images = np.searchsorted(self._ends, rows, side="right") - 1
        inside = rows - np.array(self._ends)[images]
        widths = np.array([w for _, w in self._grids])[images]
        return np.stack([images, inside // widths, inside % widths], axis=1).astype(np.int32)
