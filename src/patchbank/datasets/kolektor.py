"""KolektorSDD and KolektorSDD2: photographs of surfaces whose labels are their masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from patchbank.datasets.base import GOOD, Category, Sample, category, check_there, subfolders
from patchbank.datasets.published import KOLEKTOR, KOLEKTOR_2
from patchbank.images.masks import shows_anything
from patchbank.images.names import is_left_behind

DEFECT = "defect"
EVERY = 5  # every fifth item of KolektorSDD is for testing


def recognises_items(root: Path) -> bool:
    """Whether a folder is KolektorSDD: one folder per item, a label next to each photograph."""
    return any(next(folder.glob("Part*_label.bmp"), None) for folder in _items(root))


def read_items(root: Path) -> list[Category]:
    """Read KolektorSDD, which comes without a split for learning from good photographs alone.

    Each of the 50 items has a defect on one of its surfaces.  The good photographs of every fifth
    item (sorted by name) are for testing, those of the other items for training, so that no item is
    in both.  All defects are for testing.

    Raises:
        DataError: a photograph has no label, or labels cannot be read.
    """
    if not recognises_items(root):
        return []
    items = _items(root)
    samples = _labelled(root, (p for item in items for p in item.glob("Part*.jpg")), "_label.bmp")
    held_out = set(items[EVERY - 1 :: EVERY])
    train = [s.path for s in samples if not s.is_defect and s.path.parent not in held_out]
    test = [s for s in samples if s.is_defect or s.path.parent in held_out]
    return [category(KOLEKTOR, "kolektorsdd", train, test, root)]


def recognises_split(root: Path) -> bool:
    """Whether a folder is KolektorSDD2: train and test, a mask next to each photograph."""
    return all(next((root / s).glob("*_GT.png"), None) for s in ("train", "test"))


def read_split(root: Path) -> list[Category]:
    """Read KolektorSDD2 without the defects of its training part.

    Raises:
        DataError: a photograph has no mask, or masks cannot be read.
    """
    if not recognises_split(root):
        return []
    train, test = (
        _labelled(root, (p for p in (root / s).glob("*.png") if p.stem.isdigit()), "_GT.png")
        for s in ("train", "test")
    )
    learned = [s.path for s in train if not s.is_defect]
    return [category(KOLEKTOR_2, "kolektorsdd2", learned, test, root)]


def _items(root: Path) -> list[Path]:
    return [folder for folder in subfolders(root) if folder.name.startswith("kos")]


def _labelled(root: Path, photographs: Iterable[Path], ending: str) -> list[Sample]:
    pairs = [
        (path, path.with_name(path.stem + ending))
        for path in sorted(photographs)
        if not is_left_behind(path.name)
    ]
    check_there(root, "mask", (mask for _, mask in pairs))
    return [
        Sample(path, DEFECT, mask) if shows_anything(mask) else Sample(path, GOOD)
        for path, mask in pairs
    ]
