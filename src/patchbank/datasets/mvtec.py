"""The layout of MVTec AD, which most sets of the field share, with the few names that differ.

    <category>/train/good/000.png            good, ok or normal; or straight in train
    <category>/test/<good or defect>/000.png
    <category>/ground_truth/<defect>/000_mask.png    or 000.png, or a folder 000 of masks

MVTec AD 2 has ``test_public`` for ``test``, with ``ground_truth`` inside.  Names are compared
without case and separators; `masks` says where masks may lie and how they may be named.
"""

from __future__ import annotations

import os
from pathlib import Path

from patchbank.datasets.base import (
    GOOD,
    Category,
    Dataset,
    Sample,
    category,
    name_of,
    subfolders,
)
from patchbank.datasets.good_only import refuse_defects
from patchbank.datasets.masks import masks_of_samples
from patchbank.datasets.published import Published
from patchbank.errors import DataError
from patchbank.images.folders import FoundImages, few, find_images, find_masks, scan_folder
from patchbank.images.names import is_good as is_good_name
from patchbank.images.names import is_neutral, says_good, words_of

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testpublic", "testing")
PARTS = {*TRAIN_NAMES, *TEST_NAMES, "val", "valid", "validation"}


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
    return train_folder(folder) is not None or test_folder(folder) is not None


def read_category(folder: Path, facts: Published) -> Category:
    """Read one category.

    Raises:
        DataError: train or test is missing or incomplete.
    """
    train = train_folder(folder)
    if train is None or test_folder(folder) is None:
        found = _found(folder, len(scan_folder(folder).images))
        raise DataError(
            f"{folder}: expected folders train and test (of MVTec AD 2, test_public), got {found}"
        )
    learned = read_train(train)
    test = read_test(folder)
    return category(facts, name_of(folder), learned.images, test, folder, learned.not_read)


def read_train(train: Path) -> FoundImages:
    """Find the good photographs of a folder train: in its folder good, or in itself.

    Raises:
        DataError: there are several good folders, or defects among them.
    """
    folders = subfolders(train)
    good = [folder for folder in folders if is_good(folder)]
    is_flat = any(path.parent == train for path in scan_folder(train).images)
    if len(good) > 1 or not (good or is_flat):
        raise DataError(
            f"{train}: expected one folder of good images (good, ok or normal), got "
            f"{few([f.name for f in good or folders], 'folder')}"
        )
    found = find_images(good[0] if good else train).settled()
    refuse_defects(found)
    return found


def read_test(root: Path) -> Dataset:
    """Read the test images of a category, or of plain folders named after their defects.

    Raises:
        DataError: good or defect images are missing, or it is not clear which mask is whose.
    """
    test = test_folder(root) or root
    found = scan_folder(test).settled()
    samples = [Sample(path, _label(test, path)) for path in found.images]
    loose = [sample.path for sample in samples if not sample.label]
    samples = [sample for sample in samples if sample.label]
    labels = {sample.label for sample in samples}
    if GOOD not in labels or len(labels) < 2:
        raise DataError(
            f"{test}: expected a folder of good images (good, ok or normal) and at least one "
            f"of defects, got {_found(test, len(loose))}; give the folder that has both"
        )
    others = find_masks(_folders_next_to(test, root))
    matched = masks_of_samples(
        root,
        test,
        samples,
        [*found.masks, *(mask for _, files in others for mask in files)],
        [*found.mask_folders, *(folder for folder, _ in others)],
    )
    notes = list(matched.notes)
    if loose:
        count = "1 photograph lies" if len(loose) == 1 else f"{len(loose)} photographs lie"
        notes.append(f"{test}: {count} in no folder of a label, such as {loose[0].name}")
    return Dataset(name_of(root), matched.samples, tuple(notes), found.not_read)


def _found(folder: Path, n_loose: int) -> str:
    """Words for what a folder has: its folders, or the photographs that lie in itself."""
    inside = subfolders(folder)
    if inside:
        return few([f.name for f in inside], "folder")
    if not n_loose:
        return "a folder without photographs"
    count = "1 photograph" if n_loose == 1 else f"{n_loose:,} photographs"
    return f"a folder of {count} without subfolders"


def _folders_next_to(test: Path, root: Path) -> list[Path]:
    """Folders outside of those of the photographs in which masks may lie."""
    if test != root:
        return [f for f in subfolders(root) if "".join(words_of(f.name)) not in PARTS]
    if is_neutral(name_of(root)):  # folders images and masks
        return [f for f in subfolders(Path(os.path.abspath(root)).parent) if not is_neutral(f.name)]
    return []


def is_good(folder: Path) -> bool:
    """Whether the name of a folder means good images."""
    return is_good_name(folder.name)


def train_folder(folder: Path) -> Path | None:
    """The folder train of a category."""
    return _named(folder, TRAIN_NAMES)


def test_folder(folder: Path) -> Path | None:
    """The folder test of a category."""
    return _named(folder, TEST_NAMES)


def _named(folder: Path, names: tuple[str, ...]) -> Path | None:
    found = {"".join(words_of(f.name)): f for f in reversed(subfolders(folder))}
    return next((found[name] for name in names if name in found), None)


def _label(test: Path, path: Path) -> str:
    """The label of a photograph: good, or the name of its folder in `test`; none if in no folder.

    Raises:
        DataError: the name of the folder is not clear.
    """
    folders = path.relative_to(test).parts[:-1]
    if not folders:
        return ""
    if is_good_name(folders[0]):
        return GOOD
    if says_good(folders[0]):
        raise DataError(
            f"{test / folders[0]}: expected a name that says good (good, ok or normal) or the name "
            "of a defect, got one that may be either; rename the folder"
        )
    return folders[0]
