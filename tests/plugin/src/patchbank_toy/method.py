"""A method with one mean: the anomaly score of a patch is its distance to the mean good patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.errors import DataError, ShapeError
from patchbank.methods import Fit, Method, PatchScores, numbered_groups
from patchbank.settings import Group, Settings, setting
from patchbank.settings.rules import Number


@dataclass(frozen=True, kw_only=True)
class ToyParameters(Group):
    """The part of the settings that the learner and `restore` receive."""

    floor: float = setting(
        0.01,
        "Smallest standard deviation of a channel.",
        rule=Number(0, open_low=True),
        group="Toy",
    )
    # A setting of a package may be called as one of Patchbank's was in earlier versions.
    support: float = setting(
        0.0,
        "Standard deviations from the mean within which a channel scores 0.",
        rule=Number(0),
        group="Toy",
    )


@dataclass(frozen=True, kw_only=True)
class ToySettings(ToyParameters, Settings):
    """All settings of the method."""


@dataclass(frozen=True)
class NearestMean:
    """Mean and standard deviation of each channel of good patches, both (d,) float64."""

    mean: np.ndarray
    std: np.ndarray
    support: float

    def score(self, maps):
        patches = embed(maps)
        if patches.shape[2] != len(self.mean):
            raise ShapeError(f"maps: expected {len(self.mean)} channels, got {patches.shape[2]}")
        deviations = np.abs(patches - self.mean) / self.std
        squares = (np.maximum(deviations - self.support, 0) ** 2).mean(axis=2)
        return PatchScores(np.sqrt(squares).astype(np.float32), float(squares.mean()))

    def tensors(self):
        return {"mean": self.mean, "std": self.std}

    def summary(self):
        return {"channels": len(self.mean), "distance": "euclidean", "is_diagonal": True}


class ToyLearner:
    """Sums of each photograph and its copies, so that any of them can be left out."""

    def __init__(self, parameters, n_images, progress, device):
        self.parameters = parameters
        self.maps = []
        self.sums = {}

    def add(self, image):
        patches = embed(image.maps)
        inside = patches.reshape(-1, patches.shape[2])[image.cells_inside(patches.shape[:2])]
        moments = np.array(
            [np.full_like(inside[0], len(inside)), inside.sum(0), (inside**2).sum(0)]
        )
        self.sums[image.photograph] = self.sums.get(image.photograph, 0) + moments
        if not image.is_copy:
            self.maps.append(image.maps)

    def fit(self, groups=None):
        if not self.maps:
            raise DataError("images: expected at least one good photograph, got none")
        groups = numbered_groups(groups, len(self.maps))
        total = sum(self.sums.values())
        left_out = ()
        if groups.max() > 0:  # there is another group to learn from
            without = [total - self.sum_of(groups == group) for group in range(groups.max() + 1)]
            models = [model_of(without[group], self.parameters) for group in groups]
            left_out = tuple(
                model.score(image) for model, image in zip(models, self.maps, strict=True)
            )
        return Fit(model_of(total, self.parameters), left_out)

    def sum_of(self, is_chosen):
        return sum(self.sums[number] for number in np.flatnonzero(is_chosen))


def model_of(moments, parameters):
    count, total, squares = moments
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0)
    std = np.maximum(np.sqrt(variance), parameters.floor)
    return NearestMean(mean, std, parameters.support)


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


def restore(parameters, tensors, device):
    return NearestMean(tensors["mean"], tensors["std"], parameters.support)


METHOD = Method("toy", ToySettings, ToyParameters, {}, ToyLearner, restore)
