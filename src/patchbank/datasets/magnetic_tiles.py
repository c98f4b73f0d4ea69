"""Magnetic Tile Defects as its authors lay it out: a folder per defect, masks among images."""

from __future__ import annotations

from pathlib import Path

from patchbank.datasets.base import GOOD, Category, Sample, category, split_good
from patchbank.datasets.published import MAGNETIC_TILES
from patchbank.images.names import is_left_behind

FREE = "free"  # folders of defects


def recognises(root: Path) -> bool:
    """Whether a folder has good tiles and at least one folder of defects."""
    return FREE in _folders(root) and len(_folders(root)) > 1


def read(root: Path) -> list[Category]:
    """Read all tiles; four fifths of the good ones are for training, see `split_good`.

    The fraction is that of the PatchCore paper, which does not say which tiles they are.

    Raises:
        DataError: good tiles or defects are missing.
    """
    if not recognises(root):
        return []
    folders = _folders(root)
    train, held_out = split_good(_tiles(folders.pop(FREE)), root)
    test = [Sample(path, GOOD) for path in held_out]
    for label, folder in folders.items():
        test += [Sample(path, label, _mask(path)) for path in _tiles(folder)]
    return [category(MAGNETIC_TILES, "magnetic_tiles", train, test, root)]


def _folders(root: Path) -> dict[str, Path]:
    """Folders of images by their label: ``MT_Blowhole/Imgs`` has the label blowhole."""
    return {
        folder.parent.name.removeprefix("MT_").lower(): folder for folder in root.glob("MT_*/Imgs")
    }


def _tiles(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jpg") if not is_left_behind(path.name))


def _mask(path: Path) -> Path | None:
    mask = path.with_suffix(".png")
    return mask if mask.is_file() else None
