"""The size at which the network sees an image, and resizing to it."""

from __future__ import annotations

import numpy as np
from PIL import Image as pillow

from patchbank.choices import Resampling, Resize
from patchbank.core.rounding import settled
from patchbank.types import Image

SMALLEST_INPUT_PX = (
    224  # side on which the networks were trained: smaller images are enlarged to it
)


def input_size(
    size: tuple[int, int],
    image_size: int | tuple[int, int],
    resize: Resize,
    multiple: int,
    max_upscale: float,
) -> tuple[int, int]:
    """The (H, W) to which an image of (H, W) pixels is resized.

    Args:
        size: (H, W) of the image.
        image_size: (H, W), or one side whose meaning depends on `resize`.
        resize: ``area``: the aspect ratio is kept, and the side is the root of the area, so that
            every image takes the same time; ``short_side``: the aspect ratio is kept, and the side
            is the shorter one; ``squash``: height and width become the side.
        multiple: height and width are rounded to multiples of this.
        max_upscale: a side is limited to so many times that of the image (but not below 224
            pixels): more would take time and add no information.  A given (H, W) is not limited.

    >>> input_size((600, 1200), 320, "area", 16, 1.25)
    (224, 448)
    >>> input_size((600, 1200), 320, "short_side", 16, 1.25)
    (320, 640)
    >>> input_size((600, 1200), 320, "squash", 16, 1.25)
    (320, 320)
    >>> input_size((240, 240), 448, "area", 16, 1.25)  # 1.25 x 240 = 300
    (304, 304)
    """
    if isinstance(image_size, tuple):
        height, width = float(image_size[0]), float(image_size[1])
    else:
        own = float(min(size)) if resize == "short_side" else (size[0] * size[1]) ** 0.5
        side = min(float(image_size), max(own * max_upscale, SMALLEST_INPUT_PX))
        height, width = size[0] * side / own, size[1] * side / own
        if resize == "squash":
            height = width = side
        elif resize == "short_side":
            # The long side is truncated to an integer, as torchvision does.
            height, width = float(int(settled(height))), float(int(settled(width)))
    return to_multiple(height, multiple), to_multiple(width, multiple)


def resized(image: Image, size: tuple[int, int], resampling: Resampling = "bilinear") -> Image:
    """Resize an image to (H, W), anti-aliased."""
    if image.shape[:2] == size:
        return image
    filter_ = pillow.Resampling[resampling.upper()]
    return np.asarray(across_then_down(pillow.fromarray(image), size, filter_))


def across_then_down(
    picture: pillow.Image, size: tuple[int, int], filter_: pillow.Resampling
) -> pillow.Image:
    """Resize a picture to (H, W) in two passes: first its width, then its height.

    Pixels are rounded between the passes, so that their order matters by a few grey levels.
    Pillow 13 chooses it by cost, older versions always filter across first.
    """
    height, width = size
    return picture.resize((width, picture.height), filter_).resize((width, height), filter_)


def to_multiple(side: float, multiple: int) -> int:
    """The multiple nearest to `side`, at least one; between two of them the even one.

    >>> to_multiple(120.0, 16), to_multiple(119.99999999999999, 16), to_multiple(119.9, 16)
    (128, 128, 112)
    """
    return max(1, round(settled(side / multiple))) * multiple
