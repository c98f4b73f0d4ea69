"""Read ground-truth masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.errors import ImageError
from patchbank.images.bit_depth import DeepPixels
from patchbank.images.decode import Pixels, decoded
from patchbank.images.formats import SUFFIXES
from patchbank.images.opening import header_of, is_lossy
from patchbank.runtime.printable import one_line
from patchbank.types import Mask

LARGEST_NOISE = 16
"""Largest value, of 255, that lossy compression gives to black pixels far from an edge."""


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Read a ground-truth mask: True where it shows a defect.  -> (H, W), `size` of its photograph.

    A defect is what is not black.  What is transparent is none, unless all is black: then the
    opacity is the mask.  In a palette without black the first colour is the background.  In lossy
    formats, whose edges have shadows, a defect is brighter than half of the brightest pixel.

    A mask of another size with the same aspect ratio is enlarged or reduced: each pixel takes the
    value of the mask at its centre.  For a folder of masks (MVTec LOCO AD has one for each image)
    it is their union.

    Raises:
        ImageError: a file cannot be read, or has another aspect ratio than its photograph, or a
            folder has no mask.
    """
    union: Mask = np.logical_or.reduce([_one_mask(file, size) for file in files_of_mask(path)])
    return union


def files_of_mask(path: Path) -> list[Path]:
    """The files of a mask: itself, or those in a folder of them.

    Raises:
        ImageError: a folder has no mask.
    """
    if not path.is_dir():
        return [path]
    files = [p for p in path.iterdir() if _is_mask(p)]
    if not files:
        raise ImageError(f"{path}: expected at least one mask in the folder, got none")
    return sorted(files)


def shows_anything(path: Path) -> bool:
    """Whether a mask shows a defect: in some data sets that is the label.

    Raises:
        ImageError: the file cannot be read.
    """
    return bool(_defects(path).any())


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of an image file as it is read, from its header.

    Raises:
        ImageError: the header cannot be read.
    """
    try:
        header = header_of(str(path), path)
    except ImageError:
        raise
    except Exception as error:
        reason = one_line(str(error)) or type(error).__name__
        raise ImageError(f"{path}: expected a readable image, got: {reason}") from None
    return header.height, header.width


def fits(mask: tuple[int, int], photograph: tuple[int, int]) -> bool:
    """Whether a mask of one size can be used for a photograph of another: both are (H, W).

    Their aspect ratios are the same, to the pixel that rounding takes.

    >>> fits((333, 500), (667, 1000)), fits((500, 333), (667, 1000))
    (True, False)
    """
    (height, width), (tall, wide) = sorted((mask, photograph))
    if min(height, width) < 1:
        return False
    return abs(height * wide / tall - width) < 1 or abs(width * tall / wide - height) < 1


def scaled_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask at another size, (H, W): each pixel takes the value of the mask at its centre.

    >>> scaled_mask(np.array([[True, False, False]]), (2, 6)).astype(int).tolist()
    [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    """
    if mask.shape == size:
        return mask
    rows, columns = (
        (2 * np.arange(n) + 1) * own // (2 * n) for n, own in zip(size, mask.shape, strict=True)
    )
    scaled: Mask = mask[rows[:, None], columns]
    return scaled


def _is_mask(path: Path) -> bool:
    is_named_so = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return is_named_so and path.is_file()


def _one_mask(path: Path, size: tuple[int, int]) -> Mask:
    mask = _defects(path)
    if mask.shape != size and not fits((mask.shape[0], mask.shape[1]), size):
        raise ImageError(
            f"{path}: expected a mask of {size[0]} x {size[1]} pixels (height x width, as its "
            f"photograph) or of this aspect ratio, got {mask.shape[0]} x {mask.shape[1]}"
        )
    return scaled_mask(mask, size)


def _defects(path: Path) -> Mask:
    """Pixels that show a defect, in the mask's own size."""
    values = decoded(str(path), path, _brightness)
    if not values.any() or not is_lossy(str(path), path):
        defects: Mask = values != 0
        return defects
    brightest = float(values.max())
    if brightest <= LARGEST_NOISE:
        raise ImageError(
            f"{path}: expected a mask whose defects are white, got values of up to {brightest:g} "
            "in a lossy format, where they may be noise; store it as PNG"
        )
    bright: Mask = values > brightest / 2
    return bright


def _brightness(_: str, pixels: Pixels) -> NDArray[Any]:
    """(H, W) values, 0 for the background."""
    if isinstance(pixels, DeepPixels):
        colours, alpha = pixels.values, pixels.alpha
        if pixels.is_inverted:
            colours = ~colours
    else:
        image = _by_index(pixels)
        if image.mode == "La":
            image = image.getchannel(0)
        alpha = None
        if image.has_transparency_data:
            image = image.convert("RGBA")
            alpha = np.asarray(image.getchannel(3))
        plain = image.mode in ("1", "L", "F", "I")
        colours = np.asarray(image if plain else image.convert("RGB"))
    values = colours if colours.ndim == 2 else colours.max(axis=2)
    if alpha is None:
        return values
    if not values.any():  # black paint: drawn where it is opaque
        is_drawn = alpha.min() < alpha.max()
        return np.where(alpha > 127, 255, 0) if is_drawn else values
    return np.where(alpha > 127, values, 0)


def _by_index(image: pillow.Image) -> pillow.Image:
    """An image with a palette without black, as its indices; another one as it is."""
    palette = image.getpalette() if image.mode == "P" else None
    if palette is None:
        return image
    indices = np.asarray(image)
    used = np.unique(indices)
    colours = np.resize(np.array(palette, np.uint8), (256, 3))[used]
    has_black = bool((colours == 0).all(axis=1).any())
    return image if has_black or used[0] != 0 else pillow.fromarray(indices)
