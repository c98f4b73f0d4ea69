"""Compare the sizes of masks and photographs by their headers, before anything is inspected."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as pillow

from patchbank.datasets import Dataset
from patchbank.errors import DataError, ImageError

EXIF_ORIENTATION = 0x0112
LYING = range(5, 9)  # orientations that exchange height and width


def check_masks(dataset: Dataset) -> str | None:
    """The reason why pixels cannot be compared, in one line; None if all masks fit.

    Photographs whose header cannot be read are skipped: inspecting them gives the reason.
    """
    wrong: list[str] = []
    n_masks = 0
    for sample in dataset.samples:
        for mask in _files(sample.mask):
            n_masks += 1
            try:
                own = image_size(mask)
            except ImageError as error:
                wrong.append(str(error))
                continue
            try:
                size = image_size(sample.path)
            except ImageError:
                continue
            if not fits(own, size):
                wrong.append(
                    f"{mask} has {own[0]} x {own[1]} pixels (height x width), its photograph "
                    f"{size[0]} x {size[1]}"
                )
    if not wrong:
        return None
    return f"no pixel metrics: {len(wrong)} of {n_masks} masks cannot be used: {wrong[0]}"


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of an upright image, from its header.

    Raises:
        ImageError: the header cannot be read.
    """
    try:
        with pillow.open(path) as opened:
            orientation = opened.getexif().get(EXIF_ORIENTATION)
            width, height = opened.size
    except Exception as error:  # decoders raise many types on damaged files
        raise ImageError(f"{path}: expected a readable image, got: {error}") from None
    return (width, height) if orientation in LYING else (height, width)


def fits(mask: tuple[int, int], photograph: tuple[int, int]) -> bool:
    """Whether a mask of one size, (H, W), can be used for a photograph of another."""
    return mask == photograph


def _files(mask: Path | None) -> list[Path]:
    """The files of a mask, which may be a folder of them."""
    if mask is None:
        return []
    if not mask.is_dir():
        return [mask]
    files = [path for path in mask.iterdir() if path.is_file() and path.name[0] != "."]
    if not files:
        raise DataError(f"{mask}: expected at least one mask in the folder, got none")
    return sorted(files)
