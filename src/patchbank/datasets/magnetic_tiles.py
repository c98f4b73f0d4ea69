"""Magnetic Tile Defects as its authors lay it out: one folder a defect, masks among the images."""

from __future__ import annotations

from pathlib import Path

from patchbank.datasets.base import GOOD, Category, Sample, category, split_good
from patchbank.datasets.published import Published

FREE = "free"  # of defects


def recognises(root: Path, facts: Published) -> bool:
    """Whether a folder holds good tiles beside at least one folder of defects."""
    return FREE in _folders(root) and len(_folders(root)) > 1


def read(root: Path, facts: Published) -> list[Category]:
    """Read all tiles; four fifths of the good ones are learned from, see `split_good`.

    The share is that of the PatchCore paper; which tiles they are is our choice.

    Raises:
        DataError: good tiles or defects are missing.
    """
    if not recognises(root, facts):
        return []
    folders = _folders(root)
    train, held_out = split_good(sorted(folders.pop(FREE).glob("*.jpg")), root)
    test = [Sample(path, GOOD) for path in held_out]
    for label, folder in folders.items():
        test += [Sample(path, label, _mask(path)) for path in folder.glob("*.jpg")]
    return [category(facts, "magnetic_tiles", train, test, root)]


def _folders(root: Path) -> dict[str, Path]:
    """Folders of images by what they show: ``MT_Blowhole/Imgs`` shows blowhole."""
    return {
        folder.parent.name.removeprefix("MT_").lower(): folder for folder in root.glob("MT_*/Imgs")
    }


def _mask(path: Path) -> Path | None:
    mask = path.with_suffix(".png")
    return mask if mask.is_file() else None
