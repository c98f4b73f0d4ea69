"""Placement of a part in canonical position: level, heavy end first, centred.

A placement is the affine map from the canonical image, a rectangle around the part in pixels of the
same size, to the photograph.  Pixels go from the photograph to the network's input in one
resampling, and the anomaly map comes back by the inverse.  Beyond the border of the photograph the
canonical image goes on with the ground that the border shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.choices import Resampling
from patchbank.images.pose import STRIP, Pose, Vector, find_pose
from patchbank.types import AnomalyMap, Image

if TYPE_CHECKING:
    from patchbank.images.augment import Augmentation

Linear: TypeAlias = tuple[Vector, Vector]
"""Rows of a 2 x 2 matrix for (down, right)."""
Window: TypeAlias = tuple[float, float, float, float]
"""(top, left, height, width)."""
UNTURNED: Vector = (0.0, 1.0)
"""Axis of a part that is not turned."""
EVEN = 1 / 4
"""Share of a side over which the ground at the border is evened out."""
FADE = 1 / 32
"""Distance beyond the border, by the longer side, at which a third of its details is left."""


@dataclass(frozen=True, slots=True)
class Placement:
    """(down, right) in the photograph = linear (down, right) in the canonical image + offset."""

    size: tuple[int, int]
    """(height, width) of the canonical image."""
    linear: Linear
    offset: Vector
    pose: Pose | None
    """Pose of the part; None where none was found, so that the photograph is not turned."""

    @classmethod
    def of(cls, image: Image, size: tuple[int, int]) -> Placement:
        """Place the part in a photograph, (H, W, 3), in the middle of a canonical image."""
        pose = find_pose(image)
        if pose is None:
            axis, centre = UNTURNED, (image.shape[0] / 2, image.shape[1] / 2)
        else:
            axis, centre = pose.axis, pose.centre
        return cls.at(axis, centre, size, pose)

    @classmethod
    def at(
        cls, axis: Vector, centre: Vector, size: tuple[int, int], pose: Pose | None = None
    ) -> Placement:
        """Place what lies at (down, right) of a photograph in the middle of a canonical image.

        Args:
            axis: (down, right) from the middle to the light end of the part, of length 1.
            centre: of the part.
            size: (height, width) of the canonical image.
            pose: that it is made of; None where none was found or is known.
        """
        down, right = axis
        linear = ((right, down), (-down, right))
        offset = np.array(centre) - np.array(linear) @ np.array(size) / 2
        return cls(size, linear, (float(offset[0]), float(offset[1])), pose)

    def copied(self, augmentation: Augmentation) -> Placement:
        """The placement of an augmented copy: the canonical image is flipped, zoomed, turned."""
        linear, offset = augmentation.to_photograph(self.size)
        own = np.array(self.linear)
        (a, b), (c, d) = (own @ linear).tolist()
        down, right = (own @ offset + np.array(self.offset)).tolist()
        return replace(self, linear=((a, b), (c, d)), offset=(down, right))

    def canonical(
        self, image: Image, window: Window, size: tuple[int, int], resampling: Resampling
    ) -> Image:
        """Part of the canonical image, anti-aliased.

        Args:
            image: (H, W, 3), the photograph.
            window: the part, in pixels of the canonical image.
            size: (h, w) of the result.
            resampling: interpolation; ``lanczos`` counts as ``bicubic``.
        """
        top, left, height, width = window
        # Where the result has fewer pixels, each is the mean of several samples.
        dense = max(1, math.ceil(max(height / size[0], width / size[1]) - 1e-6))
        rows, columns = size[0] * dense, size[1] * dense
        own = np.array(self.linear)
        linear = own @ np.diag([height / rows, width / columns])
        offset = own @ np.array([top, left]) + np.array(self.offset)
        piece, corner = _with_ground(image, linear, offset, (rows, columns))
        is_bilinear = resampling == "bilinear"
        sampled = pillow.fromarray(piece).transform(
            (columns, rows),
            pillow.Transform.AFFINE,
            _coefficients(linear, offset - corner),
            pillow.Resampling.BILINEAR if is_bilinear else pillow.Resampling.BICUBIC,
        )
        return np.asarray(sampled.reduce(dense) if dense > 1 else sampled)

    def turned_back(self, canonical: AnomalyMap, photograph: tuple[int, int]) -> AnomalyMap:
        """A map of the canonical image in the photograph's pixels; 0 where it shows nothing.

        Args:
            canonical: (h, w), of `size`.
            photograph: (H, W) of the photograph.
        """
        linear = np.linalg.inv(np.array(self.linear))
        offset = -linear @ np.array(self.offset)
        height, width = photograph
        turned = pillow.fromarray(canonical).transform(
            (width, height),
            pillow.Transform.AFFINE,
            _coefficients(linear, offset),
            pillow.Resampling.BILINEAR,
        )
        return np.asarray(turned)


def _coefficients(
    linear: NDArray[np.float64], offset: NDArray[np.float64]
) -> tuple[float, float, float, float, float, float]:
    """An affine map as pillow takes it: x before y."""
    (yy, yx), (xy, xx) = linear.tolist()
    down, right = offset.tolist()
    return xx, xy, right, yx, yy, down


def _with_ground(
    image: Image,
    linear: NDArray[np.float64],
    offset: NDArray[np.float64],
    size: tuple[int, int],
) -> tuple[Image, NDArray[np.float64]]:
    """Pixels that a transformed rectangle shows of a photograph and of the ground around it.

    Args:
        image: (H, W, 3).
        linear: from the rectangle to the photograph.
        offset: likewise.
        size: (height, width) of the rectangle.

    Returns:
        The pixels, and where their corner lies in the photograph.
    """
    corners = np.array([(0, 0), (0, size[1]), (size[0], 0), size]) @ linear.T + offset
    low = np.floor(corners.min(axis=0)).astype(int) - 2
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    shape = np.array(image.shape[:2])
    before, after = np.maximum(-low, 0), np.maximum(high - shape, 0)
    begin, end = np.clip(low, 0, shape - 1), np.clip(high, 1, shape)
    if before.any() or after.any():
        image = _continued(image, before, after)
        end = end + before + after
    piece = image[begin[0] : end[0], begin[1] : end[1]]
    return np.ascontiguousarray(piece), (begin - before).astype(np.float64)


def _continued(image: Image, before: NDArray[np.int_], after: NDArray[np.int_]) -> Image:
    """A photograph that goes on beyond its border with the ground that the border shows.

    Neither its mirror image, which repeats the part, nor one grey for all, which makes an edge
    where light falls off, looks like ground.

    Args:
        image: (H, W, 3).
        before: rows above and columns to the left that are added.
        after: rows below and columns to the right.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    strip = max(1, round(STRIP * side))
    (top, left), (bottom, right) = before.tolist(), after.tolist()
    continued = np.pad(image, ((top, bottom), (left, right), (0, 0)), mode="edge")
    # Rows first; columns then go on beyond the rows that were added, too.
    inner = slice(left, left + width)
    lines = continued[top : top + height, inner]
    fade = FADE * side
    continued[:top, inner] = _beyond(lines[:strip], top, fade)[::-1]
    continued[top + height :, inner] = _beyond(lines[::-1][:strip], bottom, fade)
    turned = continued.swapaxes(0, 1)
    lines = turned[left : left + width]
    turned[:left] = _beyond(lines[:strip], left, fade)[::-1]
    turned[left + width :] = _beyond(lines[::-1][:strip], right, fade)
    return continued


def _beyond(strip: Image, count: int, fade: float) -> Image:
    """Lines of the ground beyond a border, from the nearest on.

    They begin with what the border shows, so that there is no edge, and fade to an evened ground.
    What the border shows of the part is left out.

    Args:
        strip: (depth, n, 3) along the border, the outermost line first.
        count: of lines.
        fade: distance in pixels at which a third of the details is left.

    Returns:
        (count, n, 3).
    """
    from scipy import ndimage

    seen = np.median(strip, axis=0).astype(np.float32)
    reach = max(1, round(EVEN * len(seen)))
    evened = np.empty_like(seen)
    for channel in range(3):
        line = ndimage.median_filter(seen[:, channel], reach, mode="nearest")
        ndimage.uniform_filter1d(line, reach, mode="nearest", output=evened[:, channel])
    details = seen - evened
    size = np.abs(details).mean(axis=1)
    details[size > 3 * np.quantile(size, 0.75)] = 0
    left = np.exp(-np.arange(count, dtype=np.float32) / fade)[:, None, None]
    ground: Image = np.rint(np.clip(evened + left * details, 0, 255)).astype(np.uint8)
    return ground
