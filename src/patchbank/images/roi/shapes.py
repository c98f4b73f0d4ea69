"""Shapes of which a region of interest is made: rectangles, polygons and masks."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import ImageError, ParameterError
from patchbank.images.mask_files import is_like_a_mask
from patchbank.images.masks import fits, read_mask, scaled_mask
from patchbank.images.roi.polygons import inside_polygon
from patchbank.types import Mask

ShapeInput: TypeAlias = "str | os.PathLike[str] | NDArray[Any] | Iterable[Any]"
"""A shape as a user gives it, or several; see `shapes_of`."""
FORMS = "X,Y,WIDTH,HEIGHT, points x,y x,y x,y, or a mask"
LARGEST_COORDINATE = 1e9
_NUMERIC = re.compile(r"[\d\s.,+eE-]*\d[\d\s.,+eE-]*")


@dataclass(frozen=True, slots=True)
class Polygon:
    """A polygon, or a rectangle, in pixels of a photograph."""

    points: tuple[tuple[float, float], ...]
    """Corners (x, y), from the outer corner of the first pixel."""
    text: str
    """The shape as it was given."""

    def to_json(self) -> dict[str, Any]:
        """The shape as JSON; see `shape_from_json`."""
        return {"points": self.points, "text": self.text}

    def mask(self, name: str, size: tuple[int, int]) -> Mask:
        """Pixels of the shape in photographs of (H, W).

        Raises:
            ParameterError: there is none.
        """
        inside = inside_polygon(np.array(self.points), size)
        if not inside.any():
            raise ParameterError(
                f"{name}: expected a shape with pixels of the photographs, which have {size[0]} x "
                f"{size[1]} (height x width), got {self.text}"
            )
        return inside

    def is_beyond(self, size: tuple[int, int]) -> bool:
        """Whether a part of it is outside of photographs of (H, W), by a pixel or more."""
        x, y = np.array(self.points).T
        height, width = size
        return bool(min(x.min(), y.min(), width - x.max(), height - y.max()) <= -1)


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask in a file: what is not black."""

    path: Path

    @property
    def text(self) -> str:
        """Name of the file."""
        return self.path.name

    def to_json(self) -> dict[str, Any]:
        """The shape as JSON; see `shape_from_json`."""
        return {"path": os.fspath(self.path)}

    def mask(self, name: str, size: tuple[int, int]) -> Mask:
        """Pixels of the shape in photographs of (H, W).

        Raises:
            ParameterError: it cannot be read, is no mask, has another aspect ratio, or shows
                nothing.
        """
        if not self.path.is_file():
            raise ParameterError(
                f"{name}: expected {FORMS}, got {str(self.path)!r}, which is no file"
            )
        try:
            mask = read_mask(self.path, size)
            if not is_like_a_mask(self.path):
                raise ImageError(
                    f"{self.path}: expected a mask of black and white, got a picture with many "
                    "grey levels"
                )
        except ImageError as error:
            raise ParameterError(f"{name}: {error}") from None
        if not mask.any():
            raise ParameterError(
                f"{name}: {self.path}: expected a mask that is not black somewhere, got all black"
            )
        return mask

    def is_beyond(self, size: tuple[int, int]) -> bool:
        """Whether a part of it is outside: never."""
        return False


@dataclass(frozen=True, slots=True, eq=False)
class MaskArray:
    """A mask in memory: what is not 0."""

    pixels: NDArray[Any]
    """(H, W)."""

    @property
    def text(self) -> str:
        """Size of the mask."""
        height, width = self.pixels.shape
        return f"a mask of {height} x {width} pixels (height x width)"

    def to_json(self) -> dict[str, Any]:
        """The shape as JSON; see `shape_from_json`."""
        bits = np.packbits(self.pixels != 0).tobytes()
        return {"shape": self.pixels.shape, "bits": base64.b64encode(bits).decode()}

    def mask(self, name: str, size: tuple[int, int]) -> Mask:
        """Pixels of the shape in photographs of (H, W).

        Raises:
            ParameterError: it has another aspect ratio, or no pixel that is not 0.
        """
        own = self.pixels.shape[0], self.pixels.shape[1]
        if not fits(own, size):
            raise ParameterError(
                f"{name}: expected a mask of {size[0]} x {size[1]} pixels (height x width, as the "
                f"photographs) or of this aspect ratio, got {own[0]} x {own[1]}"
            )
        mask = scaled_mask(self.pixels != 0, size)
        if not mask.any():
            raise ParameterError(f"{name}: expected a mask that is not 0 somewhere, got all 0")
        return mask

    def is_beyond(self, size: tuple[int, int]) -> bool:
        """Whether a part of it is outside: never."""
        return False


Shape: TypeAlias = Polygon | MaskFile | MaskArray


def shape_from_json(content: Mapping[str, Any]) -> Shape:
    """The shape whose `to_json` this is.

    >>> shape_from_json(Polygon(((0.0, 0.0), (9.0, 0.0), (9.0, 9.0)), "0,0 9,0 9,9").to_json()).text
    '0,0 9,0 9,9'
    """
    if "path" in content:
        return MaskFile(Path(content["path"]))
    if "points" in content:
        return Polygon(tuple((x, y) for x, y in content["points"]), content["text"])
    height, width = content["shape"]
    bits = np.frombuffer(base64.b64decode(content["bits"]), dtype=np.uint8)
    return MaskArray(np.unpackbits(bits, count=height * width).reshape(height, width) != 0)


def shapes_of(name: str, given: ShapeInput | None) -> tuple[Shape, ...]:
    """The shapes that a user gives.

    Args:
        name: of the option, for errors.
        given: None; or one shape: a text ``X,Y,WIDTH,HEIGHT`` or ``x,y x,y x,y``, the path of a
            mask, four numbers (x, y, width, height), three or more points (x, y), an array (n, 2)
            of them, an array (n, 4) of rectangles, or an array (H, W) of booleans or integers that
            is a mask; or several of these.

    Raises:
        ParameterError: it is none of these.

    >>> [shape.points for shape in shapes_of("roi", "10,20,30,40")]
    [((10.0, 20.0), (40.0, 20.0), (40.0, 60.0), (10.0, 60.0))]
    >>> [len(shape.points) for shape in shapes_of("roi", ["0,0 9,0 9,9", (1, 2, 3, 4)])]
    [3, 4]
    """
    if given is None:
        return ()
    if isinstance(given, (str, os.PathLike)):
        return (_of_text(name, os.fspath(given)),)
    if isinstance(given, np.ndarray):
        if given.ndim == 2 and given.shape[1] == 4 and given.dtype.kind in "iuf":
            return tuple(_of_array(name, row) for row in given)
        return (_of_array(name, given),)
    if not isinstance(given, Iterable):
        raise _another(name, given)
    parts = list(given)
    if _are_numbers(parts):
        return (_rectangle(name, parts, ",".join(f"{float(part):g}" for part in parts)),)
    if parts and all(_is_point(part) for part in parts):
        return (_polygon(name, [list(point) for point in parts]),)
    if not parts:
        raise _another(name, given)
    found: list[Shape] = []
    for part in parts:
        found += shapes_of(name, part)
    return tuple(found)


def _of_text(name: str, text: str) -> Shape:
    if not text.strip():
        raise _another(name, text)
    if not _NUMERIC.fullmatch(text) or Path(text).is_file():
        return MaskFile(Path(text))
    text = re.sub(r"\s*,\s*", ",", text.strip())
    try:
        pairs = [[float(number) for number in part.split(",")] for part in text.split()]
        if len(pairs) > 1 and all(len(pair) == 2 for pair in pairs):
            return _polygon(name, pairs)
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        raise _another(name, text) from None
    return _rectangle(name, numbers, text)


def _of_array(name: str, array: NDArray[Any]) -> Shape:
    is_number = array.dtype.kind in "iuf"
    if array.ndim == 2 and array.shape[1] == 2 and is_number and len(array) > 2:
        return _polygon(name, array.tolist())
    if array.shape == (4,) and is_number:
        return _rectangle(name, array.tolist(), ",".join(f"{part:g}" for part in array.tolist()))
    if array.ndim == 2 and array.size and array.dtype.kind in "biu":
        return MaskArray(array)
    raise ParameterError(
        f"{name}: expected {FORMS}, an array (H, W) of booleans or integers, got an array of "
        f"{array.dtype} of shape {array.shape}"
    )


def _rectangle(name: str, numbers: list[float], text: str) -> Polygon:
    if len(numbers) != 4 or not _are_coordinates(numbers) or min(numbers[2:]) <= 0:
        raise _another(name, text)
    left, top, width, height = map(float, numbers)
    right, bottom = left + width, top + height
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)), text)


def _polygon(name: str, points: list[list[float]]) -> Polygon:
    text = " ".join(",".join(f"{float(number):g}" for number in point) for point in points)
    if len(points) < 3 or not all(_are_coordinates(point) for point in points):
        raise _another(name, text)
    return Polygon(tuple((float(x), float(y)) for x, y in points), text)


def _are_coordinates(numbers: list[float]) -> bool:
    return all(abs(number) <= LARGEST_COORDINATE for number in numbers)  # NaN is not either


def _is_point(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and len(value) == 2 and _are_numbers(value)


def _are_numbers(values: Any) -> bool:
    return len(values) > 0 and all(
        isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        for value in values
    )


def _another(name: str, given: object) -> ParameterError:
    return ParameterError(f"{name}: expected {FORMS}, got {str(given)!r}")
