"""Fit of SPADE: the gallery, and leave-one-out scores."""

from __future__ import annotations

from collections.abc import Iterable

from patchbank.errors import DataError
from patchbank.methods.base import Fit, Method, Tensors, TrainingImage
from patchbank.methods.spade.gallery import Gallery, GalleryBuilder
from patchbank.methods.spade.model import SpadeModel
from patchbank.methods.spade.settings import PRESETS, SpadeParameters, SpadeSettings
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress


def fit(
    settings: SpadeParameters,
    examples: Iterable[TrainingImage],
    n_examples: int,
    progress: Progress,
    device: Device,
) -> Fit:
    """Keep the features of the photographs, and score each with it and its copies left out.

    Everything is computed on the CPU, whatever device the features are on.

    Raises:
        DataError: there is no training image.
        ShapeError: a feature is not finite.
        ParameterError: `pool_deepest_only` leaves no layer.
    """
    builder = GalleryBuilder(settings, n_examples)
    for example in examples:
        builder.append(example)
    if not builder.n_photographs:
        raise DataError("expected the features of at least one photograph, got none")
    model = SpadeModel(settings, builder.gallery())
    if builder.n_photographs == 1:
        return Fit(model, ())
    left_out = []
    with progress.task("calibrating", builder.n_photographs) as advance:
        for number in range(builder.n_photographs):
            left_out.append(model.score_features(builder.photograph(number), exclude=number))
            advance(1)
    return Fit(model, tuple(left_out))


def restore(settings: SpadeParameters, tensors: Tensors, device: Device) -> SpadeModel:
    """Build the model that `tensors` came from; it scores on the CPU."""
    n_planes = tensors["counts"].shape[1]
    planes = tuple(tensors[f"plane{number}"] for number in range(n_planes))
    gallery = Gallery(tensors["pooled"], tensors["photographs"], planes, tensors["counts"])
    return SpadeModel(settings, gallery)


METHOD = Method("spade", SpadeSettings, SpadeParameters, PRESETS, fit, restore)
