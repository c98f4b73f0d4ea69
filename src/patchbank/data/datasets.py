"""Labelled images: data sets in MVTec layout, and plain folders named after their defects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchbank.data.folders import GOOD_NAMES, find_images
from patchbank.errors import DataError

GOOD = "good"


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image."""

    path: Path
    label: str
    """``good``, or the name of the defect."""
    mask: Path | None = None

    @property
    def is_defect(self) -> bool:
        """Whether the image shows a defect."""
        return self.label != GOOD


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled images to evaluate on."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def has_masks(self) -> bool:
        """Whether every defect image has a mask: pixel metrics need them all."""
        defects = [s for s in self.samples if s.is_defect]
        return bool(defects) and all(s.mask is not None for s in defects)


def find_dataset(root: Path) -> Dataset:
    """Read the test images of a data set.

    ``root/test/<defect>`` with ``root/ground_truth/<defect>/<name>_mask.png`` (MVTec layout, with
    or without masks), or ``root/<defect>``; a folder called good, ok or normal holds good images.

    Raises:
        DataError: not such a folder, or good or defect images are missing.
    """
    if not root.is_dir():
        raise DataError(f"{root}: expected the folder of a data set, got nothing of that name")
    test = root / "test" if (root / "test").is_dir() else root
    folders = sorted(p for p in test.iterdir() if p.is_dir() and not p.name.startswith("."))
    samples = [s for f in folders if f.name != "ground_truth" for s in _samples(f, root)]
    labels = {s.label for s in samples}
    if GOOD not in labels or len(labels) < 2:
        found = ", ".join(f.name for f in folders) or "no folder"
        raise DataError(
            f"{test}: expected a folder of good images (good, ok or normal) beside at least one "
            f"of defects, got {found}"
        )
    return Dataset(root.resolve().name, tuple(samples))


def _samples(folder: Path, root: Path) -> list[Sample]:
    label = GOOD if folder.name.lower() in GOOD_NAMES else folder.name
    masks = {} if label == GOOD else _masks(root / "ground_truth" / folder.name)
    return [
        Sample(path, label, masks.get(path.relative_to(folder).with_suffix("")))
        for path in find_images(folder)
    ]


def _masks(folder: Path) -> dict[Path, Path]:
    """Masks by the name of their image, without suffix: ``000_mask.png`` or ``000.png``."""
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).with_name(path.stem.removesuffix("_mask")): path
        for path in find_images(folder)
    }
