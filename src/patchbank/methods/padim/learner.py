"""Fit of PaDiM: a Gaussian at each position, and exact leave-one-out scores."""

from __future__ import annotations

from dataclasses import dataclass

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
from patchbank.methods.base import Fit, TrainingImage, numbered_groups
from patchbank.methods.embedding import embed_patches
from patchbank.methods.padim.model import PadimModel, channels_kept, scored
from patchbank.methods.padim.samples import Block, Samples
from patchbank.methods.padim.settings import PadimParameters
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
        has_others = self._has_others(numbers)
        learned = self._learned(has_others)
        model = PadimModel(
            settings, learned.gaussians, samples.grid, self._n_channels, learned.counts
        )
        if not has_others:
            return Fit(model, ())
        left_out = learned.left_out
        scores = [
            scored(settings, grid, of_interest)
            for grid, of_interest in zip(
                samples.grids_of(left_out), samples.of_interest, strict=True
            )
        ]
        return Fit(model, tuple(scores))

    def _has_others(self, groups: Indices) -> bool:
        """Whether something is left where a group is left out."""
        return bool(groups.max() > 0)

    @property
    def _n_directions(self) -> int:
        """Columns of the bases."""
        return n_directions(*self._samples.shape, self._settings.rank)

    def _scatters(self, block: Block) -> Scatters:
        """The scatter matrices at a few positions."""
        return scatters(block.samples, block.present, self._settings.rank)

    def _learned(self, has_others: bool) -> _Learned:
        """Learn the Gaussians, and leave out each group if there are others."""
        samples, settings = self._samples, self._settings
        n_positions = samples.grid[0] * samples.grid[1]
        learned = _Learned(
            Gaussians.empty(n_positions, samples.shape[1], self._n_directions),
            np.zeros(n_positions, dtype=np.int32),
            np.zeros(samples.n_rows, dtype=np.float32),
        )
        with self._progress.task("learning positions", n_positions) as advance:
            for positions in blocks(
                n_positions, max(1, BLOCK_BYTES // (8 * samples.numbers_a_position))
            ):
                block = samples.block(positions)
                found = self._scatters(block)
                learned.gaussians.put(positions, found.gaussians(settings.ridge))
                learned.counts[positions] = found.counts
                if has_others:
                    _score_left_out(settings, samples, found, block, learned.left_out)
                advance(positions.stop - positions.start)
        return learned


@dataclass(frozen=True, slots=True)
class _Learned:
    """Gaussians and distances that a fit computes block by block."""

    gaussians: Gaussians
    counts: NDArray[np.int32]
    """(p,) samples at each position."""
    left_out: NDArray[np.float32]
    """Leave-one-out distance of each row of the samples."""


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
