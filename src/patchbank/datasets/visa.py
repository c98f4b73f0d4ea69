"""VisA as its authors lay it out; its own script converts it to the layout of MVTec AD.

split_csv/1cls.csv                                object,split,label,image,mask
<object>/Data/Images/<Normal or Anomaly>/000.JPG
<object>/Data/Masks/Anomaly/000.png
"""

from __future__ import annotations

import os
from pathlib import Path

from patchbank.datasets import tables
from patchbank.datasets.base import Category, name_of
from patchbank.datasets.published import VISA
from patchbank.errors import DataError

SPLIT = Path("split_csv", "1cls.csv")
COLUMNS = {"object": "category", "image": "path"}  # column names that differ from those of `tables`


def recognises(root: Path) -> bool:
    """Whether a folder is VisA, or one object of it."""
    return (root / SPLIT).is_file() or _is_object(root)


def read(root: Path) -> list[Category]:
    """Read the objects whose folders exist, split as in the table of the authors.

    Raises:
        DataError: the table is damaged, names files that are not there, or no object is there.
    """
    if not recognises(root):
        return []
    top = _above(root) if _is_object(root) else root
    rows = [_renamed(cells) for cells in tables.read_cells(top / SPLIT)]
    wanted = {name_of(root)} if _is_object(root) else VISA.counts.keys()
    there = [row for row in rows if row.get("category") in wanted and _has(top, row)]
    if not there:
        raise DataError(
            f"{top / SPLIT}: expected rows of objects whose folders lie in {top}, got none"
        )
    return tables.categories(top / SPLIT, tables.parsed(top / SPLIT, there, top), VISA)


def _is_object(folder: Path) -> bool:
    return (folder / "Data" / "Images").is_dir() and (_above(folder) / SPLIT).is_file()


def _above(folder: Path) -> Path:
    return Path(os.path.abspath(folder)).parent


def _has(top: Path, row: tables.Cells) -> bool:
    return (top / row["category"]).is_dir()


def _renamed(cells: tables.Cells) -> tables.Cells:
    return {COLUMNS.get(name, name): text for name, text in cells.items()}
