"""The photographs of the trials: some are learned, others are held out and get defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from patchbank.core.spatial.box import Box
from patchbank.images.masks import scaled_mask
from patchbank.images.resize import resized
from patchbank.images.roi import InspectedPart, RegionOfInterest
from patchbank.images.source import ImageSource, n_pixels
from patchbank.runtime.threads import map_in_order
from patchbank.training.choose.defects import KINDS, Defect, draw_defect
from patchbank.training.choose.placing import Positions
from patchbank.types import Image, Indices, Mask

FEWEST_PHOTOGRAPHS = 20
"""Photographs below which nothing is chosen."""
FEWEST_ON_A_SIDE = 8
"""Photographs that have to be learned, and held out, where groups stay together."""
LEARNED_SHARE, MOST_LEARNED, MOST_HELD_OUT = 0.55, 24, 20
COPIES = 3
"""Copies with a defect of each photograph that is held out, the kinds in turn."""
WORKING_SIDE = 1024
"""Root of the area to which larger photographs are reduced for the trials, at least: the largest
input that is tried is much smaller."""


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of the photographs that are learned, and of those that are held out."""

    learned: tuple[int, ...]
    held_out: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The photographs of the trials, reduced where they are large, and the defects.

    Where there is a region of interest they are its box alone, as the network sees nothing else.
    """

    learned: tuple[Image, ...]
    held_out: tuple[Image, ...]
    defects: tuple[tuple[int, Defect], ...]
    """(number of the photograph among those held out, the defect on it)."""
    scale: float
    """Pixels of the photographs, per pixel of the reduced ones; the median."""
    parts: tuple[InspectedPart | None, ...]
    """The region of interest in each of those that are learned, then in those that are held out;
    None where all counts."""

    @property
    def learned_parts(self) -> tuple[InspectedPart | None, ...]:
        """The region of interest in each photograph that is learned."""
        return self.parts[: len(self.learned)]

    @property
    def held_out_parts(self) -> tuple[InspectedPart | None, ...]:
        """The region of interest in each photograph that is held out."""
        return self.parts[len(self.learned) :]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the photograph of median area among those held out, before it is reduced."""
        ordered = sorted(self.held_out, key=lambda image: image.shape[0] * image.shape[1])
        height, width = ordered[len(ordered) // 2].shape[:2]
        return round(height * self.scale), round(width * self.scale)


def split(groups: Indices, seed: int) -> Split | None:
    """Draw the photographs of the trials; those of one group are on one side.

    Groups are drawn one after the other until more than half of the photographs can be learned; the
    others can be held out.  Of each side a number is drawn, from all its groups in turn.

    Args:
        groups: (n,) number of the group of each photograph.
        seed: of the draw.

    Returns:
        None where one side would have too few photographs.
    """
    n, rng = len(groups), np.random.default_rng(seed)
    sizes = np.bincount(groups)
    drawn = rng.permutation(np.flatnonzero(sizes))
    before = np.cumsum(sizes[drawn]) - sizes[drawn]
    is_learned = before + sizes[drawn] / 2 < LEARNED_SHARE * n
    sides = [
        _in_turn(groups, drawn[some], at_most, rng)
        for some, at_most in ((is_learned, MOST_LEARNED), (~is_learned, MOST_HELD_OUT))
    ]
    if min(map(len, sides)) < FEWEST_ON_A_SIDE:
        return None
    return Split(*(tuple(side) for side in sides))


def _in_turn(groups: Indices, some: Indices, at_most: int, rng: np.random.Generator) -> list[int]:
    """Photographs of some groups, one of each group, then another one of each."""
    members = [rng.permutation(np.flatnonzero(groups == group)).tolist() for group in some]
    longest = max(map(len, members), default=0)
    rounds = [one[turn] for turn in range(longest) for one in members if turn < len(one)]
    return [int(number) for number in rounds[:at_most]]


def draw_sample(
    sources: Sequence[ImageSource],
    chosen: Split,
    seed: int,
    inspected: Callable[[Image], Mask | None] = lambda image: None,
    working_side: float = WORKING_SIDE,
    roi: RegionOfInterest | None = None,
) -> Sample:
    """Read the photographs of the trials, and draw the defects.

    Args:
        sources: all photographs.
        chosen: which of them are learned, and which held out.
        seed: of the draws.
        inspected: photograph -> pixels of it where defects are placed; None for all.  Without
            meaning where there is a region of interest, in which they are placed.
        working_side: root of the area to which larger photographs are reduced.
        roi: region of interest; None where whole photographs are inspected.

    Raises:
        ImageError, ShapeError: a photograph cannot be read.
    """
    numbers = [*chosen.learned, *chosen.held_out]
    images, parts, scales = [], [], []
    part_of = lru_cache(None)(partial(_reduced_part, roi))
    reading = map_in_order(ImageSource.read, [sources[number] for number in numbers], n_pixels)
    for _, read in reading:
        whole = read.result()
        size = whole.shape[0], whole.shape[1]
        seen = whole if roi is None else roi.on(size).box.of(whole)
        image, scale = _reduced(seen, working_side)
        images.append(image)
        parts.append(part_of(size, (image.shape[0], image.shape[1])))
        scales.append(scale)
    learned, held_out = images[: len(chosen.learned)], images[len(chosen.learned) :]
    positions = [
        Positions.of(image, inspected(image) if part is None else part.mask)
        for image, part in zip(held_out, parts[len(learned) :], strict=True)
    ]
    rng = np.random.default_rng([seed, 1])
    defects = []
    kinds = tuple(KINDS)
    for turn in range(COPIES):
        for number, image in enumerate(held_out):
            donor = held_out[(number + int(rng.integers(1, len(held_out)))) % len(held_out)]
            kind = kinds[(number + turn * len(held_out)) % len(kinds)]
            defects.append((number, draw_defect(kind, image, donor, positions[number], rng)))
    return Sample(
        tuple(learned), tuple(held_out), tuple(defects), float(np.median(scales)), tuple(parts)
    )


def _reduced_part(
    roi: RegionOfInterest | None, photograph: tuple[int, int], size: tuple[int, int]
) -> InspectedPart | None:
    """The region of interest in its box, at the (H, W) to which that is reduced."""
    if roi is None:
        return None
    return InspectedPart(size, Box(0, 0, *size), scaled_mask(roi.on(photograph).mask, size))


def _reduced(image: Image, side: float) -> tuple[Image, float]:
    """A photograph of at most `side` squared pixels, and by how much it was reduced."""
    height, width = image.shape[:2]
    scale = max(1.0, (height * width) ** 0.5 / side)
    if scale == 1:
        return image, 1.0
    size = max(1, round(height / scale)), max(1, round(width / scale))
    return resized(image, size), scale
