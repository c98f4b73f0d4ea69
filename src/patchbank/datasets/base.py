"""Results of the readers of data sets, and the checks that they share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from patchbank.datasets.published import Published
from patchbank.errors import DataError
from patchbank.images.folders import not_read_line
from patchbank.images.names import is_left_behind

GOOD = "good"


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image."""

    path: Path
    label: str
    """``good``, or the name of the defect."""
    mask: Path | None = None
    """Image that is not black where the defect is, or a folder of masks, whose union is used."""

    @property
    def is_defect(self) -> bool:
        """Whether the image shows a defect."""
        return self.label != GOOD


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled images to evaluate on."""

    name: str
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()
    """Lines about masks that are missing, and files that are skipped."""
    not_read: tuple[Path, ...] = ()
    """Files among the photographs whose kind is not read."""

    @property
    def lines(self) -> list[str]:
        """Notes to print, the files that are not read with them."""
        return [*self.notes, *([not_read_line(self.not_read)] if self.not_read else [])]

    @property
    def has_masks(self) -> bool:
        """Whether every defect image has a mask: pixel metrics need them all."""
        defects = [s for s in self.samples if s.is_defect]
        return bool(defects) and all(s.mask is not None for s in defects)


@dataclass(frozen=True, slots=True)
class Category:
    """One part or material of a data set: good photographs to learn from, labelled to test on."""

    dataset: str
    """``MVTec AD``, ``VisA``, ..., or ``folders`` or ``table`` for data of the user."""
    name: str
    train: tuple[Path, ...]
    """Good photographs, in the order of their paths."""
    test: Dataset
    shortfall: str | None = None
    """One line where images are missing against the published counts."""


def category(
    facts: Published,
    name: str,
    train: Iterable[Path],
    test: Dataset | Iterable[Sample],
    place: Path,
    not_read: Iterable[Path] = (),
) -> Category:
    """Build a category, sorted by path.

    Args:
        facts: published facts about the data set.
        name: of the category.
        train: good photographs to learn from.
        test: samples to test on, or a data set of them with its notes.
        place: folder or table that errors name.
        not_read: files for training whose kind is not read.

    Raises:
        DataError: nothing to learn from, or good or defect images to test on are missing.
    """
    learned = tuple(sorted(train))
    if not isinstance(test, Dataset):
        test = Dataset(name, tuple(test))
    tested = tuple(sorted(test.samples, key=lambda sample: sample.path))
    n_good = sum(not s.is_defect for s in tested)
    n_defect = len(tested) - n_good
    if not (learned and n_good and n_defect):
        raise DataError(
            f"{place}: expected good photographs to learn from, and good and defective ones to "
            f"test on, got {len(learned)}, {n_good} and {n_defect} for {name}"
        )
    shortfall = _shortfall(facts, name, len(learned), n_good, n_defect)
    tested_on = replace(
        test, name=name, samples=tested, not_read=tuple(sorted({*test.not_read, *not_read}))
    )
    return Category(facts.name, name, learned, tested_on, shortfall)


def _shortfall(facts: Published, name: str, n_train: int, n_good: int, n_defect: int) -> str | None:
    if name not in facts.counts:
        return None
    expected = facts.counts[name]
    if facts.has_split:
        kinds = ("train", "test")
        wanted, got = (
            (expected.train, expected.good + expected.defect),
            (n_train, n_good + n_defect),
        )
    else:  # the split is made here, so only the sums can show that files are missing
        kinds = ("good", "defect")
        wanted, got = (expected.good, expected.defect), (n_train + n_good, n_defect)
    if got[0] >= wanted[0] and got[1] >= wanted[1]:
        return None
    return (
        f"{facts.name} {name}: expected {wanted[0]} {kinds[0]} and {wanted[1]} {kinds[1]} images, "
        f"got {got[0]} and {got[1]}; copy it again"
    )


def split_good(good: Sequence[Path], folder: Path) -> tuple[list[Path], list[Path]]:
    """Split the good photographs of a set that has no split: four fifths for training.

    The order is that of the SHA-256 of each path below `folder`: the same on every machine and with
    every version of every library, and independent of what the names mean.

    Raises:
        DataError: fewer than two photographs.
    """
    if len(good) < 2:
        raise DataError(
            f"{folder}: expected at least two good photographs, one to learn from and one to test "
            f"on, got {len(good)}"
        )
    mixed = sorted(
        good, key=lambda path: sha256(path.relative_to(folder).as_posix().encode()).digest()
    )
    n_train = len(good) * 4 // 5
    return mixed[:n_train], mixed[n_train:]


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without those that systems leave; none of a file."""
    if not folder.is_dir():
        return []
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not is_left_behind(p.name))
    except OSError as error:
        raise DataError(f"{folder}: expected a readable folder, got: {error.strerror}") from None


def name_of(folder: Path) -> str:
    """The name of a folder, also of ``.``; for a link the name of the link."""
    return Path(os.path.abspath(folder)).name


def check_there(place: Path, what: str, paths: Iterable[Path]) -> None:
    """Refuse a data set that lists files which do not exist.

    Raises:
        DataError: files are missing; the first is named, the others are counted.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{place}: expected every {what} to be there, got no {missing[0]}{others}; "
            "copy the data set again, or correct its names"
        )
