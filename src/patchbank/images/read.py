"""Reading photographs as they come, and bringing them to the size that the network sees."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageOps, UnidentifiedImageError

from patchbank.errors import ImageError, ShapeError
from patchbank.types import Image, Mask

ImageInput: TypeAlias = str | os.PathLike[str] | Image
"""A path, or an (H, W, 3) uint8 RGB array."""
Resize: TypeAlias = Literal["area", "short_side", "squash"]
Resampling: TypeAlias = Literal["bilinear", "bicubic", "lanczos"]

Decoded = TypeVar("Decoded")

SMALLEST_SIDE_PX = 8
SMALLEST_INPUT_PX = 224  # what the networks were trained on: smaller photographs are enlarged to it


def read_image(source: ImageInput) -> Image:
    """Read one photograph as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Grey, palette, CMYK and 16-bit images are converted (16 bits keep their upper eight);
    transparent pixels become black; of several frames the first is taken.

    Raises:
        ImageError: the file cannot be read whole, or is no image, or its size is out of bounds.
        ShapeError: an array is not (H, W, 3) uint8.
    """
    if isinstance(source, np.ndarray):
        return _check_array(source)
    return np.asarray(_decoded(Path(source), _rgb))


def n_pixels(source: ImageInput) -> int:
    """How many pixels a photograph has, from the head of its file; 0 where that tells nothing."""
    if isinstance(source, np.ndarray):
        return source.size // 3
    try:
        with pillow.open(source) as opened:
            return opened.width * opened.height
    except Exception:  # whatever is wrong with it, `read_image` says it
        return 0


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Read a ground-truth mask: True where it is not black.  -> (H, W) of the photograph's size.

    Of a folder of masks (MVTec LOCO AD has one an image) it is their union.

    Raises:
        ImageError: a file cannot be read, or has another size than its photograph, or a folder
            is empty.
    """
    if not path.is_dir():
        return _one_mask(path, size)
    files = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
    if not files:
        raise ImageError(f"{path}: expected at least one mask in the folder, got none")
    union: Mask = np.logical_or.reduce([_one_mask(file, size) for file in sorted(files)])
    return union


def _one_mask(path: Path, size: tuple[int, int]) -> Mask:
    mask: Mask = _decoded(path, _not_black)
    if mask.shape != size:
        raise ImageError(
            f"{path}: expected a mask of {size[0]} x {size[1]} pixels (height x width, as its "
            f"photograph), got {mask.shape[0]} x {mask.shape[1]}"
        )
    return mask


def shows_anything(path: Path) -> bool:
    """Whether a mask is not black all over: in some data sets it is the label.

    Raises:
        ImageError: the file cannot be read.
    """
    return _decoded(path, lambda _, opened: bool(_mask_values(opened).any()))


def _decoded(path: Path, convert: Callable[[Path, pillow.Image], Decoded]) -> Decoded:
    """Open an image, convert it, and name what is wrong with it in one line."""
    try:
        with pillow.open(path) as opened:
            _check_size(path, opened.size)
            return convert(path, opened)
    except ImageError:
        raise
    except UnidentifiedImageError:
        what = "an empty file" if path.stat().st_size == 0 else "something else"
        raise ImageError(
            f"{path}: expected a PNG, JPEG, TIFF, BMP or WebP image, got {what}"
        ) from None
    except pillow.DecompressionBombError as error:
        raise ImageError(
            f"{path}: expected an image that memory can hold, got a decompression bomb ({error}); "
            "cut a photograph of honest size into parts"
        ) from None
    except OSError as error:
        raise ImageError(f"{path}: expected a readable image, got: {_reason(error)}") from None
    except Exception as error:  # decoders raise many types on damaged files
        reason = f"{type(error).__name__}: {error}"
        raise ImageError(f"{path}: expected a readable image, got: {reason}") from None


def input_size(
    size: tuple[int, int],
    image_size: int | tuple[int, int],
    resize: Resize,
    multiple: int,
    max_upscale: float,
) -> tuple[int, int]:
    """The (H, W) to which a photograph of (H, W) pixels is resized.

    Args:
        size: of the photograph.
        image_size: (H, W), or a side; what that means, `resize` says.
        resize: ``area``: the shape is kept, and the side is the root of the area, so that every
            photograph costs alike; ``short_side``: the shape is kept, and the side is the shorter
            one; ``squash``: height and width become the side.
        multiple: height and width are rounded to multiples of this.
        max_upscale: a side means at most so many times that of the photograph (but 224
            pixels at least): more would cost time and add no information.  A given height and
            width is taken as it is.

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
        elif resize == "short_side":  # the long one is cut off to whole pixels, as torchvision does
            height, width = float(int(height)), float(int(width))
    return to_multiple(height, multiple), to_multiple(width, multiple)


def resized(image: Image, size: tuple[int, int], resampling: Resampling = "bilinear") -> Image:
    """Resize to (H, W), anti-aliased."""
    if image.shape[:2] == size:
        return image
    height, width = size
    filter_ = pillow.Resampling[resampling.upper()]
    return np.asarray(pillow.fromarray(image).resize((width, height), filter_))


def to_multiple(side: float, multiple: int) -> int:
    """The multiple nearest to `side`, at least one."""
    return max(1, round(side / multiple)) * multiple


def _rgb(path: Path, opened: pillow.Image) -> pillow.Image:
    ImageOps.exif_transpose(opened, in_place=True)  # not copied where it stays as it is
    image = opened
    sixteen_bits = image.mode.startswith("I;16")
    if image.mode == "I" and opened.format == "PNG":  # older versions of Pillow open 16 bits so
        sixteen_bits = True
    if sixteen_bits:
        image = pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        kind = "32-bit whole" if image.mode == "I" else "floating-point"
        raise ImageError(f"{path}: expected 8 or 16 bits a channel, got {kind} numbers")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = pillow.new("RGBA", image.size, (0, 0, 0, 255))
        image = pillow.alpha_composite(black, image)
    image.load()  # before the file is closed
    return image if image.mode == "RGB" else image.convert("RGB")


def _not_black(path: Path, opened: pillow.Image) -> Mask:
    values = _mask_values(opened)
    mask: Mask = values != 0 if values.ndim == 2 else (values != 0).any(axis=2)
    return mask


def _mask_values(opened: pillow.Image) -> NDArray[Any]:
    plain = opened.mode in ("1", "L", "F") or opened.mode.startswith("I")
    return np.asarray(opened if plain else opened.convert("RGB"))


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < SMALLEST_SIDE_PX:
        raise ImageError(
            f"{path}: expected at least {SMALLEST_SIDE_PX} x {SMALLEST_SIDE_PX} pixels, "
            f"got {width} x {height}"
        )


def _check_array(array: NDArray[Any]) -> Image:
    if array.ndim != 3 or array.shape[2] != 3 or min(array.shape[:2]) < SMALLEST_SIDE_PX:
        raise ShapeError(
            f"image: expected (H, W, 3) of at least {SMALLEST_SIDE_PX} x {SMALLEST_SIDE_PX} "
            f"pixels, got {array.shape}"
        )
    if array.dtype != np.uint8:
        hint = ""
        if array.dtype.kind == "f":
            hint = "; it holds NaN" if np.isnan(array).any() else "; scale to 0..255 and convert it"
        raise ShapeError(f"image: expected uint8 RGB from 0 to 255, got {array.dtype}{hint}")
    return array


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
