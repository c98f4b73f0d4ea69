"""Fit of SPADE: the gallery, and leave-one-out scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from patchbank.errors import DataError, ShapeError
from patchbank.methods.base import Fit, Method, Tensors, TrainingImage, numbered_groups
from patchbank.methods.spade.continuing import NormalPhotograph, SpadeContinuation
from patchbank.methods.spade.gallery import Gallery, GalleryBuilder
from patchbank.methods.spade.model import SpadeModel
from patchbank.methods.spade.settings import PRESETS, SpadeParameters, SpadeSettings
from patchbank.methods.tensor_spec import TensorSpec
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Indices


class SpadeLearner:
    """Collects the features of good photographs: they are the model.

    All of it is computed on the CPU, wherever the features come from.
    """

    def __init__(
        self, settings: SpadeParameters, n_images: int, progress: Progress, device: Device
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._builder = GalleryBuilder(settings, n_images)

    def add(self, image: TrainingImage) -> None:
        """Add the features of the next image to the gallery.

        Raises:
            ShapeError: a feature is not finite.
            ParameterError: `pool_deepest_only` leaves no layer.
        """
        self._builder.append(image)

    def fit(self, groups: Indices | None = None) -> Fit:
        """Score each photograph without its group and all copies of it.

        Raises:
            DataError: no image was added.
        """
        builder = self._builder
        if not builder.n_photographs:
            raise DataError("expected the features of at least one photograph, got none")
        model = SpadeModel(self._settings, builder.gallery())
        numbers = numbered_groups(groups, builder.n_photographs)
        if numbers.max() == 0:
            return Fit(model, ())
        left_out = []
        with self._progress.task("calibrating", builder.n_photographs) as advance:
            for number, group in enumerate(numbers):
                without = np.flatnonzero(numbers == group)
                left_out.append(model.score_features(builder.photograph(number), exclude=without))
                advance(1)
        return Fit(model, tuple(left_out))


def restore(settings: SpadeParameters, tensors: Tensors, device: Device) -> SpadeModel:
    """Build the model that `tensors` came from; it scores on the CPU."""
    n_planes = tensors["counts"].shape[1]
    planes = tuple(tensors[f"plane{number}"] for number in range(n_planes))
    for number, n_pixels in enumerate(tensors["counts"].sum(axis=0, dtype="int64")):
        if n_pixels != len(planes[number]):
            raise ShapeError(
                f"counts: expected {len(planes[number])} pixels on plane {number}, got {n_pixels}"
            )
    gallery = Gallery(tensors["pooled"], tensors["photographs"], planes, tensors["counts"])
    return SpadeModel(settings, gallery)


def lengths(settings: SpadeParameters, channels: Sequence[int]) -> Mapping[str, int]:
    """Channels of the pooled feature and of each plane, and the number of planes."""
    n_layers = len(channels) // len(settings.scales)
    kept = [
        c
        for number, c in enumerate(channels)
        if not settings.pool_deepest_only or (number + 1) % n_layers
    ]
    planes = [sum(kept)] if settings.fusion == "concatenate" else kept
    return {
        "c": channels[n_layers - 1],
        "planes": len(planes),
        **{f"d{number}": c for number, c in enumerate(planes)},
    }


CONTENTS: Mapping[str, TensorSpec] = {
    "pooled": TensorSpec("float32", ("q", "c")),
    "photographs": TensorSpec("int32", ("q",), low=0, below="n"),
    "counts": TensorSpec("int32", ("q", "planes"), low=1),
    "planeI": TensorSpec("float32", ("pixelsI", "dI"), repeated="planes"),
}
METHOD = Method(
    "spade",
    SpadeSettings,
    SpadeParameters,
    PRESETS,
    SpadeLearner,
    restore,
    contents=CONTENTS,
    lengths=lengths,
    takes_interest=True,
    continued=SpadeContinuation,
    normal=NormalPhotograph,
)
