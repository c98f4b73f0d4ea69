"""Pose of the part in a photograph: where it lies, and which way its long axis points.

The part is the largest region that differs from the ground, and the ground is what the border of
the photograph shows: a plane through its greys, so that light may fall off to one side.  A pose
says nothing where photographs show no ground (textures, tiles), several parts, or a round part;
`Pose.unclear` is the reason then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.images.resize import across_then_down
from patchbank.types import Image, Mask

Vector: TypeAlias = tuple[float, float]
"""(down, right)."""
Plane: TypeAlias = NDArray[np.float32]

SIDE_PX = 512
"""Longer side to which photographs are reduced for the search."""
SMOOTHING = 2 / SIDE_PX
STRIP = 8 / SIDE_PX
"""Width of the border strip that shows the ground, as a share of the longer side."""
NOISE = 4.0
"""Difference from the ground that no ground has, in standard deviations of the border."""
EDGE = 0.35
"""Difference of the edge of the part, as a share of the difference of its most distinct pixels."""
DISTINCT = 0.95
"""Quantile, of what differs from the ground, at which pixels are called the most distinct ones."""
OTHER_EDGES = (0.25, 0.5)
"""Shares at which the area is measured again: that of a part against a ground stays."""
LARGEST_CHANGE = 0.5
LARGEST_SHARE = 0.6
"""Share of the photograph that a part covers at most: more leaves no ground to tell it from."""
LARGEST_SECOND = 0.1
"""Area of the second largest region by that of the part, from which there are several parts."""
LARGEST_CONTACT = 0.75
"""Pixels at the border of the photograph by the width of the part, from which it cuts an end off.
"""
LEAST_AXIS_RATIO = 1.5
"""Length by width of the ellipse of the same moments, below which the long axis is not sure."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Place, direction and size of the part in a photograph; lengths in its pixels."""

    centre: Vector
    """Middle of its extent along and across the axis, from the corner of the photograph."""
    axis: Vector
    """Unit vector along the part, away from its heavy end."""
    length: float
    """Extent along the axis."""
    width: float
    """Extent across it."""
    area: float
    axis_ratio: float
    """Length by width of the ellipse of the same second moments."""
    skewness: float
    """Third moment along the axis by the cube of the standard deviation, at least 0: about 0 where
    the two ends are alike, so that either may count as the heavy one."""
    second: float
    """Area of the second largest region, as a share of that of the part."""
    contact: float
    """Length of its outline that lies at the border, by its width."""
    covered: float
    """Share of the photograph."""
    contrast: float
    """Difference of its most distinct pixels from the ground, by the least one of an edge that the
    noise of the ground allows: below 1 that noise decides where the part ends."""
    change: float
    """Largest relative change of the area with the difference that counts as an edge."""

    @property
    def unclear(self) -> str | None:
        """Why a photograph is none of a single long part on a ground; None where it is one."""
        if self.covered > LARGEST_SHARE or self.contact > LARGEST_CONTACT:
            return "the part is cut by the border, or covers most of the photograph"
        if self.second > LARGEST_SECOND:
            return "there are several parts"
        if self.contrast < 1 or self.change > LARGEST_CHANGE:
            return "the part does not stand out clearly from the ground"
        if self.axis_ratio <= LEAST_AXIS_RATIO:
            return "the part is too round to have a direction"
        return None


def find_pose(image: Image) -> Pose | None:
    """Find the part in a photograph, (H, W, 3); None where nothing differs from the ground."""
    from scipy import ndimage  # imports in 0.1 s, which photographs that are not turned are spared

    reduced = _reduced(image)
    height, width = reduced.shape[:2]
    scale = np.array([image.shape[0] / height, image.shape[1] / width])
    side = max(height, width)
    away, noise = _difference_from_ground(reduced, max(1, round(STRIP * side)))
    away = ndimage.gaussian_filter(away, SMOOTHING * side)
    least = max(NOISE * noise, 1.0)  # 1 of 255: a photograph of one colour
    beyond = away[away > least]
    if not len(beyond):
        return None
    distinct = float(np.quantile(beyond, DISTINCT))
    edge = max(least, EDGE * distinct)
    part, second = _largest_region(away > edge)
    area = int(part.sum())
    others = [away > max(least, share * distinct) for share in OTHER_EDGES]
    change = max(abs(_area_with(part, other) / area - 1) for other in others)
    contrast = EDGE * distinct / least
    return _pose_of(part, scale, second=second, change=change, contrast=contrast)


def _reduced(image: Image) -> NDArray[np.float32]:
    """The photograph with a longer side of SIDE_PX at most; one channel where it is grey."""
    factor = max(image.shape[:2]) / SIDE_PX
    if factor > 1:
        size = max(1, round(image.shape[0] / factor)), max(1, round(image.shape[1] / factor))
        picture = pillow.fromarray(image)
        image = np.asarray(across_then_down(picture, size, pillow.Resampling.BOX))
    is_grey = bool((image == image[..., :1]).all())
    return (image[..., :1] if is_grey else image).astype(np.float32)


def _difference_from_ground(image: NDArray[np.float32], strip: int) -> tuple[Plane, float]:
    """Distance of each pixel from the plane through the border strip, and the noise of that.

    -> (H, W), root mean square over the channels, and a standard deviation.
    """
    height, width = image.shape[:2]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, width, dtype=np.float32)[None]
    is_border = np.ones((height, width), dtype=np.bool_)
    is_border[strip : height - strip, strip : width - strip] = False
    rows, columns = np.nonzero(is_border)
    known = np.stack([np.ones(len(rows)), down[rows, 0], right[0, columns]], axis=1)
    seen = image[is_border].astype(np.float64)
    kept = _usual(np.abs(seen - np.median(seen, axis=0)).mean(axis=1))
    for _ in range(3):  # a part that reaches the border is dropped
        terms = known[kept]
        plane = np.linalg.solve(terms.T @ terms + 1e-9 * np.eye(3), terms.T @ seen[kept])
        left = seen - known @ plane
        kept = _usual(np.abs(left).mean(axis=1))
    total = np.zeros((height, width), dtype=np.float32)
    for channel in range(image.shape[2]):
        level, fall, slope = plane[:, channel].astype(np.float32)
        total += np.square(image[..., channel] - (level + fall * down + slope * right))
    return np.sqrt(total / image.shape[2]), float(np.sqrt(np.square(left[kept]).mean()))


def _usual(distances: NDArray[np.float64]) -> Mask:
    """True for all but the outliers: those above three times the 75 % quantile."""
    usual: Mask = distances <= 3 * np.quantile(distances, 0.75)
    return usual


def _largest_region(is_away: Mask) -> tuple[Mask, float]:
    """The largest region without its holes, and the area of the next one as a share of it."""
    from scipy import ndimage

    labels, count = ndimage.label(is_away)
    areas = np.bincount(labels.ravel())[1:]
    largest = int(areas.argmax())
    second = float(np.sort(areas)[-2] / areas[largest]) if count > 1 else 0.0
    return _filled(labels == largest + 1), second


def _area_with(part: Mask, is_away: Mask) -> int:
    """Area of the regions, without holes, that share pixels with the part."""
    from scipy import ndimage

    labels, count = ndimage.label(is_away)
    shared = np.zeros(count + 1, dtype=np.bool_)
    shared[np.unique(labels[part])] = True
    shared[0] = False
    return int(_filled(shared[labels]).sum())


def _filled(part: Mask) -> Mask:
    """A region without its holes: all but what the border can be reached from."""
    from scipy import ndimage

    labels, count = ndimage.label(~part)
    is_hole = np.ones(count + 1, dtype=np.bool_)
    for line in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        is_hole[line] = False
    filled: Mask = part | is_hole[labels]
    return filled


def _pose_of(
    part: Mask, scale: NDArray[np.float64], *, second: float, change: float, contrast: float
) -> Pose:
    """The pose of a region.

    Args:
        part: (h, w) of the reduced photograph.
        scale: (down, right) pixels of the photograph for one of those.
        second: see `Pose`.
        change: likewise.
        contrast: likewise.
    """
    points = (np.argwhere(part) + 0.5) * scale
    mean = points.mean(axis=0)
    about = points - mean
    variances, directions = np.linalg.eigh(about.T @ about / len(about))
    axis = directions[:, 1]
    along = about @ axis
    third = float((along**3).mean() / max((along**2).mean(), 1e-12) ** 1.5)
    # The heavy end lies near the mean, the light one far from it: the tail of the third moment.
    if third < 0:
        axis, along = -axis, -along
    normal = np.array([axis[1], -axis[0]])
    across = about @ normal
    pixel = float(np.sqrt(scale.prod()))
    length, width = (float(np.ptp(values)) + pixel for values in (along, across))
    middle = mean + axis * _middle(along) + normal * _middle(across)
    edges = (part[0].sum() + part[-1].sum()) * scale[1] + (
        part[:, 0].sum() + part[:, -1].sum()
    ) * scale[0]
    return Pose(
        centre=(float(middle[0]), float(middle[1])),
        axis=(float(axis[0]), float(axis[1])),
        length=length,
        width=width,
        area=float(len(points) * scale.prod()),
        axis_ratio=float(np.sqrt(variances[1] / max(variances[0], pixel**2 / 12))),
        skewness=abs(third),
        second=second,
        contact=float(edges / width),
        covered=float(part.mean()),
        contrast=contrast,
        change=change,
    )


def _middle(values: NDArray[np.float64]) -> float:
    return float(values.min() + values.max()) / 2
