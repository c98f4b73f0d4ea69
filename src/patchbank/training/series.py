"""Series among the photographs of a fit: patches that are kept while they are read, and orders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.core.scores.series import Blocks, LeftOutTable, find_blocks
from patchbank.images.capture_time import capture_times
from patchbank.images.source import ImageSource
from patchbank.methods.base import FeatureMaps
from patchbank.types import Indices

SIDE = 8
"""Rows and columns of the patches that are kept of each photograph."""
DIMENSIONS = 48
"""Dimensions of a kept patch: a random projection of its features."""
QUERIES = 32
"""Patches of each photograph whose distances to others are computed."""
MOST_COMPARED = 1024
"""Photographs whose scores are compared; of more, whole stretches of `STRETCH` in their order."""
STRETCH = 128
NUMBERED = re.compile(r"(.*?)(?<!\d)0*(\d{1,5})(\D*)")
"""A name with a number.  Longer ones are times or serial numbers, most of which are missing."""
DIFFERENT = 2.0
"""Factor by which two estimates of one probability differ at most by chance."""
NO_LONG_STEP = 0.001
"""Probability of a random draw without a longer step, below which a camera dropped frames."""


@dataclass(frozen=True, slots=True)
class Series:
    """Photographs that come in series: blocks of neighbours in some order."""

    groups: Indices
    """(n,) number of the block of each photograph."""
    order: str
    """The order in which they are neighbours, in words."""
    blocks: Blocks


@dataclass(slots=True)
class PhotographPatches:
    """A few patches of each photograph, from a grid all over it, with few dimensions.

    They take 12 kB of each photograph.
    """

    patches: list[NDArray[np.float32]] = field(default_factory=list)
    _projection: NDArray[np.float32] | None = None

    def add(self, maps: FeatureMaps) -> None:
        """Keep patches of the next photograph: the means of 3 x 3 cells of every layer."""
        features = np.concatenate([_spread_means(to_numpy(m)) for m in maps]).T  # (s, c)
        if self._projection is None:
            shape = (features.shape[1], DIMENSIONS)
            drawn = np.random.default_rng(0).standard_normal(shape) / np.sqrt(DIMENSIONS)
            self._projection = drawn.astype(np.float32)
        # No matrix product: threads of BLAS would wait for those that extract features.
        self.patches.append(np.einsum("sc,cd->sd", features, self._projection))

    def find_series(self, sources: Sequence[ImageSource], copies: Indices) -> Series | None:
        """Find series in the orders that the photographs have; None if there are none.

        Args:
            sources: the photographs that were added.
            copies: (n,) photographs of equal number are left out together anyway.
        """
        patches = np.stack(self.patches)
        patches -= patches.mean(axis=(0, 1))
        found = [
            Series(_in_place(blocks.groups, order), name, blocks)
            for name, order in orders_of(sources)
            if (blocks := _find(patches[order], copies[order])) is not None
        ]
        return max(found, key=lambda series: series.blocks.effect, default=None)


def orders_of(sources: Sequence[ImageSource]) -> list[tuple[str, Indices]]:
    """The orders in which photographs may be neighbours, in words and as (n,) numbers.

    Files are in the order of their names, and in that of the times that cameras wrote into them
    where all have one.  Anything else is in the order in which it was given.
    """
    n = len(sources)
    if not all(isinstance(source.content, Path) for source in sources):
        return [("in which they were given", np.arange(n))]
    keys = [natural_key(Path(str(source.content)).as_posix()) for source in sources]
    by_name = sorted(range(n), key=lambda number: keys[number])
    orders = [("of their names", np.array(by_name))]
    times = capture_times(list(sources))
    if times is not None:
        by_time = sorted(range(n), key=lambda number: (times[number], keys[number]))
        if by_time != by_name:
            orders.append(("of the times in their files", np.array(by_time)))
    return orders


def drawn_from(sources: Sequence[ImageSource]) -> int | None:
    """Length of the sequence that photographs were drawn from at random; None if they were not.

    Of photographs that were divided at random, to learn some and to test others, numbers are
    missing, which lie between the learned ones as each learned one lies between the others.  Steps
    from number to number have no memory then (they are geometrically distributed): however far
    the last one is, the next number is there with the same probability.  Frames of a film have
    consecutive numbers, or every tenth, or stretches of them.
    """
    if not all(isinstance(source.content, Path) for source in sources):
        return None
    paths = [Path(str(source.content)) for source in sources]
    matches = [NUMBERED.fullmatch(path.stem) for path in paths]
    numbers = sorted({int(match[2]) for match in matches if match})
    kinds = {
        (path.parent, match and (match[1], match[3]))
        for path, match in zip(paths, matches, strict=True)
    }
    if len(kinds) > 1 or len(numbers) < len(paths) or len(numbers) < 2:
        return None
    if numbers[-1] >= 60 and all(number % 100 < 60 for number in numbers):  # hours and minutes
        return None
    return numbers[-1] - numbers[0] + 1 if _has_no_memory(np.diff(numbers)) else None


def _has_no_memory(steps: Indices) -> bool:
    """Whether steps between numbers are those of a random draw of at most half of the numbers."""
    n, near = len(steps), max(1, int(np.median(steps)) // 2)
    if np.bincount(steps).max() > n / 2:
        return False
    is_near = steps <= near
    soon, later = is_near.mean(), (steps[~is_near] <= 2 * near).mean()
    if not soon < DIFFERENT * later or not later < DIFFERENT * soon:
        return False
    next_one = 1 - (1 - soon) ** (1 / near)  # probability of consecutive numbers that follows
    if (1 - (1 - next_one) ** int(steps.max())) ** n < NO_LONG_STEP:
        return False
    expected, variance = n * next_one, n * next_one * (1 - next_one)
    return bool(abs((steps == 1).sum() - expected) <= 3 * np.sqrt(variance) + 1)


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Key that sorts names as people do, numbers by their value.

    >>> sorted(["img10.png", "img2.png", "Img1.png"], key=natural_key)
    ['Img1.png', 'img2.png', 'img10.png']
    """
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((int(part), "") if number % 2 else (-1, part) for number, part in enumerate(parts))


def _spread_means(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 3 x 3 cells at SIDE x SIDE positions.  (c, h, w) -> (c, s)."""
    c, h, w = planes.shape
    middles = (np.arange(SIDE) + 0.5) / SIDE
    around = np.arange(-1, 2)[:, None]
    rows = ((middles * h).astype(np.intp) + around).clip(0, h - 1)  # (3, SIDE)
    columns = ((middles * w).astype(np.intp) + around).clip(0, w - 1)
    cell_numbers = rows[:, None, :, None] * w + columns[None, :, None, :]  # (3, 3, SIDE, SIDE)
    cells = planes.reshape(c, h * w).take(cell_numbers.reshape(-1), axis=1).reshape(c, 9, SIDE**2)
    return np.asarray(cells.mean(axis=1), dtype=np.float32)


def _find(patches: NDArray[np.float32], copies: Indices) -> Blocks | None:
    members = _compared(len(patches))
    table = LeftOutTable.of(patches[members], QUERIES, copies[members])
    return find_blocks(patches, table, members, np.random.default_rng(0))


def _compared(n: int) -> Indices:
    """Numbers of the photographs whose scores are compared, in whole stretches."""
    if n <= MOST_COMPARED:
        return np.arange(n)
    begins = np.linspace(0, n - STRETCH, MOST_COMPARED // STRETCH).astype(np.intp)
    return np.unique(begins[:, None] + np.arange(STRETCH))


def _in_place(groups: Indices, order: Indices) -> Indices:
    """Numbers of the blocks by photograph, from those in an order."""
    found = np.empty_like(groups)
    found[order] = groups
    return found
