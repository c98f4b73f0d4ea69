"""Folders of the user: in the layout of MVTec AD, or named after what their photographs show."""

from __future__ import annotations

from pathlib import Path

from patchbank.datasets import mvtec
from patchbank.datasets.base import Category, category, name_of, split_good, subfolders
from patchbank.datasets.published import Published


def recognises(root: Path, facts: Published) -> bool:
    """Whether a folder is a category of the user, or contains some."""
    return bool(categories(root))


def read(root: Path, facts: Published) -> list[Category]:
    """Read a folder, or each folder in it that is a category; others are skipped.

    Folders in the layout of MVTec AD define their training photographs.  In plain folders (``good``
    next to ``dent``, ``scratch``, ...) four fifths of the good photographs are for training and the
    rest for testing, see `split_good`; all defects are for testing.

    Raises:
        DataError: a category is not whole.
    """
    return [
        mvtec.read_category(folder, facts) if mvtec.is_category(folder) else _plain(folder, facts)
        for folder in categories(root)
    ]


def categories(root: Path) -> list[Path]:
    """The folder itself if it is a category, otherwise the categories in it."""
    if _is_own(root):
        return [root]
    return [folder for folder in subfolders(root) if _is_own(folder)]


def _is_own(folder: Path) -> bool:
    inside = [f for f in subfolders(folder) if f.name != mvtec.GROUND_TRUTH]
    good = [f for f in inside if mvtec.is_good(f)]
    return mvtec.is_category(folder) or 0 < len(good) < len(inside)


def _plain(folder: Path, facts: Published) -> Category:
    samples = mvtec.read_test(folder).samples
    train, _ = split_good([s.path for s in samples if not s.is_defect], folder)
    learned = set(train)
    tested = [s for s in samples if s.path not in learned]
    return category(facts, name_of(folder), train, tested, folder)
