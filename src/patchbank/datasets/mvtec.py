"""The layout of MVTec AD, which most sets of the field share, with the few names that differ.

    <category>/train/good/000.png            good, ok or normal; other folders are not for training
    <category>/test/<good or defect>/000.png
    <category>/ground_truth/<defect>/000_mask.png    or 000.png, or a folder 000 of masks

MVTec AD 2 has ``test_public`` for ``test``, with ``ground_truth`` inside.
"""

from __future__ import annotations

from pathlib import Path

from patchbank.datasets.base import (
    GOOD,
    Category,
    Dataset,
    Sample,
    category,
    few,
    name_of,
    subfolders,
)
from patchbank.datasets.published import Published
from patchbank.errors import DataError
from patchbank.images.folders import GOOD_NAMES, find_images

TRAIN = "train"
TEST_FOLDERS = ("test", "test_public")
GROUND_TRUTH = "ground_truth"


def recognises(root: Path, facts: Published) -> bool:
    """Whether a folder has at least two categories of a data set and no other category."""
    names = {folder.name for folder in category_folders(root)}
    return len(names) >= 2 and names <= facts.counts.keys()


def read(root: Path, facts: Published) -> list[Category]:
    """Read the categories of a data set that are in a folder; `root` may be one of them.

    Raises:
        DataError: a category is not whole.
    """
    return [
        read_category(folder, facts)
        for folder in category_folders(root)
        if name_of(folder) in facts.counts
    ]


def category_folders(root: Path) -> list[Path]:
    """The folder itself if it is a category, otherwise the categories in it."""
    return [root] if is_category(root) else [f for f in subfolders(root) if is_category(f)]


def is_category(folder: Path) -> bool:
    """Whether a folder has a folder train or test: it is then a category, complete or not."""
    return any((folder / name).is_dir() for name in (TRAIN, *TEST_FOLDERS))


def read_category(folder: Path, facts: Published) -> Category:
    """Read one category.

    Raises:
        DataError: train or test is missing or incomplete.
    """
    if not (folder / TRAIN).is_dir() or _test_folder(folder) == folder:
        found = few([f.name for f in subfolders(folder)], "folder")
        raise DataError(
            f"{folder}: expected folders train and test (of MVTec AD 2, test_public), got {found}"
        )
    train = find_images(_good_folder(folder / TRAIN))
    return category(facts, name_of(folder), train, read_test(folder).samples, folder)


def read_test(root: Path) -> Dataset:
    """Read the test images of a category, or of plain folders named after their defects.

    Raises:
        DataError: good or defect images are missing.
    """
    test = _test_folder(root)
    truth = test / GROUND_TRUTH if (test / GROUND_TRUTH).is_dir() else root / GROUND_TRUTH
    folders = [f for f in subfolders(test) if f.name != GROUND_TRUTH]
    samples = [sample for folder in folders for sample in _samples(folder, truth)]
    labels = {sample.label for sample in samples}
    if GOOD not in labels or len(labels) < 2:
        raise DataError(
            f"{test}: expected a folder of good images (good, ok or normal) and at least one "
            f"of defects, got {few([f.name for f in subfolders(test)], 'folder')}"
        )
    return Dataset(name_of(root), tuple(samples))


def is_good(folder: Path) -> bool:
    """Whether the name of a folder means good images."""
    return folder.name.lower() in GOOD_NAMES


def _test_folder(root: Path) -> Path:
    return next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), root)


def _good_folder(train: Path) -> Path:
    folders = subfolders(train)
    good = [folder for folder in folders if is_good(folder)]
    if len(good) != 1:
        raise DataError(
            f"{train}: expected one folder of good images (good, ok or normal), got "
            f"{few([f.name for f in good or folders], 'folder')}"
        )
    return good[0]


def _samples(folder: Path, truth: Path) -> list[Sample]:
    label = GOOD if is_good(folder) else folder.name
    images = find_images(folder)
    if label == GOOD:
        return [Sample(path, label) for path in images]
    masks = _masks(truth / folder.name)
    names = [path.relative_to(folder).with_suffix("") for path in images]
    return [
        Sample(path, label, masks.get(name) or _mask_folder(truth / folder.name / name))
        for path, name in zip(images, names, strict=True)
    ]


def _masks(folder: Path) -> dict[Path, Path]:
    """Masks by the name of their image, without suffix: ``000_mask.png`` or ``000.png``."""
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).with_name(path.stem.removesuffix("_mask")): path
        for path in find_images(folder)
    }


def _mask_folder(folder: Path) -> Path | None:
    """Folder of masks of an image, one per anomaly, as in MVTec LOCO AD."""
    return folder if folder.is_dir() else None
