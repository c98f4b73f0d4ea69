"""A method with one mean: the anomaly score of a patch is its distance to the mean good patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.errors import DataError, ParameterError, ShapeError
from patchbank.methods import Fit, Method, PatchScores, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySettings(Settings):
    """Those of every method, and the smallest standard deviation of a channel."""

    floor: float = 0.01

    def __post_init__(self):
        super(ToySettings, self).__post_init__()
        if not self.floor > 0:
            raise ParameterError(f"floor: expected more than 0, got {self.floor}")


@dataclass(frozen=True)
class NearestMean:
    """Mean and standard deviation of each channel of good patches, both (d,) float64."""

    mean: np.ndarray
    std: np.ndarray

    def score(self, maps):
        patches = embed(maps)
        if patches.shape[2] != len(self.mean):
            raise ShapeError(f"maps: expected {len(self.mean)} channels, got {patches.shape[2]}")
        squares = (((patches - self.mean) / self.std) ** 2).mean(axis=2)
        return PatchScores(np.sqrt(squares).astype(np.float32), float(squares.mean()))

    def tensors(self):
        return {"mean": self.mean, "std": self.std}

    def summary(self):
        return {"channels": len(self.mean)}


def fit(settings, images, n_images, progress, device):
    """Sums of each photograph and its copies, so that one photograph can be left out."""
    maps, sums = [], {}
    for image in images:
        patches = embed(image.maps)
        inside = patches.reshape(-1, patches.shape[2])[image.cells_inside(patches.shape[:2])]
        moments = np.array(
            [np.full_like(inside[0], len(inside)), inside.sum(0), (inside**2).sum(0)]
        )
        sums[image.photograph] = sums.get(image.photograph, 0) + moments
        if not image.is_copy:
            maps.append(image.maps)
    if not maps:
        raise DataError("images: expected at least one good photograph, got none")
    total = sum(sums.values())
    left_out = ()
    if len(maps) > 1:
        models = (model_of(total - sums[number], settings) for number in range(len(maps)))
        left_out = tuple(model.score(image) for model, image in zip(models, maps, strict=True))
    return Fit(model_of(total, settings), left_out)


def model_of(moments, settings):
    count, total, squares = moments
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0)
    return NearestMean(mean, np.maximum(np.sqrt(variance), settings.floor))


def embed(maps):
    """Maps of all layers -> (h, w, d) float64 on the grid of the first one."""
    h, w = maps[0].shape[1:]
    aligned = [
        m[:, np.arange(h) * m.shape[1] // h][:, :, np.arange(w) * m.shape[2] // w] for m in maps
    ]
    patches = np.concatenate(aligned).transpose(1, 2, 0).astype(np.float64)
    if not np.isfinite(patches).all():
        raise ShapeError("maps: expected finite features, got others")
    return patches


METHOD = Method(
    name="toy",
    settings=ToySettings,
    presets=("balanced",),
    changed_preset=lambda name, changes: dict(changes),
    fit=fit,
    restore=lambda settings, tensors, device: NearestMean(tensors["mean"], tensors["std"]),
)
