"""PaDiM learns further photographs: the sums behind its Gaussians grow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import blocks, to_numpy
from patchbank.core.gaussians import Gaussians, Scatters, with_more_samples
from patchbank.core.spatial.grid_cells import nearest_cells
from patchbank.errors import ParameterError, ShapeError
from patchbank.methods.base import Fit, NormalTrial, PatchScores, TrainingImage
from patchbank.methods.continuation import Continuation
from patchbank.methods.embedding import embed_patches
from patchbank.methods.padim.learner import BLOCK_BYTES, PadimLearner
from patchbank.methods.padim.model import PadimModel, channels_kept
from patchbank.methods.padim.samples import Block, Samples
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Indices

LARGEST_SHARE = 0.1
"""Share of the learned photographs that one said to be normal counts as, at most."""


class PadimContinuation(PadimLearner):
    """Collects the patches of further good photographs, then adds them to the Gaussians."""

    def __init__(
        self, model: PadimModel, asked: Continuation, progress: Progress, device: Device
    ) -> None:
        super().__init__(model.settings, asked.n_images, progress, device)
        self._model = model
        self._counts = counts_of(model, asked)
        self._before: list[PatchScores] = []
        self._samples = Samples(asked.n_images, model.settings.patch_stride, model.grid)

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the next image, and store the chosen channels.

        Raises:
            ShapeError: a feature is not finite, or the number of channels is not the learned one.
        """
        super().add(image)
        check_channels(self._model, self._n_channels)
        if not image.is_copy:
            self._before.append(self._model.score(image.maps, image.of_interest))

    def fit(self, groups: Indices | None = None) -> Fit:
        """Learn from old and new photographs, and score each new one without its group."""
        return replace(super().fit(groups), before=tuple(self._before))

    def _has_others(self, groups: Indices) -> bool:
        return True  # those that were learned before

    @property
    def _n_directions(self) -> int:
        d: int = self._samples.shape[1]
        rank = self._settings.rank
        learned: int = self._model.gaussians.bases.shape[2]
        spanned = min(d, learned + self._samples.shape[0])
        return spanned if rank is None else min(rank, spanned)

    def _scatters(self, block: Block) -> Scatters:
        return with_more_samples(
            part_of(self._model.gaussians, block.positions),
            self._counts[block.positions],
            block.samples,
            block.present,
            self._settings.ridge,
            self._settings.rank,
        )


class NormalSamples:
    """One photograph said to be normal, which counts as several until it passes."""

    def __init__(self, model: PadimModel, asked: Continuation, device: Device) -> None:
        self._model = model
        self._asked = asked
        self._counts = counts_of(model, asked)
        self._image: TrainingImage | None = None

    def add(self, image: TrainingImage) -> None:
        """Take the features of the photograph."""
        self._image = image

    def learned(self, effort: int) -> NormalTrial | None:
        """The model in which the photograph counts as so many; None above `LARGEST_SHARE`."""
        image, model = self._image, self._model
        if image is None or effort > max(1, int(LARGEST_SHARE * self._asked.n_learned)):
            return None
        if effort == 0:
            return NormalTrial(model, model.score(image.maps, image.of_interest))
        settings = model.settings
        embedding = to_numpy(embed_patches(settings, image.maps))
        check_channels(model, embedding.shape[2])
        h, w, _ = embedding.shape
        points = embedding[..., channels_kept(settings, model.n_channels)].reshape(h * w, -1)
        cells = nearest_cells(model.grid, (h, w))
        present = np.ones(len(cells), dtype=np.bool_)
        if self._asked.cells is not None:
            stride = settings.patch_stride
            present = self._asked.cells[::stride, ::stride].ravel()[cells]
        more = self._with(points[cells], present, effort)
        return NormalTrial(more, more.score(image.maps, image.of_interest))

    def _with(
        self, points: NDArray[np.float32], present: NDArray[np.bool_], weight: int
    ) -> PadimModel:
        model, settings = self._model, self._model.settings
        p, d, r = model.gaussians.bases.shape
        spanned = min(d, r + 1)
        r = spanned if settings.rank is None else min(settings.rank, spanned)
        whole, counts = Gaussians.empty(p, d, r), np.zeros(p, dtype=np.int32)
        for positions in blocks(p, max(1, BLOCK_BYTES // (8 * d * (3 * d + r)))):
            more = with_more_samples(
                part_of(model.gaussians, positions),
                self._counts[positions],
                points[positions, None],
                present[positions, None],
                settings.ridge,
                settings.rank,
                weight,
            )
            whole.put(positions, more.gaussians(settings.ridge))
            counts[positions] = more.counts
        return PadimModel(settings, whole, model.grid, model.n_channels, counts)


def counts_of(model: PadimModel, asked: Continuation) -> NDArray[np.float64]:
    """(p,) samples that each Gaussian was learned from.

    Raises:
        ParameterError: they are not known.
    """
    if model.counts is not None:
        return model.counts.astype(np.float64)
    if asked.n_copies > 1:
        raise ParameterError(
            "detector: expected the number of samples at each position, got a file without it, as "
            "older versions wrote it, with augmented copies, which count too; fit it anew"
        )
    return np.full(len(model.gaussians.means), float(asked.n_learned))


def check_channels(model: PadimModel, n_channels: int) -> None:
    """Raise a ShapeError where features are those of another backbone."""
    if n_channels != model.n_channels:
        raise ShapeError(
            f"features: expected {model.n_channels} channels of all layers together, "
            f"got {n_channels}"
        )


def part_of(gaussians: Gaussians, positions: slice) -> Gaussians:
    """The Gaussians of some positions: views."""
    names = ("means", "bases", "variances", "rests")
    return Gaussians(*(getattr(gaussians, name)[positions] for name in names))
