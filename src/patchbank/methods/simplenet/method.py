"""SimpleNet: trained on the features of good photographs, it scores those of others."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.core.scores import image_score
from patchbank.core.spatial import patch_embedding
from patchbank.errors import DataError, ParameterError
from patchbank.methods.base import FeatureMaps, Fit, Method, PatchScores, Tensors, TrainingImage
from patchbank.methods.patch_store import PatchStore
from patchbank.methods.simplenet.discriminator import Discriminator
from patchbank.methods.simplenet.settings import PRESETS, SimpleNetSettings, changed_preset
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Array


class SimpleNetModel:
    """A discriminator, and how its scores are told."""

    def __init__(
        self, settings: SimpleNetSettings, discriminator: Discriminator, steps: int
    ) -> None:
        self.settings = settings
        self.discriminator = discriminator
        self.steps = steps
        """Of the optimisers, that it was trained with."""

    def score(self, maps: FeatureMaps) -> PatchScores:
        """Score the feature maps of one image."""
        return self.score_embedding(embed(self.settings, maps))

    def score_embedding(self, embedding: Array) -> PatchScores:
        """Score the patches of one image, (h, w, d)."""
        h, w, d = embedding.shape
        said = to_numpy(self.discriminator(embedding.reshape(h * w, d)))
        grid = anomaly_score(said, self.settings.margin).reshape(h, w)
        score = image_score.grid_score(grid, self.settings.image_score, self.settings.top_fraction)
        return PatchScores(grid, score, self.settings.patch_stride)

    def tensors(self) -> Tensors:
        """Everything learned, by name."""
        return {
            "weight": self.discriminator.weight,
            "bias": self.discriminator.bias,
            "tail": self.discriminator.tail,
            "steps": np.array([self.steps]),
        }

    def summary(self) -> Mapping[str, Any]:
        """Dimensions, width of the discriminator, and steps of its training."""
        hidden, d = self.discriminator.weight.shape
        return {"dimensions": d, "hidden_dims": hidden, "steps": self.steps}


def anomaly_score(said: NDArray[np.float32], margin: float) -> NDArray[np.float32]:
    """From D, high for good patches, to scores from 0 up, high for odd ones.  (n,) -> (n,).

    log(1 + exp(-D / margin)): where D says odd it is nearly -D / margin, without end; where D says
    good it falls towards 0.  So ranks are those of -D (up to D = 87 margins, where float32 ends).

    >>> anomaly_score(np.array([5.0, 0.5, -0.5, -5.0], np.float32), margin=0.5).round(2).tolist()
    [0.0, 0.3100000023841858, 1.309999942779541, 10.0]
    """
    scores: NDArray[np.float32] = np.logaddexp(np.float32(0), -said / np.float32(margin))
    return scores


def embed(settings: SimpleNetSettings, maps: FeatureMaps) -> Array:
    """Embed the patches of one image as the settings say.  [(c, h, w), ...] -> (h, w, d).

    Raises:
        ShapeError: a feature is not finite.
    """
    return patch_embedding.require_finite(
        patch_embedding.concatenated(
            maps, settings.patch_size, settings.patch_stride, alignment=settings.alignment
        )
    )


class SimpleNetLearner:
    """Collects the patches of good photographs, then trains on them."""

    def __init__(
        self, settings: SimpleNetSettings, n_images: int, progress: Progress, device: Device
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
        self._store.append(embed(self._settings, image.maps), image)

    def fit(self) -> Fit:
        """Train on all photographs, and once without each fold of them, to score that fold.

        Raises:
            DataError: no image was added.
        """
        from patchbank.methods.simplenet.folds import fold_of_photographs, train

        store, settings = self._store, self._settings
        if not store.n_photographs:
            raise DataError("expected the features of at least one photograph, got none")
        folds = fold_of_photographs(store.n_photographs, settings.folds)
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
        others = [SimpleNetModel(settings, each, trained.steps) for each in trained.without]
        left_out = [
            others[fold].score_embedding(store.embedding(photograph).features)
            for photograph, fold in enumerate(folds.tolist())
        ]
        return Fit(model, tuple(left_out))


def restore(settings: SimpleNetSettings, tensors: Tensors, device: Device) -> SimpleNetModel:
    """Build the model that `tensors` came from."""
    discriminator = Discriminator(tensors["weight"], tensors["bias"], tensors["tail"], device)
    return SimpleNetModel(settings, discriminator, int(tensors["steps"][0]))


METHOD = Method(
    "simplenet", SimpleNetSettings, tuple(PRESETS), changed_preset, SimpleNetLearner, restore
)
