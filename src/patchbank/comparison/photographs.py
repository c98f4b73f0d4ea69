"""Photographs that two detectors are compared on: a data set, a folder, a list, or results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from patchbank.comparison.lines import is_results, read_lines
from patchbank.datasets import Dataset, Sample, find_dataset
from patchbank.datasets.tables import recognises as is_table
from patchbank.errors import DataError
from patchbank.images.folders import find_images
from patchbank.images.several import several_images
from patchbank.images.source import ImageInput, path_of


@dataclass(frozen=True, slots=True)
class Photographs:
    """Photographs in order, with their labels if they have any."""

    name: str
    items: Iterable[tuple[ImageInput, Sample | None]]
    n: int | None = None
    """Number of photographs; None of an iterator."""
    dataset: Dataset | None = None
    """The data set, where they have labels."""
    not_read: tuple[str, ...] = ()
    """Files whose kind is not read."""
    remarks: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    """Lines of results that cannot be used, each with its fault."""


def photographs_of(
    data: Dataset | str | os.PathLike[str] | Iterable[ImageInput],
) -> Photographs:
    """List photographs: of a data set, a folder or a file, or images one by one.

    A folder that is no data set holds photographs without labels; a remark says why it is none.

    Raises:
        DataError: there is nothing of that name, or no photograph in it.
        ImageTypeError: it is neither a path nor images.
    """
    if isinstance(data, Dataset):
        return _labelled(data)
    if isinstance(data, (str, os.PathLike)):
        return _of_path(path_of(data))
    several = several_images(data)
    n = len(several.inputs) if isinstance(several.inputs, Sized) else None
    name = "1 image" if n == 1 else "images" if n is None else f"{n:,} images"
    return Photographs(name, _unlabelled(several.sources), n)


def photographs_in(paths: Iterable[Path]) -> Photographs:
    """List photographs of several paths: of one as `photographs_of`, else all without labels.

    Raises:
        DataError: there is nothing of one of these names, or no photograph in it.
    """
    given = list(paths)
    if len(given) == 1:
        return photographs_of(given[0])
    each = [_of_path(path, with_labels=False) for path in given]
    items = [item for one in each for item in one.items]
    return Photographs(
        f"{given[0]} and {len(given) - 1} more",
        items,
        len(items),
        not_read=tuple(file for one in each for file in one.not_read),
        damaged=tuple(line for one in each for line in one.damaged),
        remarks=tuple(line for one in each for line in one.remarks),
    )


def _labelled(dataset: Dataset) -> Photographs:
    return Photographs(
        dataset.name,
        [(sample.path, sample) for sample in dataset.samples],
        len(dataset.samples),
        dataset,
        tuple(str(path) for path in dataset.not_read),
        dataset.notes,
    )


def _of_path(path: Path, *, with_labels: bool = True) -> Photographs:
    if is_results(path):
        read = read_lines(path)
        listed = list(dict.fromkeys(line.image for line in read.lines))
        if not listed:
            raise DataError(f"{path}: expected lines of predict --json, got none")
        items = [(Path(name), None) for name in listed]
        return Photographs(str(path), items, len(listed), damaged=read.damaged)
    if is_table(path):
        return _labelled(find_dataset(path))
    if not path.is_dir() and (path.exists() or path.is_symlink()):
        return Photographs(str(path), [(path, None)], 1)
    remarks: list[str] = []
    if with_labels:
        try:
            return _labelled(find_dataset(path))
        except DataError as error:
            remarks.append(f"compared without labels, as this is no data set: {error}")
    found = find_images(path)
    return Photographs(
        str(path),
        [(image, None) for image in found.images],
        len(found.images),
        not_read=tuple(str(file) for file in found.not_read),
        remarks=(*remarks, *(f"{path}: {line}" for line in found.mask_notes("inspected"))),
    )


def _unlabelled(
    images: Iterable[object],
) -> Iterator[tuple[ImageInput, Sample | None]]:
    return ((cast(ImageInput, image), None) for image in images)
