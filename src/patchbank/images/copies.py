"""Copies among photographs: the same pixels, and the same photograph edited a little.

A near copy is a photograph that was shifted or cropped by a few per cent, made a little brighter or
darker, resized, or compressed again. Two parts before a fixed camera are none, however alike they
look: a copy shares the accidents of one exposure (noise, dirt, texture), another part does not. The
same part in the same place, photographed again, counts as a copy where its own texture outweighs
the noise.

`near_copies` works in three steps on thumbnails of 128 x 128 luminances:

1. Candidates (`images.copy_candidates`). For each photograph the nearest others by tangent distance
   (Simard et al., 1993): what no small shift, stretch or change of contrast explains. Before a
   fixed camera every photograph is near to every other one; there photographs are registered to one
   of them, and those that differ from the mean in the same way are candidates too.
2. Alignment of each pair (`images.alignment`).
3. Shared detail (`images.shared_detail`), in blocks of the thumbnail: covariance divided by the
   smaller of the two variances, so that detail which compression erased does not count against a
   copy. *Faint detail* is the finest, in the blocks that have least of it; *grain* is the part of
   it that is neither upright nor level. *Own detail*, asked for in a crowd of photographs that
   resemble each other, is what the mean of the others does not have: their common design is not.

A group is a star: each member is a copy of the photograph in its middle, or of such a copy. So a
film that changes slowly does not become one group from its first frame to its last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.images.alignment import blurred, detail, halved
from patchbank.images.copy_candidates import Neighbours, neighbours
from patchbank.images.digest import pixel_digest
from patchbank.images.resize import across_then_down
from patchbank.images.shared_detail import Comparison
from patchbank.types import Image

SIDE = 128
"""Height and width of a thumbnail."""
UNITS = 128
"""Units of a thumbnail in one level of luminance: 255 levels fit 16 bits."""
FLAT = 0.3
"""Levels of detail (root of the mean square) below which nothing can be compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """Digest and thumbnail of a photograph, by which copies are recognised; 32 KB."""

    digest: bytes
    """BLAKE2b of size and pixels; see `images.digest`."""
    thumbnail: NDArray[np.int16]
    """(SIDE, SIDE) luminances in units of 1 / UNITS, blurred slightly."""
    aspect: float
    """Logarithm of width / height."""

    @classmethod
    def of(cls, image: Image) -> Fingerprint:
        """Compute the fingerprint of an image.  (H, W, 3).

        >>> white = np.full((40, 60, 3), 255, dtype=np.uint8)
        >>> Fingerprint.of(white).digest == Fingerprint.of(white.copy()).digest
        True
        """
        pixels = np.ascontiguousarray(image)
        height, width = pixels.shape[:2]
        thumbnail = blurred(_thumbnail(pixels), BLUR_SIGMA)
        units = np.clip(np.rint(thumbnail * UNITS), 0, 255 * UNITS).astype(np.int16)
        return cls(pixel_digest(pixels), units, float(np.log(width / height)))

    @property
    def levels(self) -> NDArray[np.float32]:
        """(SIDE, SIDE) luminances from 0 to 255."""
        levels: NDArray[np.float32] = self.thumbnail.astype(np.float32) / np.float32(UNITS)
        return levels

    @property
    def has_detail(self) -> bool:
        """Whether anything is to be seen that copies could share."""
        return bool(np.sqrt((detail(halved(self.levels[None]), 2.0) ** 2).mean()) > FLAT)


def exact_copies(fingerprints: Sequence[Fingerprint]) -> list[list[int]]:
    """Groups of photographs with the same pixels.

    Returns:
        The numbers of each group of two or more, in order of their first ones.
    """
    by_digest: dict[bytes, list[int]] = {}
    for number, fingerprint in enumerate(fingerprints):
        by_digest.setdefault(fingerprint.digest, []).append(number)
    return [numbers for numbers in by_digest.values() if len(numbers) > 1]


def near_copies(fingerprints: Sequence[Fingerprint]) -> list[list[int]]:
    """Groups of photographs that are the same, but for small edits; exact copies are among them.

    Photographs without detail (black, of one colour) are compared to the pixel only.

    Returns:
        The numbers of each group of two or more, in order of their first ones.
    """
    members: dict[bytes, list[int]] = {}
    for number, fingerprint in enumerate(fingerprints):
        members.setdefault(fingerprint.digest, []).append(number)
    sets = list(members.values())
    singles = [fingerprints[numbers[0]] for numbers in sets]
    groups = _stars(len(singles), _links(singles))
    merged = [sorted(n for single in group for n in sets[single]) for group in groups]
    return sorted(group for group in merged if len(group) > 1)


def _thumbnail(pixels: Image) -> NDArray[np.float32]:
    luminance = pillow.fromarray(pixels).convert("L").convert("F")
    is_small = min(luminance.size) < 2 * SIDE
    filter_ = pillow.Resampling.BICUBIC if is_small else pillow.Resampling.BOX
    return np.asarray(across_then_down(luminance, (SIDE, SIDE), filter_), dtype=np.float32)


BLUR_SIGMA = 0.9
"""So little blur, in pixels of a thumbnail, that only what resampling gets wrong disappears."""


def _links(fingerprints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Pairs of near copies."""
    compared = np.array([n for n, one in enumerate(fingerprints) if one.has_detail], dtype=np.intp)
    if len(compared) < 2:
        return []
    comparison = Comparison(np.stack([fingerprints[n].levels for n in compared]))
    aspects = np.array([fingerprints[n].aspect for n in compared])
    found = _possible(comparison, neighbours(comparison.details, aspects))
    shared: dict[tuple[int, int], float] = {}
    for first, near in enumerate(found):  # in threads, small arrays would wait for each other
        for second, share in comparison.copies(first, near) if len(near.candidates) else ():
            a, b = sorted((int(compared[first]), int(compared[second])))
            shared[a, b] = min(share, shared.get((a, b), share))  # of both directions
    return [pair for pair, share in shared.items() if share >= 1]


def _possible(comparison: Comparison, found: Sequence[Neighbours]) -> list[Neighbours]:
    """The neighbours without the candidates that are no copies at first sight."""
    pairs = {
        (min(first, second), max(first, second))
        for first, near in enumerate(found)
        for second in near.candidates.tolist()
    }
    after: list[list[int]] = [[] for _ in found]
    for first, second in sorted(pairs):
        after[first].append(second)
    possible = {
        (first, second)
        for first, others in enumerate(after)
        if others
        for second in comparison.possible(first, np.array(others)).tolist()
    }
    return [
        Neighbours(
            np.array(
                [n for n in near.candidates.tolist() if (min(n, i), max(n, i)) in possible],
                dtype=np.intp,
            ),
            near.further,
        )
        for i, near in enumerate(found)
    ]


def _stars(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of linked numbers, none farther than two links from the middle of its group.

    The number with the most links that are left is the middle of the next group.
    """
    linked: list[set[int]] = [set() for _ in range(count)]
    for a, b in links:
        linked[a].add(b)
        linked[b].add(a)
    left = set(range(count))
    groups = []
    for middle in sorted(range(count), key=lambda number: (-len(linked[number]), number)):
        if middle not in left:
            continue
        near = linked[middle] & left
        next_to = set().union(*(linked[number] for number in near)) & left
        group = {middle} | near | next_to
        left -= group
        groups.append(sorted(group))
    return groups
