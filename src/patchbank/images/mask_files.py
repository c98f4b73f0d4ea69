"""Recognise masks among photographs, by their names and by what they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

import numpy as np

from patchbank.errors import ImageError
from patchbank.images.names import is_mask_folder, without_mask_affix, words_of
from patchbank.images.source import read_image

SAMPLED = 3  # files of a folder whose content is checked
SIDE = 64  # pixels of a picture that are checked, along each side
WHITE = 255
MOST_LEVELS = 8  # grey levels of a mask with several defects
NEAR = 8  # grey levels that JPEG moves black or white by
SHARE = 0.97  # of the pixels of a mask that are black or white


class MaskFolder(Enum):
    """Verdicts on a folder."""

    MASKS = "masks"
    DOUBTFUL = "doubtful"
    """Named like masks, but with photographs in it."""
    OTHER = "other"


def mask_folder(
    folder: Path, siblings: Sequence[str], some: Callable[[Path, int], list[Path]]
) -> MaskFolder:
    """Judge a folder by its name, by those of the folders next to it, and by what it shows.

    Args:
        folder: ``masks``, ``ground_truth``, or ``X_mask`` next to ``X``; also another name that
            begins or ends so, if it holds masks.
        siblings: names of the folders next to it.
        some: lists the first pictures below a folder.
    """
    split = without_mask_affix(folder.name)
    named = is_mask_folder(folder.name)
    if split is not None and not named:
        bare = words_of(split[0])
        named = any(words_of(name) == bare for name in siblings)
    if not named and split is None:
        return MaskFolder.OTHER
    pictures = some(folder, SAMPLED)
    if not pictures:
        return MaskFolder.OTHER
    if all(is_like_a_mask(picture, unreadable=True) for picture in pictures):
        return MaskFolder.MASKS
    return MaskFolder.DOUBTFUL if named else MaskFolder.OTHER


def mask_files(pictures: Sequence[Path]) -> set[Path]:
    """The masks among the pictures of one folder: next to their photographs.

    ``000_mask.png`` or ``mask_000.png`` next to ``000.png``, and ``000.png`` next to ``000.jpg``
    if it alone is black and white.
    """
    by_stem: dict[str, list[Path]] = {}
    for picture in pictures:
        by_stem.setdefault(picture.stem.casefold(), []).append(picture)
    found: set[Path] = set()
    for picture in pictures:
        split = without_mask_affix(picture.stem)
        if split is None:
            continue
        bare, sure = split
        has_photograph = bare.casefold() in by_stem
        if (has_photograph and sure) or is_like_a_mask(picture):
            found.add(picture)
    pairs = [[p for p in same if p not in found] for same in by_stem.values()]
    return found | _masks_of_pairs([pair for pair in pairs if len(pair) > 1])


def _masks_of_pairs(groups: Sequence[Sequence[Path]]) -> set[Path]:
    """Masks among pictures that have one name but for the ending.

    Where none of the first groups has one, it is a camera that writes two files for each shot.
    """
    found: set[Path] = set()
    for number, group in enumerate(groups):
        if number == SAMPLED and not found:
            break
        masks = [picture for picture in group if is_like_a_mask(picture)]
        if len(masks) < len(group):
            found.update(masks)
    return found


def is_like_a_mask(path: Path, *, unreadable: bool = False) -> bool:
    """Whether a picture has few grey levels, or almost only black and white ones.

    Args:
        path: of the picture.
        unreadable: result for a file that cannot be read.
    """
    try:
        image = read_image(path)
    except ImageError:
        return unreadable
    rows, columns = (np.linspace(0, n - 1, min(n, SIDE)).astype(int) for n in image.shape[:2])
    values = image[rows[:, None], columns].mean(axis=2)
    low, high = values.min(), values.max()
    if np.unique(values).size <= MOST_LEVELS:
        return bool(low == 0 or high == WHITE)
    near = (values <= low + NEAR) | (values >= high - NEAR)
    return bool(low <= NEAR and near.mean() >= SHARE)
