"""SPADE learns further photographs: they join the gallery, as in a fit on all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import DataError
from patchbank.methods.base import Fit, NormalTrial, TrainingImage, numbered_groups
from patchbank.methods.continuation import Continuation
from patchbank.methods.spade.gallery import Gallery, GalleryBuilder, ImageFeatures, kept_cells
from patchbank.methods.spade.model import SpadeModel
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Features, Indices


class SpadeContinuation:
    """Collects the features of further good photographs, then adds them to the gallery."""

    def __init__(
        self, model: SpadeModel, asked: Continuation, progress: Progress, device: Device
    ) -> None:
        self._model = model
        self._asked = asked
        self._progress = progress
        self._builder = GalleryBuilder(model.settings, asked.n_images)

    def add(self, image: TrainingImage) -> None:
        """Add the features of the next image."""
        self._builder.append(image)

    def fit(self, groups: Indices | None = None) -> Fit:
        """Score each new photograph without its group and all copies of it.

        Raises:
            DataError: no image was added.
        """
        builder, first = self._builder, self._asked.n_learned
        if not builder.n_photographs:
            raise DataError("expected the features of at least one photograph, got none")
        numbers = numbered_groups(groups, builder.n_photographs)
        more = builder.gallery()
        model = with_more(
            self._model, more.pooled, more.photographs + first, more.planes, more.counts
        )
        left_out, before = [], []
        with self._progress.task("calibrating", builder.n_photographs) as advance:
            for number, group in enumerate(numbers):
                features = builder.photograph(number)
                without = first + np.flatnonzero(numbers == group)
                left_out.append(model.score_features(features, exclude=without))
                before.append(self._model.score_features(features))
                advance(1)
        return Fit(model, tuple(left_out), before=tuple(before))


class NormalPhotograph:
    """One photograph said to be normal, which joins the gallery: all of it, or a region of it."""

    def __init__(self, model: SpadeModel, asked: Continuation, device: Device) -> None:
        self._model = model
        self._asked = asked
        self._features: ImageFeatures | None = None

    def add(self, image: TrainingImage) -> None:
        """Take the features of the photograph."""
        self._features = ImageFeatures.of(
            self._model.settings, image.maps, of_interest=image.of_interest
        )

    def learned(self, effort: int) -> NormalTrial | None:
        """The model with the photograph in its gallery; more effort adds nothing."""
        features = self._features
        if features is None or effort > 1:
            return None
        if effort == 0:
            return NormalTrial(self._model, self._model.score_features(features))
        kept = [self._kept(plane, features.of_interest) for plane in features.planes]
        model = with_more(
            self._model,
            features.pooled[None],
            np.array([self._asked.n_learned], dtype=np.int32),
            kept,
            np.array([[len(rows) for rows in kept]], dtype=np.int32),
        )
        return NormalTrial(model, model.score_features(features))

    def _kept(self, plane: NDArray[np.float32], of_interest: NDArray[np.bool_] | None) -> Features:
        """The pixels that are said to be normal.  (h, w, d) -> (m, d)."""
        grid = plane.shape[0], plane.shape[1]
        masks = (of_interest, self._asked.cells)
        kept = [kept_cells(grid, None, mask) for mask in masks if mask is not None]
        known = [one for one in kept if one is not None]
        flat = plane.reshape(grid[0] * grid[1], -1)
        return plane[np.logical_and.reduce(known)] if known else flat


def with_more(
    model: SpadeModel,
    pooled: Features,
    photographs: NDArray[np.int32],
    planes: Sequence[Features],
    counts: NDArray[np.int32],
) -> SpadeModel:
    """The model with further images at the end of its gallery; arguments are as of `Gallery`."""
    old = model.gallery
    joined = Gallery(
        np.concatenate([old.pooled, pooled]),
        np.concatenate([old.photographs, photographs]).astype(np.int32),
        tuple(np.concatenate(pair) for pair in zip(old.planes, planes, strict=True)),
        np.concatenate([old.counts, counts]),
    )
    return SpadeModel(model.settings, joined)
