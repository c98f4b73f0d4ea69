"""Folders of the user: in the layout of MVTec AD, or named after what their photographs show."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from patchbank.datasets import mvtec
from patchbank.datasets.base import Category, category, name_of, split_good, subfolders
from patchbank.datasets.published import FOLDERS
from patchbank.images.names import is_bad, is_good, is_mask_folder, is_neutral

DEEPEST = 3  # folders between a given one and its categories


def recognises(root: Path) -> bool:
    """Whether a folder is a category of the user, or contains some."""
    return bool(categories(root))


def read(root: Path) -> list[Category]:
    """Read a folder, or each folder in it that is a category; others are skipped.

    Folders in the layout of MVTec AD define their training photographs.  In plain folders (``good``
    next to ``dent``, ``scratch``, ...) four fifths of the good photographs are for training and the
    rest for testing, see `split_good`; all defects are for testing.

    Raises:
        DataError: a category is not whole.
    """
    return [
        mvtec.read_category(folder, FOLDERS) if mvtec.is_category(folder) else _plain(folder)
        for folder in categories(root)
    ]


def categories(root: Path, depth: int = DEEPEST) -> list[Path]:
    """The folder itself if it is a category, otherwise the categories at most `depth` below it."""
    if _is_own(root):
        return [root]
    said = is_good(root.name), is_bad(root.name), is_mask_folder(root.name)
    if depth == 0 or (any(said) and depth < DEEPEST):
        return []
    return [found for inside in subfolders(root) for found in categories(inside, depth - 1)]


def _is_own(folder: Path) -> bool:
    inside = [f for f in subfolders(folder) if not is_mask_folder(f.name)]
    good = [f for f in inside if is_good(f.name)]
    return mvtec.is_category(folder) or 0 < len(good) < len(inside)


def _plain(folder: Path) -> Category:
    test = mvtec.read_test(folder)
    train, _ = split_good([s.path for s in test.samples if not s.is_defect], folder)
    learned = set(train)
    tested = [s for s in test.samples if s.path not in learned]
    return category(
        FOLDERS, _category_name(folder), train, replace(test, samples=tuple(tested)), folder
    )


def _category_name(folder: Path) -> str:
    """Name of a folder, or of the one above it that says more than ``images``."""
    for path in (Path(os.path.abspath(folder)), *Path(os.path.abspath(folder)).parents):
        if path.name and not is_neutral(path.name):
            return path.name
    return name_of(folder)
