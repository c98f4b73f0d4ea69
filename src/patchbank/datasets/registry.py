"""Table of layouts, and recognition of the data set that a folder is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from patchbank.datasets import folders, kolektor, magnetic_tiles, mvtec, tables, visa
from patchbank.datasets.base import Category, Dataset
from patchbank.datasets.published import (
    BTAD,
    FOLDERS,
    KOLEKTOR,
    KOLEKTOR_2,
    MAGNETIC_TILES,
    MPDD,
    MVTEC_AD,
    MVTEC_AD_2,
    MVTEC_LOCO,
    TABLE,
    VISA,
    Published,
)
from patchbank.errors import DataError, ParameterError
from patchbank.images.folders import few
from patchbank.runtime.arguments import path_argument


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout of a data set on disk."""

    facts: Published
    recognises: Callable[[Path], bool]
    read: Callable[[Path], list[Category]]
    """Returns an empty list if nothing of the set is there."""


LAYOUTS = (
    *(
        Layout(facts, partial(mvtec.recognises, facts=facts), partial(mvtec.read, facts=facts))
        for facts in (MVTEC_AD, MVTEC_AD_2, MVTEC_LOCO, VISA, BTAD, MPDD)
    ),
    Layout(VISA, visa.recognises, visa.read),
    Layout(KOLEKTOR, kolektor.recognises_items, kolektor.read_items),
    Layout(KOLEKTOR_2, kolektor.recognises_split, kolektor.read_split),
    Layout(MAGNETIC_TILES, magnetic_tiles.recognises, magnetic_tiles.read),
    Layout(TABLE, tables.recognises, tables.read),
    Layout(FOLDERS, folders.recognises, folders.read),  # last: it accepts most others too
)


def dataset_names() -> list[str]:
    """Names of all layouts, those for data of the user included."""
    return list(dict.fromkeys(layout.facts.name for layout in LAYOUTS))


def find_categories(root: Path, dataset: str | None = None) -> list[Category]:
    """Find the parts and materials of a data set, by name.

    Args:
        root: a folder, or a table.
        dataset: what it is, in any spelling of a name of `dataset_names`; then one category is
            enough, and folders of other names are skipped.  Without it, a folder is a known
            set only where it holds two or more categories of it and no other.

    Raises:
        ParameterError: no data set of that name is known.
        DataError: nothing is there, it is another data set, or it is incomplete.
    """
    layouts = LAYOUTS if dataset is None else _named(dataset)
    for layout in layouts:
        if dataset is not None or layout.recognises(root):
            found = layout.read(root)
            if found:
                return sorted(found, key=lambda category: category.name)
    raise DataError(_nothing(root) if dataset is None else _not_there(root, layouts[0].facts))


def find_dataset(root: str | os.PathLike[str]) -> Dataset:
    """Read the test images of one category.

    The category has any layout of `find_categories`, or consists of plain folders:
    ``root/<defect>`` and a folder good, ok or normal, whose images are then all for testing.

    Raises:
        DataError: not such a folder, good or defect images are missing, or there are several
            categories.
    """
    root = path_argument("root", root)
    if not root.exists():
        raise DataError(f"{root}: expected the folder of a data set, got nothing of that name")
    if tables.recognises(root):
        return tables.read_test(root)
    for layout in LAYOUTS:
        if layout.facts != FOLDERS and layout.recognises(root):
            found = {c.name: c for c in layout.read(root)}
            check_one(root, list(found))
            return next(iter(found.values())).test
    if not root.is_dir():
        kinds = " or ".join(tables.READERS)
        raise DataError(f"{root}: expected the folder of a data set or a {kinds} table, got a file")
    own = folders.categories(root)
    check_one(root, [folder.relative_to(root).as_posix() for folder in own])
    return mvtec.read_test(own[0] if own else root)


def check_one(root: Path, names: list[str]) -> None:
    """Refuse a data set of several categories.

    Raises:
        DataError: there are more than one; the first are named.
    """
    if len(names) > 1:
        found = few(sorted(names), "category")
        raise DataError(f"{root}: expected one category, got {len(names)} ({found}); give one")


def _named(dataset: str) -> list[Layout]:
    layouts = [layout for layout in LAYOUTS if _bare(layout.facts.name) == _bare(dataset)]
    if not layouts:
        raise ParameterError(
            f"dataset: expected one of {', '.join(dataset_names())}, got {dataset!r}"
        )
    return layouts


def _bare(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _nothing(root: Path) -> str:
    return (
        f"{root}: expected a data set ({', '.join(dataset_names())}), got {_what(root)}; "
        "docs/datasets.md and `patchbank benchmark --help` say how each is laid out"
    )


def _not_there(root: Path, facts: Published) -> str:
    return (
        f"{root}: expected {facts.name}, laid out as {facts.layout}, got {_what(root)}; "
        f"get it from {facts.source} (licence: {facts.licence})"
    )


def _what(root: Path) -> str:
    if not root.exists():
        return "nothing of that name"
    if not root.is_dir():
        return "a file"
    return few(sorted(p.name for p in root.iterdir() if not p.name.startswith(".")), "file in it")
