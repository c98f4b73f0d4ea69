"""The products below a folder, or in a table, with the photographs that each is learned from."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from patchbank.datasets import TrainingImages, mvtec, tables, training_images
from patchbank.datasets.base import subfolders
from patchbank.errors import DataError, PatchbankError
from patchbank.images.folders import scan_folder
from patchbank.images.names import is_left_behind

LONGEST_NAME_BYTES = 200
"""Bytes of a name, to which the endings of files are added."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product, and what it is learned from."""

    name: str
    found: TrainingImages | None
    """Photographs of it; None where it is not clear which ones are good."""
    error: str | None = None
    """Why there are none."""


def find_products(root: str | os.PathLike[str]) -> list[Product]:
    """Find the products: the subfolders of a folder, or the categories of a table, by name.

    Each subfolder has all that `patchbank fit` takes: photographs, or a data set.

    Raises:
        DataError: there is none, or the folder is that of one product.
    """
    path = Path(root)
    if tables.recognises(path):
        return _of_table(path)
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder of products, or a table, got neither")
    if mvtec.train_folder(path) is not None:
        raise DataError(
            f"{path}: expected a folder with one subfolder a product, got one data set (it has a "
            "folder train); fit it without --each"
        )
    folders = subfolders(path)
    if not folders:
        raise DataError(
            f"{path}: expected a folder with one subfolder a product, got none; fit one product "
            "without --each"
        )
    return [_of_folder(folder) for folder in folders]


def photographs_outside(root: str | os.PathLike[str]) -> int:
    """Number of photographs that lie in the folder itself, and belong to no product."""
    path = Path(root)
    if not path.is_dir():
        return 0
    return sum(image.parent == path for image in scan_folder(path).images)


def _of_folder(folder: Path) -> Product:
    try:
        return Product(folder.name, training_images(folder))
    except PatchbankError as error:
        return Product(folder.name, None, str(error))


def _of_table(path: Path) -> list[Product]:
    rows = sorted(
        (row for row in tables.read_rows(path) if row.split == "train"),
        key=lambda row: row.sample.path,
    )
    if not rows:
        raise DataError(f"{path}: expected rows of split train, got none")
    counts = Counter(row.category for row in rows)
    products = []
    for name in sorted(counts):
        own = [row for row in rows if row.category == name]
        groups = tuple(row.group for row in own) if any(row.group for row in own) else None
        images = tuple(row.sample.path for row in own)
        error = None if _is_file_name(name) else _no_file_name(name)
        products.append(Product(name, TrainingImages(images, groups=groups), error))
    return products


def _is_file_name(name: str) -> bool:
    """Whether a product of a table can have files of its name."""
    is_short = len(os.fsencode(name)) <= LONGEST_NAME_BYTES
    return is_short and not set(name) & set('/\\\0\n\r:*?"<>|') and not is_left_behind(name)


def _no_file_name(name: str) -> str:
    return (
        f"category: expected one that a file can be named by, got {name[:LONGEST_NAME_BYTES]!r}; "
        "rename it"
    )
