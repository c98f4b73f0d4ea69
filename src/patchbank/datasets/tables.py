"""Data sets as a table: one row per image, in a CSV or Parquet file."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from patchbank.datasets.base import GOOD, Category, Dataset, Sample, category, check_there
from patchbank.datasets.masks import missing_masks
from patchbank.datasets.published import TABLE, Published
from patchbank.errors import DataError
from patchbank.images.folders import few
from patchbank.images.names import is_good

REQUIRED = ("path", "label", "split")
OPTIONAL = ("mask", "category", "group")
SPLITS = ("train", "test")
DEFECT = "defect"  # label of a row whose label is 1
NO_LABELS = frozenset({"true", "false", "yes", "no", "nan", "none", "null", "na", "n/a", "?"})
OTHER_NAMES = {
    "path": ("image_path", "image", "img", "file", "filename", "filepath", "file_path"),
    "label": ("class", "target", "label_index", "category_label"),
    "split": ("set", "subset", "partition"),
    "mask": ("mask_path", "gt", "gt_path", "ground_truth"),
}
"""Names that other programs give to the columns."""
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}

Cells: TypeAlias = Mapping[str, str]
"""One row of a table: texts by the name of their column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a table."""

    sample: Sample
    split: str
    category: str
    group: str | None = None
    """Photographs of one group belong together: one part, one lot, one shift."""


def recognises(root: Path) -> bool:
    """Whether a path is a file of a kind that can be read as a table."""
    return root.is_file() and root.suffix.lower() in READERS


def read(root: Path) -> list[Category]:
    """Read a table; paths in it are relative to its own folder.

    Columns: ``path``, ``label`` (good, the name of a defect, or 0 and 1), ``split`` (train or
    test), and, optionally, ``mask``, ``category`` and ``group`` (photographs that belong together).
    Without ``category`` all rows are one category, named after the file.

    Raises:
        DataError: the table cannot be read, or a row is not what it should be.
    """
    if not recognises(root):
        return []
    return categories(root, read_rows(root), TABLE)


def read_rows(path: Path) -> list[Row]:
    """Read all rows of a table; paths in it are relative to its own folder.

    Raises:
        DataError: the table cannot be read, or a row is not what it should be.
    """
    return parsed(path, read_cells(path), path.parent)


def read_test(path: Path) -> Dataset:
    """Read the test rows of a table of one category; it may have no others.

    Raises:
        DataError: the table cannot be read, a row is not what it should be, or there are several
            categories.
    """
    rows = [row for row in read_rows(path) if row.split == "test"]
    names = sorted({row.category for row in rows})
    labels = {row.sample.is_defect for row in rows}
    samples = tuple(row.sample for row in rows)
    if len(names) != 1 or len(labels) != 2:
        raise DataError(
            f"{path}: expected test rows of one category, good and defective ones, got "
            f"{len(rows)} of {few(names, 'category')}; give a table of one"
        )
    return Dataset(names[0], samples, tuple(missing_masks(path.parent, samples)))


def read_cells(path: Path) -> list[Cells]:
    """Read the rows of a table as texts.

    Raises:
        DataError: the file is damaged, or no table.
    """
    try:
        rows = READERS[path.suffix.lower()](path)
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are of these, too
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: expected a table that can be read, got: {reason}") from None
    if not rows:
        raise DataError(f"{path}: expected one row an image, got none")
    return rows


def parsed(table: Path, cells: Sequence[Cells], folder: Path) -> list[Row]:
    """Check the rows of a table, whose paths are relative to `folder`.

    Raises:
        DataError: columns, labels, splits or files are missing or unknown, or rows are repeated.
    """
    _check_columns(table, cells[0])
    _check_cells(table, cells)
    rows = [_parse(row, folder, table.stem) for row in cells]
    masks = [row.sample.mask for row in rows if row.sample.mask]
    _check_repeated(table, "image", [row.sample.path for row in rows])
    _check_repeated(table, "mask", masks)
    _check_separators(table, cells)
    check_there(table, "image", (row.sample.path for row in rows))
    check_there(table, "mask", masks)
    return rows


def categories(table: Path, rows: Sequence[Row], facts: Published) -> list[Category]:
    """Sort the rows of a table into categories of a set.

    Raises:
        DataError: a category is not whole.
    """
    found = []
    for name in sorted({row.category for row in rows}):
        own = [row for row in rows if row.category == name]
        train = [row.sample.path for row in own if row.split == "train"]
        test = tuple(row.sample for row in own if row.split == "test")
        notes = tuple(missing_masks(table.parent, test))
        found.append(category(facts, name, train, Dataset(name, test, notes), table))
    return found


def _check_columns(table: Path, cells: Cells) -> None:
    missing = [name for name in REQUIRED if name not in cells]
    if missing:
        renamed = [
            f"{other} to {name}"
            for name, others in OTHER_NAMES.items()
            for other in others
            if other in cells and name not in cells
        ]
        hint = f"; rename {' and '.join(renamed)}" if renamed else ""
        raise DataError(
            f"{table}: expected columns {', '.join(REQUIRED)} (and mask, category if you like), "
            f"got {few(list(cells), 'column')}{hint}"
        )
    for name in cells.keys() - {*REQUIRED, *OPTIONAL}:
        near = [
            *(own for own in OPTIONAL if name in OTHER_NAMES.get(own, ())),
            *difflib.get_close_matches(name, OPTIONAL, n=1, cutoff=0.75),
        ]
        if near and near[0] not in cells:
            raise DataError(f"{table}: expected a column {near[0]}, got {name}; rename it")


def _check_cells(table: Path, rows: Sequence[Cells]) -> None:
    def check(rule: str, column: str, right: Callable[[Cells], bool]) -> None:
        wrong = [i for i, cells in enumerate(rows) if not right(cells)]
        if wrong:
            others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise DataError(
                f"{table}: expected {rule}, got {rows[wrong[0]][column]!r} in row {wrong[0] + 1}"
                f"{others}"
            )

    check("a path", "path", lambda cells: bool(cells["path"]))
    check("split train or test", "split", lambda cells: cells["split"].lower() in SPLITS)
    check(
        "label good, the name of a defect, 0 or 1",
        "label",
        lambda cells: cells["label"] in ("0", "1") or _is_name(cells["label"]),
    )
    check(
        "good images alone in split train",
        "label",
        lambda cells: cells["split"].lower() != "train" or _label(cells) == GOOD,
    )


def _parse(cells: Cells, folder: Path, default: str) -> Row:
    label = _label(cells)
    mask = folder / cells["mask"] if cells.get("mask") and label != GOOD else None
    sample = Sample(folder / cells["path"], label, mask)
    category = cells.get("category") or default
    return Row(sample, cells["split"].lower(), category, cells.get("group") or None)


def _label(cells: Cells) -> str:
    label = cells["label"]
    good = label == "0" or is_good(label)
    return GOOD if good else DEFECT if label == "1" else label


def _is_name(label: str) -> bool:
    """Whether a label names what is seen, and not whether something unknown is so."""
    if not label or label.lower() in NO_LABELS:
        return False
    try:
        float(label)
    except ValueError:
        return True
    return False


def _check_repeated(table: Path, what: str, paths: Sequence[Path]) -> None:
    times = Counter(os.path.abspath(path) for path in paths)
    repeated = [path for path, n in times.items() if n > 1]
    if repeated:
        others = f" and {len(repeated) - 1} more" if len(repeated) > 1 else ""
        raise DataError(
            f"{table}: expected each {what} once, got {repeated[0]}{others} more than once"
        )


def _check_separators(table: Path, rows: Sequence[Cells]) -> None:
    """Refuse paths of another system, which are no paths here."""
    if os.sep == "\\":
        return
    wrong = [cells["path"] for cells in rows if "\\" in cells["path"]]
    if wrong and not (table.parent / wrong[0]).exists():
        raise DataError(f"{table}: expected paths with /, got {wrong[0]}; replace \\ by /")


def _read_csv(path: Path) -> list[Cells]:
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:100]:
        raise ValueError("UTF-16; save it as CSV in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start}; save it as CSV in UTF-8") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = [name.strip().lower() for name in next(lines, [])]
    rows = [[cell.strip() for cell in line] for line in lines if any(map(str.strip, line))]
    used = [name for name in SEPARATORS if len(names) == 1 and name in names[0]]
    if used:
        raise ValueError(f"columns with {SEPARATORS[used[0]]} between them; save it with commas")
    if len(set(names)) < len(names):
        raise ValueError(f"columns {', '.join(names)}, of which two are named alike")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise ValueError(f"{len(row)} instead of {len(names)} cells in row {number}")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _read_parquet(path: Path) -> list[Cells]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(
            f"{path}: expected pyarrow to read a Parquet file with, got none; "
            "pip install 'patchbank[parquet]'"
        ) from None
    with parquet.ParquetFile(path) as file:
        rows: list[dict[str, Any]] = file.read(use_threads=False).to_pylist()
    return [{name.strip().lower(): _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> str:
    """Convert a cell to the text that a CSV file would have.

    >>> _text(None), _text(float("nan")), _text(1.0), _text(True), _text(" dent ")
    ('', '', '1', '1', 'dent')
    """
    if value is None or value != value:  # only NaN differs from itself
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value).strip()


READERS: Mapping[str, Callable[[Path], list[Cells]]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
