"""Photographs as files that are sent: bytes as they are, arrays without loss."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import DataError

Photograph: TypeAlias = str | os.PathLike[str] | bytes | NDArray[np.uint8] | NDArray[np.uint16]
"""Path, bytes of an image file, or an array (H, W), (H, W, 3) or (H, W, 4) in the order RGB."""


def file_of(photograph: Photograph, name: str | None) -> tuple[str, bytes]:
    """Name and content of the file that is sent.

    Raises:
        DataError: a file cannot be read, or an object is no photograph.
    """
    if isinstance(photograph, bytes):
        return name or "bytes", photograph
    if isinstance(photograph, np.ndarray):
        return name or "array", _encoded(photograph)
    try:
        path = Path(photograph)
        return name or str(path), path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{photograph}: expected a file, got: {reason}") from None
    except TypeError:
        raise DataError(
            f"photograph: expected a path, bytes or an array, got {type(photograph).__name__}"
        ) from None


def _encoded(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A file with the values of an array: PNG for 8 bits, TIFF for 16."""
    layers = image.shape[2:]
    if image.ndim not in (2, 3) or layers not in ((), (3,), (4,)) or 0 in image.shape:
        raise DataError(
            f"photograph: expected an array (H, W), (H, W, 3) or (H, W, 4), got {image.shape}"
        )
    stream = io.BytesIO()
    if image.dtype == np.uint8:
        from PIL import Image

        Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG", compress_level=1)
    elif image.dtype == np.uint16:
        import tifffile

        kinds = {(): {"photometric": "minisblack"}, (3,): {"photometric": "rgb"}}
        kind = kinds.get(layers, {"photometric": "rgb", "extrasamples": ["unassalpha"]})
        tifffile.imwrite(stream, np.ascontiguousarray(image), **kind)
    else:
        raise DataError(f"photograph: expected an array of uint8 or uint16, got {image.dtype}")
    return stream.getvalue()
