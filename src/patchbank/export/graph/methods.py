"""Scores of the patches of photographs by the model of each method, as nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from patchbank.export.graph import embedding, gallery, scores
from patchbank.export.graph.builder import Tensor, counting, stacked
from patchbank.methods.graphcore.settings import GraphCoreParameters
from patchbank.methods.memory_bank import BankModel, MapBanks
from patchbank.methods.padim.model import PadimModel, channels_kept
from patchbank.methods.patchcore.method import parts_of
from patchbank.methods.patchcore.settings import PatchCoreParameters
from patchbank.methods.simplenet.discriminator import SLOPE
from patchbank.methods.simplenet.method import SimpleNetModel
from patchbank.methods.spade.model import SpadeModel


@dataclass(frozen=True, slots=True)
class PatchGrids:
    """Scores of n photographs by one member."""

    patch_scores: Tensor
    """(n, h, w) float32."""
    image_score: Tensor
    """(n,)."""
    stride: int = 1
    """Cells of the first layer's grid from one patch to the next."""


def grids_of(
    model: Any, maps: Sequence[Tensor], channels: Sequence[int], counted: Tensor | None
) -> PatchGrids:
    """Scores by a fitted model.

    Args:
        model: of one member.
        maps: feature maps, (n, c, h, w) of each layer and scale.
        channels: c of each.
        counted: (h, w) bool, the patches that count; None where all do.
    """
    if isinstance(model, MapBanks):
        return _of_map_banks(model, maps, counted)
    if isinstance(model, BankModel):
        return _of_bank(model, maps, channels, counted)
    if isinstance(model, PadimModel):
        return _of_gaussians(model, maps, counted)
    if isinstance(model, SimpleNetModel):
        return _of_discriminator(model, maps, counted)
    if isinstance(model, SpadeModel):
        return _of_gallery(model, maps, counted)
    raise TypeError(f"expected a model that can be exported, got {type(model).__name__}")


def chooses_by_features(model: Any) -> bool:
    """Whether features decide what a patch is compared with.

    The least rounding of the network makes other choices, and each changes the map by some percent.
    """
    settings: Any = model.settings
    if isinstance(settings, GraphCoreParameters):
        return _has_graph(settings)
    return isinstance(model, SpadeModel)


def _of_bank(
    model: BankModel, maps: Sequence[Tensor], channels: Sequence[int], counted: Tensor | None
) -> PatchGrids:
    settings = model.settings
    patches = _embedded(settings, maps, channels, counted)  # (n, h, w, d)
    rows = patches.reshaped(-1, patches.size(3))
    distances, _ = scores.nearest(rows, model.bank, settings.n_neighbours)
    grid = _counted(_on_grid(scores.patch_scores(distances, settings.metric), patches), counted)
    kind = settings.image_score
    if kind in ("reweighted", "hcw") and model.n_rows > 1:
        flat = patches.reshaped(patches.size(0), -1, patches.size(3))
        first = distances.sliced(1, 0, 1).reshaped(patches.size(0), -1)
        if counted is not None:
            first = counted.reshaped(1, -1).where(first, -1.0)
        worst = scores.worst_patch(flat, first)
        count = min(settings.n_reweight_neighbours, model.n_rows)
        of_worst = scores.reweighted if kind == "reweighted" else scores.hcw_reweighted
        return PatchGrids(grid, of_worst(worst, model.bank, count), settings.patch_stride)
    score = scores.grid_score(grid, kind, settings.top_fraction, counted)
    return PatchGrids(grid, score, settings.patch_stride)


def _of_map_banks(model: MapBanks, maps: Sequence[Tensor], counted: Tensor | None) -> PatchGrids:
    """Distances to each bank in units of its spread, averaged by the weights of the maps."""
    settings, banks = model.settings, model.banks
    used = [maps[each.part.number] for each in banks]
    planes = embedding.aligned(used, settings.patch_size, settings.patch_stride, settings.alignment)
    weights = np.array([each.part.weight for each in banks])
    shares = weights * len(weights) / weights.sum()
    found, grid = [], planes[0].transposed(0, 2, 3, 1)
    for each, plane, share in zip(banks, planes, shares.tolist(), strict=True):
        last = plane.transposed(0, 2, 3, 1)
        rows = last.reshaped(-1, each.model.n_features)
        distances, _ = scores.nearest(rows, each.model.bank, settings.n_neighbours)
        mean = scores.patch_scores(distances, "euclidean")
        found.append(mean * np.float32(share / each.spread))
    columns = stacked(found, 1)  # (n h w, b)
    whole = _counted(_on_grid(columns.reduced("ReduceMean", (1,)), grid), counted)
    score = scores.grid_score(whole, settings.image_score, settings.top_fraction, counted)
    mapped = [number for number, each in enumerate(banks) if each.part.is_mapped]
    factor = weights.sum() / (len(weights) * weights[mapped].sum())
    shown = stacked([found[number] for number in mapped], 1).sum(1) * np.float32(factor)
    return PatchGrids(_counted(_on_grid(shown, grid), counted), score, settings.patch_stride)


def _of_gaussians(model: PadimModel, maps: Sequence[Tensor], counted: Tensor | None) -> PatchGrids:
    """Mahalanobis distances to the Gaussian at the same place (`core.gaussians`)."""
    settings, gaussians = model.settings, model.gaussians
    builder = maps[0].builder
    whole = embedding.concatenated(
        maps, settings.patch_size, settings.patch_stride, settings.alignment
    )
    kept = channels_kept(settings, model.n_channels).astype(np.int64)
    patches = whole.gathered(builder.constant(kept), axis=3)  # (n, h, w, d)
    h, w = patches.size(1), patches.size(2)
    down, across = (
        (counting(n) * 2 + 1) * own / (n * 2) for n, own in zip((h, w), model.grid, strict=True)
    )
    position = (down.with_axis(1) * model.grid[1] + across.with_axis(0)).reshaped(-1)
    means, bases = (
        builder.weights(np.asarray(part, np.float32)).gathered(position)
        for part in (gaussians.means, gaussians.bases)
    )
    variances, rests = (
        builder.constant(np.asarray(part, np.float32)).gathered(position)
        for part in (gaussians.variances, gaussians.rests)
    )
    points = patches.reshaped(0, -1, len(kept)).transposed(1, 0, 2)  # (p, n, d)
    centred = points - means.with_axis(1)
    along = centred @ bases  # (p, n, r)
    squared = (along * along / variances.with_axis(1)).sum(2)
    if gaussians.bases.shape[2] < gaussians.bases.shape[1]:
        outside = centred - along @ bases.transposed(0, 2, 1)
        squared = squared + (outside * outside).sum(2) / rests.with_axis(1)
    grid = _counted(squared.apply("Sqrt").transposed(1, 0).reshaped(0, h, w), counted)
    score = scores.grid_score(grid, settings.image_score, settings.top_fraction, counted)
    return PatchGrids(grid, score, settings.patch_stride)


def _of_discriminator(
    model: SimpleNetModel, maps: Sequence[Tensor], counted: Tensor | None
) -> PatchGrids:
    settings, builder = model.settings, maps[0].builder
    patches = embedding.concatenated(
        maps, settings.patch_size, settings.patch_stride, settings.alignment
    )
    net = model.discriminator
    # Never in float16: a bias of the normalisation takes most of the product away again.
    hidden = patches @ builder.constant(np.ascontiguousarray(net.weight.T)) + net.bias
    output = hidden.apply("LeakyRelu", alpha=SLOPE) @ builder.constant(net.tail[:, None])
    exponent = output.without_axis(3) * np.float32(-1 / settings.margin)
    # log(1 + exp(x)), without an overflow
    every = exponent.maximum(0.0) + ((-exponent.apply("Abs")).apply("Exp") + 1).apply("Log")
    grid = _counted(every, counted)
    score = scores.grid_score(grid, settings.image_score, settings.top_fraction, counted)
    return PatchGrids(grid, score, settings.patch_stride)


def _of_gallery(model: SpadeModel, maps: Sequence[Tensor], counted: Tensor | None) -> PatchGrids:
    """Distances to the pixels of the most similar good photographs, layer by layer."""
    settings, known = model.settings, model.gallery
    n_layers = len(maps) // len(settings.scales)
    is_used = [not settings.pool_deepest_only or (n + 1) % n_layers for n in range(len(maps))]
    used = [layer for layer, is_kept in zip(maps, is_used, strict=True) if is_kept]
    distances, images = gallery.similar(
        gallery.pooled(maps[n_layers - 1], counted), known.pooled, settings.n_images
    )
    if settings.fusion == "concatenate":
        planes = [embedding.concatenated(used, 1, 1, "bilinear")]
    else:
        planes = [layer.transposed(0, 2, 3, 1) for layer in used]
    n_images = min(settings.n_images, len(known.pooled))
    grids = [
        gallery.pixel_distances(plane, images, rows, counts, settings.n_neighbours, n_images)
        for plane, rows, counts in zip(planes, known.planes, known.counts.T, strict=True)
    ]
    grid = gallery.fused(grids, counted)
    if settings.image_score == "pooled":
        return PatchGrids(grid, distances.reduced("ReduceMean", (1,)))
    score = scores.grid_score(grid, settings.image_score, settings.top_fraction, counted)
    return PatchGrids(grid, score)


def _embedded(
    settings: Any, maps: Sequence[Tensor], channels: Sequence[int], counted: Tensor | None
) -> Tensor:
    """The patches of a method with one bank.  -> (n, h, w, d)."""
    used = list(maps)
    if isinstance(settings, PatchCoreParameters):
        if settings.banks == "per_map":
            numbers = [part.number for part in parts_of(settings, len(maps))]
            used, channels = [maps[n] for n in numbers], [channels[n] for n in numbers]
        if settings.target_dims is not None:
            return embedding.adaptively_pooled(
                used,
                settings.patch_size,
                settings.patch_stride,
                settings.alignment,
                channels=channels,
                layer_dims=settings.layer_dims or settings.target_dims,
                target_dims=settings.target_dims,
            )
    plain = embedding.concatenated(
        used, settings.patch_size, settings.patch_stride, settings.alignment
    )
    if isinstance(settings, GraphCoreParameters) and _has_graph(settings):
        return embedding.with_graph(
            plain, settings.graph_neighbours, settings.graph_weight, counted
        )
    return plain


def _has_graph(settings: GraphCoreParameters) -> bool:
    """Whether patches have features of their neighbours."""
    return bool(settings.graph_neighbours and settings.graph_weight)


def _on_grid(values: Tensor, patches: Tensor) -> Tensor:
    """(n h w,) -> (n, h, w)."""
    return values.reshaped(*(patches.size(axis) for axis in range(3)))


def _counted(grid: Tensor, counted: Tensor | None) -> Tensor:
    """The grid of scores, 0 where a patch does not count."""
    return grid if counted is None else counted.where(grid, 0.0)
