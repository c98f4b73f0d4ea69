"""A region of interest, and the part of a photograph of some size that it selects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.spatial.box import Box, bounding_box
from patchbank.core.spatial.interest import cells_of_interest
from patchbank.errors import ParameterError, ShapeError
from patchbank.images.augment import Augmentation
from patchbank.images.masks import fits, scaled_mask
from patchbank.images.roi.shapes import Shape
from patchbank.runtime.percent import percent
from patchbank.types import Mask

KEPT = 4
"""Sizes of photographs, and of grids, whose masks are kept."""


class InspectedPart:
    """The pixels of a photograph of one size that are learned and scored, and their box.

    The network sees the box.  What is in it, but not of interest, is left as it is: filled with one
    colour it would have an edge where it begins, and parts that cross that edge would look unlike.
    """

    def __init__(self, photograph: tuple[int, int], box: Box, mask: Mask) -> None:
        self.photograph = photograph
        """(H, W)."""
        self.box = box
        """The part of the photograph that the network sees."""
        self.mask = mask
        """(h, w) of the box: True where its pixels are inspected."""
        self.is_box = bool(mask.all())
        """Whether all pixels of the box are inspected."""
        self._cells = lru_cache(KEPT)(self._cells_of)
        self._cells_of_copy = lru_cache(None)(lambda copy, *key: self.copied(copy).cells(*key))

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes the caches anew."""
        return InspectedPart, (self.photograph, self.box, self.mask)

    def cells(
        self, grid: tuple[int, int], stride: int, covered: tuple[int, int] | None = None
    ) -> NDArray[np.bool_] | None:
        """The cells of a feature grid over the box that count; None if all do.

        Args:
            grid: (h, w).
            stride: cells from one patch to the next.
            covered: (H, W) in pixels of the box and its mirror image below and to the right of it,
                which the grid covers; None where that is the box.
        """
        cells = None if self.is_box else self._cells(grid, stride, covered)
        return None if cells is None or cells.all() else cells

    def _cells_of(
        self, grid: tuple[int, int], stride: int, covered: tuple[int, int] | None
    ) -> NDArray[np.bool_]:
        mask = self.mask
        if covered is not None:
            beyond = [(0, n - side) for n, side in zip(covered, mask.shape, strict=True)]
            mask = np.pad(mask, beyond, mode="symmetric")
        return cells_of_interest(mask, grid, stride)

    def cells_of_copy(
        self, augmentation: Augmentation, grid: tuple[int, int], stride: int
    ) -> NDArray[np.bool_] | None:
        """The cells that count of an augmented copy of the box; see `cells`."""
        return None if self.is_box else self._cells_of_copy(augmentation, grid, stride)

    def copied(self, augmentation: Augmentation) -> InspectedPart:
        """The part of an augmented copy of the box."""
        grey = np.repeat(self.mask[..., None].astype(np.uint8) * 255, 3, axis=2)
        mask = augmentation.of(grey)[..., 0] > 127
        size = mask.shape[0], mask.shape[1]
        return InspectedPart(size, Box(0, 0, *size), mask)


class RegionOfInterest:
    """The pixels of photographs that are learned and scored, at the size that most of them have."""

    def __init__(self, mask: Mask, roi: Sequence[str] = (), ignore: Sequence[str] = ()) -> None:
        self.mask = mask
        """(H, W): True where photographs are inspected."""
        self.roi = tuple(roi)
        """Shapes that are inspected, as they were given; empty if all is but what is ignored."""
        self.ignore = tuple(ignore)
        """Shapes that are not, as they were given."""
        self._part = lru_cache(KEPT)(self._part_of)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes the cache anew."""
        return RegionOfInterest, (self.mask, self.roi, self.ignore)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the mask."""
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def share(self) -> float:
        """Share of the pixels that are inspected."""
        return float(self.mask.mean())

    def on(self, size: tuple[int, int]) -> InspectedPart:
        """The part of photographs of (H, W).

        Raises:
            ShapeError: they have another aspect ratio, or no pixel of the region.
        """
        return self._part(size)

    def _part_of(self, size: tuple[int, int]) -> InspectedPart:
        if not fits(self.size, size):
            raise ShapeError(
                f"expected a photograph of {self.size[0]} x {self.size[1]} pixels (height x width, "
                f"those of the region of interest) or of this aspect ratio, got {size[0]} x "
                f"{size[1]}"
            )
        mask = scaled_mask(self.mask, size)
        if not mask.any():
            raise ShapeError(
                f"expected a photograph with a pixel of the region of interest, got {size[0]} x "
                f"{size[1]} pixels (height x width), which is too small for it"
            )
        box = bounding_box(mask)
        return InspectedPart(size, box, np.ascontiguousarray(box.of(mask)))

    @property
    def line(self) -> str:
        """Sentence about its size and place."""
        box, (height, width) = bounding_box(self.mask), self.size
        return (
            f"region of interest: {percent(self.share)} of each photograph, within "
            f"{box.left},{box.top},{box.width},{box.height} (x, y, width, height) of {width} x "
            f"{height} pixels"
        )

    def to_json(self) -> dict[str, Any]:
        """Facts for the JSON of `patchbank info`."""
        box, (height, width) = bounding_box(self.mask), self.size
        return {
            "size": [width, height],
            "left": box.left,
            "top": box.top,
            "width": box.width,
            "height": box.height,
            "share": self.share,
            "roi": list(self.roi),
            "ignore": list(self.ignore),
        }


def region_of_interest(
    roi: Sequence[Shape], ignore: Sequence[Shape], size: tuple[int, int]
) -> tuple[RegionOfInterest, list[str]]:
    """The region of photographs of some (H, W), and lines about shapes that are cut off.

    Args:
        roi: shapes that are inspected; all is, if there are none.
        ignore: shapes that are not.
        size: (H, W) of the photographs.

    Raises:
        ParameterError: a shape has no pixel of the photographs, or nothing is left.
    """
    mask = np.zeros(size, dtype=np.bool_) if roi else np.ones(size, dtype=np.bool_)
    for shape in roi:
        mask |= shape.mask("roi", size)
    for shape in ignore:
        mask &= ~shape.mask("ignore", size)
    if not mask.any():
        raise ParameterError(
            "ignore: expected something left to inspect, got all of "
            + ("the region of interest" if roi else "the photographs")
        )
    named = [*(("roi", shape) for shape in roi), *(("ignore", shape) for shape in ignore)]
    lines = [
        f"{name} {shape.text} is partly outside of the photographs, which have {size[0]} x "
        f"{size[1]} pixels (height x width): it is cut off"
        for name, shape in named
        if shape.is_beyond(size)
    ]
    texts = ([shape.text for shape in shapes] for shapes in (roi, ignore))
    return RegionOfInterest(mask, *texts), lines
