"""Images that are arrays or tensors: what is accepted, and how it becomes (H, W, 3) uint8 RGB."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.choices import ChannelAxis, ColourOrder
from patchbank.errors import ImageTypeError, ParameterError, ShapeError
from patchbank.images.bit_depth import FULL, DeepPixels, is_deep_array, to_8_bits
from patchbank.images.decode import rgb
from patchbank.images.limits import SMALLEST_SIDE_PX
from patchbank.types import Image

CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """The meaning of the axes of arrays and tensors that a caller gives as images.

    Args:
        colour_order: of the channels: ``rgb``, or ``bgr`` as OpenCV has it.
        channels: which axis of an image they are: ``last``, (H, W, C), or ``first``, (C, H, W).
            None is ``last`` for arrays; tensors must say it.

    Raises:
        ParameterError: another word.
    """

    colour_order: ColourOrder = "rgb"
    channels: ChannelAxis | None = None

    def __post_init__(self) -> None:
        if self.colour_order not in get_args(ColourOrder):
            raise ParameterError(f"colour_order: expected rgb or bgr, got {self.colour_order!r}")
        if self.channels is not None and self.channels not in get_args(ChannelAxis):
            raise ParameterError(f"channels: expected first or last, got {self.channels!r}")


RGB_LAST = ArrayLayout()


def is_array(image: object) -> bool:
    """Whether it is a numpy array or a tensor of torch."""
    return isinstance(image, np.ndarray) or is_tensor(image)


def is_tensor(image: object) -> bool:
    """Whether it is a tensor of torch, which is not imported for that."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(image, kind)


def laid_out(name: str, image: Any, layout: ArrayLayout) -> NDArray[Any]:
    """View an array or a tensor as (H, W) or (H, W, C) in the order RGB; nothing is copied.

    Args:
        name: of the image in errors.
        image: (H, W), or a third axis of 1, 3 or 4 channels; of uint8 or uint16.
        layout: of its axes.

    Raises:
        ImageTypeError: other numbers, or a tensor whose layout is not given.
        ShapeError: other axes, or too few pixels.
    """
    array = _numbers(name, image, layout)
    if array.ndim == 3 and layout.channels == "first":
        array = array.transpose(1, 2, 0)
    _check_shape(name, array, tuple(image.shape), layout)
    if layout.colour_order == "bgr" and array.ndim == 3 and array.shape[2] > 1:
        array = array[..., [2, 1, 0, 3]] if array.shape[2] == 4 else array[..., ::-1]
    return array


def rgb_array(name: str, array: NDArray[Any], bit_depth: int = FULL) -> Image:
    """Convert what `laid_out` returned to (H, W, 3) uint8; such an array is returned itself.

    Grey is repeated, alpha is composited on black as that of files is, and 16 bits keep the upper
    eight of those that are in use.

    Raises:
        ImageError: values need more than `bit_depth` bits.
    """
    if is_deep_array(array):
        if array.ndim == 3 and array.shape[2] == 4:
            alpha = (array[..., 3] >> 8).astype(np.uint8)
            return rgb(name, DeepPixels(array[..., :3], alpha), bit_depth)
        array = to_8_bits(array, bit_depth, name)
    if array.ndim == 3 and array.shape[2] == 4:
        return rgb(name, pillow.fromarray(np.ascontiguousarray(array)))
    if array.ndim == 2 or array.shape[2] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return array


def stacked(stack: Any) -> list[Any] | None:
    """The images of a stack, (N, H, W, C) or (N, C, H, W); None for anything else."""
    return list(stack) if is_array(stack) and stack.ndim == 4 else None


def _numbers(name: str, image: Any, layout: ArrayLayout) -> NDArray[Any]:
    """The numbers of an array or a tensor, if they are of a type that is accepted."""
    kind = str(image.dtype).removeprefix("torch.")
    if isinstance(image, np.ma.MaskedArray):
        raise ImageTypeError(
            f"{name}: expected an array without a mask, got a masked one; give image.filled(0)"
        )
    if kind not in ("uint8", "uint16", ">u2"):
        cure = _conversion(kind, "torch" if is_tensor(image) else "np")
        raise ImageTypeError(f"{name}: expected uint8 from 0 to 255, or uint16, got {kind}; {cure}")
    if is_tensor(image) and layout.channels is None:
        raise ImageTypeError(
            f"{name}: expected a tensor with the axis of its channels, got "
            f'{tuple(image.shape)}; give channels="first" or channels="last"'
        )
    return np.asarray(image.detach().cpu().numpy() if is_tensor(image) else image)


def _conversion(kind: str, module: str) -> str:
    """The conversion to write for an array of other numbers."""
    to = f"to({module}." if module == "torch" else f"astype({module}."
    if "float" in kind:
        return f"if it is from 0 to 1, give (255 * image).round().{to}uint8)"
    if kind == "bool":
        return f"if true is white, give 255 * image.{to}uint8)"
    if kind == "int8":
        return f"if it is from -128 to 127, give (image.{to}int16) + 128).{to}uint8)"
    if "int" in kind or kind.startswith((">i", ">u")):
        return f"if it is from 0 to 255, give image.{to}uint8)"
    return "give the numbers of its pixels, or paths as a list of texts"


def _check_shape(
    name: str, array: NDArray[Any], given: tuple[int, ...], layout: ArrayLayout
) -> None:
    """Check the axes of one image whose channels are last, if it has any."""
    is_grey, is_colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in CHANNELS
    if not (is_grey or is_colour):
        hint = ""
        if array.ndim == 4:
            hint = "; predict_each inspects the images of a stack"
        elif array.ndim == 3 and layout.channels != "first" and given[0] in CHANNELS:
            hint = '; give channels="first" for (C, H, W)'
        elif array.ndim == 3 and layout.channels != "first":
            hint = "; a stack of grey images is (N, H, W, 1)"
        raise ShapeError(
            f"{name}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {given}{hint}"
        )
    if min(array.shape[:2]) < SMALLEST_SIDE_PX:
        raise ShapeError(
            f"{name}: expected at least {SMALLEST_SIDE_PX} x {SMALLEST_SIDE_PX} pixels, got {given}"
        )
