"""Photographs that are learned from what a user gives: a folder, a data set, a table, a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from patchbank.datasets import folders, mvtec, tables
from patchbank.datasets.base import subfolders
from patchbank.datasets.good_only import refuse_defects
from patchbank.datasets.published import FOLDERS, TABLE
from patchbank.datasets.registry import LAYOUTS, Layout, check_one
from patchbank.errors import DataError
from patchbank.images.folders import few, find_images, list_images, not_read_line, scan_folder
from patchbank.images.mask_files import mask_files
from patchbank.images.source import ImageInput, image_source, is_one_image, path_of
from patchbank.runtime.logs import LOGGER


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """Good photographs to learn from."""

    images: tuple[ImageInput, ...]
    notes: tuple[str, ...] = ()
    """Lines about the layout that was recognised, and masks that are left out."""
    not_read: tuple[Path, ...] = ()
    """Files among the photographs whose kind is not read."""
    groups: tuple[str | None, ...] | None = None
    """Group of each photograph, where a table has such a column; None for one without."""

    @property
    def lines(self) -> list[str]:
        """Notes to print, the files that are not read with them."""
        return [*self.notes, *([not_read_line(self.not_read)] if self.not_read else [])]

    def log(self) -> None:
        """Write the notes to the log, and warn of files that are not read."""
        for note in self.notes:
            LOGGER.info("%s", note)
        if self.not_read:
            LOGGER.warning("%s", not_read_line(self.not_read))


def good_images(source: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """List the good images of a source as `training_images` does; its notes are logged.

    Raises:
        DataError: there is none, or it is not clear which ones are good.
    """
    found = training_images(source)
    found.log()
    return list(found.images)


def training_images(source: ImageInput | Iterable[ImageInput]) -> TrainingImages:
    """Find the good images of a source, or of several in a list.

    A folder in the layout of a data set gives the training photographs of its only category; so
    does a table.  Any other folder gives all photographs in it, but not its masks.

    Raises:
        DataError: there is none, there are several categories, or defects or masks are among them.
    """
    if isinstance(source, (str, os.PathLike)):
        path = path_of(source)
        if tables.recognises(path):
            return _of_table(path)
        if path.is_dir():
            return _of_folder(path)
    if is_one_image(source):
        return TrainingImages(tuple(list_images(source)))
    parts = [_named(one) for one in cast(Iterable[ImageInput], source)]
    _refuse_masks([image for part in parts for image in part.images])
    return TrainingImages(
        tuple(image for part in parts for image in part.images),
        tuple(note for part in parts for note in part.notes),
        tuple(path for part in parts for path in part.not_read),
        _groups_of(parts),
    )


def _groups_of(parts: Sequence[TrainingImages]) -> tuple[str | None, ...] | None:
    """The groups of several sources; those of two tables are never one."""
    if all(part.groups is None for part in parts):
        return None
    return tuple(
        label and f"{number}: {label}"
        for number, part in enumerate(parts)
        for label in part.groups or (None,) * len(part.images)
    )


def _named(source: ImageInput) -> TrainingImages:
    """The good images of one of several sources; notes name it."""
    found = training_images(source)
    if not found.notes:
        return found
    return replace(
        found, notes=tuple(f"{image_source(source).name}: {note}" for note in found.notes)
    )


def _refuse_masks(images: Sequence[ImageInput]) -> None:
    """Refuse masks among files that were given one by one, as ``*.png`` gives them."""
    by_folder: dict[Path, list[Path]] = {}
    for image in images:
        if isinstance(image, (str, os.PathLike)):
            by_folder.setdefault(Path(image).parent, []).append(Path(image))
    for paths in by_folder.values():
        masks = sorted(mask_files(paths))
        if masks:
            raise DataError(
                f"{masks[0]}: expected good images only, got a mask; leave out "
                f"{few([mask.name for mask in masks], 'mask')}, or give the folder"
            )


def _of_table(path: Path) -> TrainingImages:
    rows = tables.read_rows(path)
    check_one(path, sorted({row.category for row in rows}))
    train = sorted((row for row in rows if row.split == "train"), key=lambda row: row.sample.path)
    if not train:
        raise DataError(f"{path}: expected rows of split train, got none")
    n = len(train)
    return TrainingImages(
        tuple(row.sample.path for row in train),
        (f"table: {_count(n)} of split train {_were(n)} learned",),
        groups=tuple(row.group for row in train) if any(row.group for row in train) else None,
    )


def _of_folder(root: Path) -> TrainingImages:
    check_one(root, [folder.name for folder in mvtec.category_folders(root)])
    for layout in LAYOUTS:
        if layout.facts not in (TABLE, FOLDERS) and layout.recognises(root):
            return _of_layout(root, layout)
    train = _train_of_category(root)
    if train is not None:
        return _of_category(root, train)
    below = [folder for folder in folders.categories(root) if folder != root]
    check_one(root, [folder.relative_to(root).as_posix() for folder in below])
    train = _train_of_category(below[0]) if below else None
    if train is not None:
        outside = [p for p in scan_folder(root).images if below[0] not in p.parents]
        if outside:
            raise DataError(
                f"{root}: expected good images only, got a data set {below[0].name} together with "
                f"{outside[0].name}; give {below[0]}"
            )
        return _of_category(root, train)
    _refuse_test_alone(root)
    found = find_images(root).settled()
    refuse_defects(found)
    return TrainingImages(found.images, tuple(found.mask_notes("learned")), found.not_read)


def _of_layout(root: Path, layout: Layout) -> TrainingImages:
    found = layout.read(root)
    check_one(root, [category.name for category in found])
    (category,) = found
    n = len(category.train)
    note = f"{layout.facts.name} layout: {_count(n)} of {category.name} {_were(n)} learned"
    return TrainingImages(category.train, (note,), category.test.not_read)


def _train_of_category(folder: Path) -> Path | None:
    """The folder train of a data set; None for a folder of that name that is like any other."""
    train = mvtec.train_folder(folder)
    if train is None:
        return None
    has_good = any(mvtec.is_good(inside) for inside in subfolders(train))
    return train if has_good or mvtec.test_folder(folder) is not None else None


def _of_category(root: Path, train: Path) -> TrainingImages:
    found = mvtec.read_train(train)
    learned = _count(len(found.images))
    place = found.folder.relative_to(root).as_posix()
    note = f"MVTec AD layout: {learned} of {place} {_were(len(found.images))} learned"
    return TrainingImages(found.images, (note, *found.mask_notes("learned")), found.not_read)


def _refuse_test_alone(root: Path) -> None:
    test = mvtec.test_folder(root)
    if test is not None and scan_folder(test).images:
        raise DataError(
            f"{root}: expected good images to learn from, got {test.name} without a folder train; "
            "give the folder of good photographs"
        )


def _count(n: int) -> str:
    return "1 photograph" if n == 1 else f"{n} photographs"


def _were(n: int) -> str:
    return "was" if n == 1 else "were"
