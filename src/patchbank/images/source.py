"""Sources of images: read them from paths, bytes, file objects, Pillow images and arrays."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.errors import ImageError, ImageTypeError, ShapeError
from patchbank.images.arrays import RGB_LAST, ArrayLayout, is_array, laid_out, rgb_array
from patchbank.images.bit_depth import FULL, DeepPixels, is_deep_array
from patchbank.images.decode import (
    Pixels,
    copied,
    decoded,
    decoded_with_facts,
    reason_of,
    rgb,
)
from patchbank.images.file_facts import FileFacts, facts_of_array
from patchbank.images.opening import Header, header_of
from patchbank.types import Image

Decoded = TypeVar("Decoded")


ACCEPTED = (
    "a path, an array (uint8 or uint16, in RGB order), bytes, a file object or a Pillow image"
)


@dataclass(frozen=True, slots=True, eq=False)
class ImageSource:
    """One image that can be read, with the name that results and errors give it.

    Made by `image_source`.  The contents of a file object are read when it is made, and once.
    """

    name: str
    content: Path | bytes | pillow.Image | NDArray[Any] | ImageError | ShapeError
    """The error, where contents could not be read: `read` raises it.  An array has the axes that
    `images.arrays.laid_out` returns."""
    state: tuple[int, int] | None = None
    """(time of modification in ns, bytes) of the file at a path when `read_once` read it."""
    bit_depth: int = FULL
    """Bits that are in use where the file has 16 a channel, as `read_once` read it."""
    facts: FileFacts | None = None
    """Facts of the file, of the one time that it was read; None for one that is not read yet."""

    @property
    def n_pixels(self) -> int:
        """Number of pixels, from the header of the file; 0 if that cannot be read."""
        header = self.header
        return header.height * header.width

    @property
    def header(self) -> Header:
        """Size and kind, from the header of the file; a size of 0 if that cannot be read."""
        content = self.content
        if isinstance(content, np.ndarray):
            height, width = content.shape[:2]
            return Header(height, width, is_deep_array(content))
        if isinstance(content, pillow.Image):
            return Header(content.height, content.width, content.mode.startswith("I;16"))
        if isinstance(content, (ImageError, ShapeError)):
            return Header(0, 0, False)
        try:
            return header_of(self.name, content)
        except Exception:  # `read` raises the error and names the reason
            return Header(0, 0, False)

    @property
    def largest_deep_value(self) -> int | None:
        """Largest value of a photograph of 16 bits a channel; None for others.

        Raises:
            ImageError: it cannot be read.
        """
        content = self.content
        if isinstance(content, (ImageError, ShapeError)):
            raise content
        if isinstance(content, np.ndarray):
            colours = content[..., :3] if content.ndim == 3 else content  # without alpha
            return int(colours.max(initial=0)) if is_deep_array(content) else None
        return decoded(self.name, content, _largest_deep_value)

    def read(self, bit_depth: int | None = None) -> Image:
        """Read it as (H, W, 3) uint8 RGB; see `read_image`.

        Args:
            bit_depth: bits that are in use where there are 16; None for the source's own.

        Raises:
            ImageError: it cannot be read, or is not the file any more that was read before, or
                values need more bits.
            ShapeError: an array has other axes than an image.
        """
        return self.read_with_facts(bit_depth)[0]

    def read_with_facts(self, bit_depth: int | None = None) -> tuple[Image, FileFacts]:
        """Read it, as `read`, and return the facts of the file, which is read once for both."""
        depth = self.bit_depth if bit_depth is None else bit_depth
        if isinstance(self.content, np.ndarray):
            return rgb_array(self.name, self.content, depth), facts_of_array(self.content)
        if isinstance(self.content, (ImageError, ShapeError)):
            raise self.content
        if self.has_changed:
            raise ImageError(
                f"{self.name}: expected the file that was inspected, got a changed one; "
                "inspect it again, or keep the image (keep_image=True)"
            )
        return decoded_with_facts(self.name, self.content, partial(rgb, bit_depth=depth))

    @property
    def has_changed(self) -> bool:
        """Whether the file at a path is not the one any more that `read_once` read."""
        return self.state is not None and self.state != _state(self.content)

    def read_once(self, bit_depth: int | None = None) -> tuple[Image, ImageSource]:
        """Read it, and return a source that gives these pixels again, or an error.

        That of a file refuses to read it if it changed since; that of an array holds a copy of its
        pixels, because the memory of a camera is used again for the next photograph.
        """
        depth = self.bit_depth if bit_depth is None else bit_depth
        state = _state(self.content)
        image, facts = self.read_with_facts(depth)
        if isinstance(self.content, np.ndarray):
            if np.may_share_memory(image, self.content):
                image = image.copy()
            return image, replace(self, content=image, facts=facts)
        return image, replace(self, state=state or self.state, bit_depth=depth, facts=facts)

    def without_pixels(self) -> ImageSource:
        """The source without contents in memory: files are read again, nothing else can be."""
        if isinstance(self.content, (Path, ImageError, ShapeError)):
            return self
        error = ImageError(
            f"{self.name}: expected pixels, got an inspection that has none any more; draw it "
            "before `without_pixels`, or in the function that is given to `inspect_with`"
        )
        return replace(self, content=error)


ImageInput: TypeAlias = (
    str
    | os.PathLike[str]
    | NDArray[np.uint8]
    | NDArray[np.uint16]
    | bytes
    | BinaryIO
    | pillow.Image
    | ImageSource
)
"""A path, the bytes of an image file, a file object opened in binary mode, a Pillow image, or an
array of uint8 or uint16: (H, W), (H, W, 1), (H, W, 3) in the order RGB, or (H, W, 4) with alpha.  A
tensor of torch is accepted too, where `ArrayLayout` says which axis the channels are."""


def image_source(
    image: ImageInput, name: str | None = None, layout: ArrayLayout = RGB_LAST
) -> ImageSource:
    """Name an image and, unless it is a path or an array, take its contents.

    Args:
        image: to name.  A file object is read to its end, from where it stands; a Pillow image is
            decoded.  If that fails, or it is none of these, `ImageSource.read` raises the error.
        name: in results and errors; None takes the path or the name of the file object, otherwise
            ``array``, ``bytes``, ``file`` or ``image``.
        layout: of the axes of an array or a tensor.
    """
    if isinstance(image, ImageSource):
        return image if name is None else replace(image, name=name)
    if is_array(image):
        name = name or "array"
        return ImageSource(name, _content_or_error(name, partial(laid_out, name, image, layout)))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return ImageSource(name or "bytes", bytes(image))
    if isinstance(image, pillow.Image):
        shown = name or os.fspath(getattr(image, "filename", "")) or "image"
        return ImageSource(shown, _content_or_error(shown, lambda: copied(image)))
    if isinstance(image, (str, os.PathLike)):
        try:
            return ImageSource(name or str(image), path_of(image))
        except ImageError as error:
            return ImageSource(name or "image", error)
    if is_file_object(image):
        shown = name or _file_name(image)
        file = cast(BinaryIO, image)
        return ImageSource(shown, _content_or_error(shown, lambda: _file_content(shown, file)))
    name = name or "image"
    return ImageSource(
        name, ImageTypeError(f"{name}: expected {ACCEPTED}, got {shown_type(image)}")
    )


def path_of(given: str | os.PathLike[str]) -> Path:
    """Return a path that was given.

    Raises:
        ImageError: the text is empty, which `Path` would take for the working directory.
    """
    if given == "":
        raise ImageError('image: expected a path, got an empty text; the working directory is "."')
    return Path(given)


def is_one_image(image: object) -> bool:
    """Whether it is one image and not a collection of them; a path may still be a folder."""
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, pillow.Image, ImageSource)
    return isinstance(image, kinds) or is_array(image) or is_file_object(image)


def shown_type(given: object) -> str:
    """The type of an object that is no image, and what to do with one that converts to an array."""
    kind = type(given)
    is_known = kind.__module__ in ("builtins", "__main__")
    found = kind.__name__ if is_known else f"{kind.__module__}.{kind.__name__}"
    return f"{found}; give np.asarray(image)" if hasattr(kind, "__array__") else found


def is_file_object(image: object) -> bool:
    """Whether it is a file object, that is: whether it can be read."""
    return callable(getattr(image, "read", None)) and not isinstance(image, ImageSource)


def read_image(source: ImageInput, name: str | None = None, bit_depth: int = FULL) -> Image:
    """Read one image as (H, W, 3) uint8 RGB, turned as its orientation says.

    Grey, palette, CMYK and 16-bit images are converted (16 bits keep the upper eight of those that
    are in use); transparent pixels become black; the first of several frames or pages is used;
    colour profiles are ignored.  So are arrays.

    Args:
        source: path, array, bytes, file object or Pillow image.
        name: of the image in errors; None for its own.
        bit_depth: bits that are in use where there are 16.

    Raises:
        ImageError: the file cannot be read whole, or is no image, or its size is out of bounds.
        ShapeError: an array has other axes than an image.
    """
    return image_source(source, name).read(bit_depth)


def n_pixels(source: ImageInput) -> int:
    """Number of pixels of an image, from the header of its file; 0 if that cannot be read.

    A file object is read to its end for that: make an `image_source` of it first.
    """
    return image_source(source).n_pixels


def _state(content: object) -> tuple[int, int] | None:
    if not isinstance(content, Path):
        return None
    try:
        found = content.stat()
    except (OSError, ValueError):  # reading names the reason
        return None
    return found.st_mtime_ns, found.st_size


def _content_or_error(name: str, get: Callable[[], Decoded]) -> Decoded | ImageError | ShapeError:
    """The contents, or the error that reading the image shall raise."""
    try:
        return get()
    except (ImageError, ShapeError) as error:
        return error.with_traceback(None)
    except Exception as error:  # file objects of any kind raise any type
        reason = (
            reason_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        )
        return ImageError(f"{name}: expected a readable image, got: {reason}")


def _largest_deep_value(_: str, pixels: Pixels) -> int | None:
    return pixels.largest if isinstance(pixels, DeepPixels) else None


def _file_content(name: str, file: BinaryIO) -> bytes:
    content: object = None if isinstance(file, io.TextIOBase) else file.read()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        found = "text mode" if content is None else f"{type(content).__name__} from its `read`"
        raise ImageError(f'{name}: expected a file object in binary mode ("rb"), got {found}')
    return bytes(content)


def _file_name(file: object) -> str:
    found = getattr(file, "name", None)
    if isinstance(found, bytes):
        return os.fsdecode(found)
    return str(found) if isinstance(found, (str, os.PathLike)) and str(found) else "file"
