"""SimpleNet: fit on the features of good photographs, and the fitted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
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
    numbered_groups,
)
from patchbank.methods.embedding import embed_patches
from patchbank.methods.explaining import Comparison, at_patches
from patchbank.methods.patch_store import PatchStore
from patchbank.methods.simplenet.discriminator import Discriminator
from patchbank.methods.simplenet.settings import PRESETS, SimpleNetParameters, SimpleNetSettings
from patchbank.methods.tensor_spec import TensorSpec
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Indices

NO_PATCHES = (
    "SimpleNet keeps no good patches: its discriminator says how unlike them this one is, and not "
    "which of them is nearest"
)


class SimpleNetModel:
    """A fitted SimpleNet: the discriminator, and anomaly scores from its output."""

    def __init__(
        self, settings: SimpleNetParameters, discriminator: Discriminator, steps: int
    ) -> None:
        self.settings = settings
        self.discriminator = discriminator
        self.steps = steps
        """Optimiser steps of the training."""

    def score(self, maps: FeatureMaps, of_interest: NDArray[np.bool_] | None = None) -> PatchScores:
        """Score the patches of one image that are of interest."""
        embedding = PatchEmbedding(embed_patches(self.settings, maps))
        return self.score_embedding(embedding.within(of_interest, self.settings.patch_stride))

    def score_embedding(self, embedding: PatchEmbedding) -> PatchScores:
        """Score the patches of one image."""
        settings = self.settings
        output = to_numpy(self.discriminator(embedding.rows))
        grid = embedding.on_grid(anomaly_score(output, settings.margin))
        kind, fraction = settings.image_score, settings.top_fraction
        score = image_score.grid_score(grid, kind, fraction, embedding.mask)
        return PatchScores(grid, score, settings.patch_stride)

    def compare(
        self,
        maps: FeatureMaps,
        patches: Indices,
        n_nearest: int,
        of_interest: NDArray[np.bool_] | None = None,
    ) -> list[tuple[Comparison, ...]]:
        """Scores of some patches by the discriminator, which knows no good patches."""
        queries = at_patches(embed_patches(self.settings, maps), patches)
        scores = anomaly_score(to_numpy(self.discriminator(queries)), self.settings.margin)
        return [(Comparison("discriminator", s, remark=NO_PATCHES),) for s in scores.tolist()]

    def sources(self, n_photographs: int) -> Indices:
        """Zeros: no photograph can be named."""
        return np.zeros(n_photographs, dtype=np.intp)

    def tensors(self) -> Tensors:
        """Everything learned, by name."""
        return {
            "weight": self.discriminator.weight,
            "bias": self.discriminator.bias,
            "tail": self.discriminator.tail,
            "steps": np.array([self.steps]),
        }

    def summary(self) -> Mapping[str, Any]:
        """Dimensions, width of the discriminator, and optimiser steps."""
        hidden, d = self.discriminator.weight.shape
        return {"dimensions": d, "hidden_dims": hidden, "steps": self.steps}


def anomaly_score(output: NDArray[np.float32], margin: float) -> NDArray[np.float32]:
    """Convert the discriminator's output D, high for good patches, to anomaly scores >= 0.

    The score is log(1 + exp(-D / margin)), (n,) -> (n,): about -D / margin for anomalous patches,
    unbounded, and towards 0 for good ones.  It ranks as -D does, up to D = 87 margins, where
    float32 underflows.

    >>> anomaly_score(np.array([5.0, 0.5, -0.5, -5.0], np.float32), margin=0.5).round(2).tolist()
    [0.0, 0.3100000023841858, 1.309999942779541, 10.0]
    """
    scores: NDArray[np.float32] = np.logaddexp(np.float32(0), -output / np.float32(margin))
    return scores


class SimpleNetLearner:
    """Collects the patches of good photographs, then trains on them."""

    def __init__(
        self, settings: SimpleNetParameters, n_images: int, progress: Progress, device: Device
    ) -> None:
        """Prepare for `n_images`.

        Raises:
            ParameterError: torch is not installed.
        """
        if find_spec("torch") is None:
            raise ParameterError(
                "method: expected torch to fit simplenet, got none; pip install 'patchbank[torch]'"
            )
        self._settings = settings
        self._progress = progress
        self._device = device
        self._store = PatchStore(n_images, settings.patch_stride, progress.note)

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the next image, and store its patches."""
        embedding = PatchEmbedding(embed_patches(self._settings, image.maps))
        self._store.append(embedding.within(image.of_interest, self._settings.patch_stride), image)

    def fit(self, groups: Indices | None = None) -> Fit:
        """Train on all photographs, and once without each fold of them, to score that fold.

        A group of photographs lies in one fold.

        Raises:
            DataError: no image was added.
        """
        from patchbank.methods.simplenet.folds import fold_of_photographs, train

        store, settings = self._store, self._settings
        if not store.n_photographs:
            raise DataError("expected the features of at least one photograph, got none")
        folds = fold_of_photographs(numbered_groups(groups, store.n_photographs), settings.folds)
        trained = train(
            settings,
            store.features,
            folds[store.photograph_of_patches()],
            self._progress,
            self._device,
        )
        model = SimpleNetModel(settings, trained.whole, trained.steps)
        if not trained.without:
            return Fit(model, ())
        others = [SimpleNetModel(settings, one, trained.steps) for one in trained.without]
        left_out = [
            others[fold].score_embedding(store.embedding(photograph))
            for photograph, fold in enumerate(folds.tolist())
        ]
        return Fit(model, tuple(left_out))


def restore(settings: SimpleNetParameters, tensors: Tensors, device: Device) -> SimpleNetModel:
    """Build the model that `tensors` came from."""
    discriminator = Discriminator(tensors["weight"], tensors["bias"], tensors["tail"], device)
    return SimpleNetModel(settings, discriminator, int(tensors["steps"][0]))


def lengths(settings: SimpleNetParameters, channels: Sequence[int]) -> Mapping[str, int]:
    """Dimensions of a patch."""
    return {"d": sum(channels)}


CONTENTS: Mapping[str, TensorSpec] = {
    "weight": TensorSpec("float32", ("hidden", "d")),
    "bias": TensorSpec("float32", ("hidden",)),
    "tail": TensorSpec("float32", ("hidden",)),
    "steps": TensorSpec("int64", ("1",), low=0),
}
METHOD = Method(
    "simplenet",
    SimpleNetSettings,
    SimpleNetParameters,
    PRESETS,
    SimpleNetLearner,
    restore,
    contents=CONTENTS,
    lengths=lengths,
    takes_interest=True,
)
