"""Read ground-truth masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.errors import ImageError
from patchbank.images.decode import decoded
from patchbank.types import Mask


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Read a ground-truth mask: True where it is not black.  -> (H, W), `size` of its photograph.

    For a folder of masks (MVTec LOCO AD has one for each image) it is their union.

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
    mask: Mask = decoded(str(path), path, _not_black)
    if mask.shape != size:
        raise ImageError(
            f"{path}: expected a mask of {size[0]} x {size[1]} pixels (height x width, as its "
            f"photograph), got {mask.shape[0]} x {mask.shape[1]}"
        )
    return mask


def shows_anything(path: Path) -> bool:
    """Whether a mask has a pixel that is not black: in some data sets that is the label.

    Raises:
        ImageError: the file cannot be read.
    """
    return decoded(str(path), path, lambda _, opened: bool(_mask_values(opened).any()))


def _not_black(_: str, opened: pillow.Image) -> Mask:
    values = _mask_values(opened)
    mask: Mask = values != 0 if values.ndim == 2 else (values != 0).any(axis=2)
    return mask


def _mask_values(opened: pillow.Image) -> NDArray[Any]:
    plain = opened.mode in ("1", "L", "F") or opened.mode.startswith("I")
    return np.asarray(opened if plain else opened.convert("RGB"))
