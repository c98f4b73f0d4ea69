"""Fit of PaDiM: a Gaussian at each position, and exact leave-one-out scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import blocks, to_numpy
from patchbank.core.gaussians import (
    Gaussians,
    Scatters,
    left_out_distances,
    left_out_distances_of_groups,
    n_directions,
    scatters,
)
from patchbank.errors import DataError
from patchbank.methods.base import Fit, Method, Tensors, TrainingImage, numbered_groups
from patchbank.methods.embedding import embed_patches
from patchbank.methods.padim.model import PadimModel, channels_kept, restore_model, scored
from patchbank.methods.padim.samples import Block, Samples
from patchbank.methods.padim.settings import PRESETS, PadimParameters, PadimSettings
from patchbank.methods.tensor_spec import TensorSpec
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Indices

BLOCK_BYTES = 64 * 2**20  # memory of one block of positions in float64


class PadimLearner:
    """Collects the patches of good photographs, then learns a Gaussian at each position.

    All of it is computed on the CPU, wherever the features come from.  Positions are processed in
    blocks: in memory are the features of all images and the Gaussians, both in float32, and one
    block in float64.
    """

    def __init__(
        self, settings: PadimParameters, n_images: int, progress: Progress, device: Device
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._samples = Samples(n_images, settings.patch_stride)
        self._n_channels = 0

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the next image, and store the chosen channels.

        Raises:
            ParameterError: more channels are asked for than there are.
            ShapeError: a feature is not finite.
        """
        embedding = to_numpy(embed_patches(self._settings, image.maps))
        self._n_channels = embedding.shape[2]
        kept = channels_kept(self._settings, self._n_channels)
        self._samples.append(embedding[..., kept], image)

    def fit(self, groups: Indices | None = None) -> Fit:
        """Learn the Gaussians, and score each photograph without its group and all copies of it.

        Raises:
            DataError: no image was added.
        """
        samples, settings = self._samples, self._settings
        if not samples.n_photographs:
            raise DataError("expected the features of at least one photograph, got none")
        numbers = numbered_groups(groups, samples.n_photographs)
        samples.close(numbers)
        gaussians, left_out = _learned(settings, samples, numbers.max() > 0, self._progress)
        model = PadimModel(settings, gaussians, samples.grid, self._n_channels)
        if numbers.max() == 0:
            return Fit(model, ())
        scores = [
            scored(settings, grid, of_interest)
            for grid, of_interest in zip(
                samples.grids_of(left_out), samples.of_interest, strict=True
            )
        ]
        return Fit(model, tuple(scores))


def restore(settings: PadimParameters, tensors: Tensors, device: Device) -> PadimModel:
    """Build the model that `tensors` came from; it scores on the CPU."""
    return restore_model(settings, tensors)


def _learned(
    settings: PadimParameters, samples: Samples, has_others: bool, progress: Progress
) -> tuple[Gaussians, NDArray[np.float32]]:
    """Learn the Gaussians, and leave out each group if there are others.

    -> the Gaussians, and the leave-one-out distance of each row of the samples.
    """
    n_positions = samples.grid[0] * samples.grid[1]
    n_examples, d = samples.shape
    whole = Gaussians.empty(n_positions, d, n_directions(n_examples, d, settings.rank))
    left_out = np.zeros(samples.n_rows, dtype=np.float32)
    with progress.task("learning positions", n_positions) as advance:
        for positions in blocks(
            n_positions, max(1, BLOCK_BYTES // (8 * samples.numbers_a_position))
        ):
            block = samples.block(positions)
            learned = scatters(block.samples, block.present, settings.rank)
            whole.put(positions, learned.gaussians(settings.ridge))
            if has_others:
                _score_left_out(settings, samples, learned, block, left_out)
            advance(positions.stop - positions.start)
    return whole, left_out


def _score_left_out(
    settings: PadimParameters,
    samples: Samples,
    learned: Scatters,
    block: Block,
    left_out: NDArray[np.float32],
) -> None:
    """Write the leave-one-out distances of the rows of one block."""
    for part in samples.parts:
        groups, table = part.samples(block), part.table(block.positions)
        points = samples.rows(table.rows)
        if part.are_alone:
            distances = left_out_distances(learned, groups, points, table.groups, settings.ridge)
        else:
            distances = left_out_distances_of_groups(learned, groups, points, settings.ridge)
        left_out[table.rows[table.is_present]] = distances[table.is_present]


def lengths(settings: PadimParameters, channels: Sequence[int]) -> Mapping[str, int]:
    """Channels of all layers together, and dimensions of a patch."""
    n_channels = sum(channels)
    return {"channels": n_channels, "d": len(channels_kept(settings, n_channels))}


CONTENTS: Mapping[str, TensorSpec] = {
    "means": TensorSpec("float32", ("p", "d")),
    "bases": TensorSpec("float32", ("p", "d", "r?"), low=-1.01, high=1.01),
    "variances": TensorSpec("float32", ("p", "r?"), low=1e-30, high=1e30),
    "rests": TensorSpec("float32", ("p",), low=1e-30, high=1e30),
    "grid": TensorSpec("int32", ("2",), low=1),
    "n_channels": TensorSpec("int32", ("1",), equals="channels"),
}
METHOD = Method(
    "padim",
    PadimSettings,
    PadimParameters,
    PRESETS,
    PadimLearner,
    restore,
    contents=CONTENTS,
    lengths=lengths,
    takes_interest=True,
)
