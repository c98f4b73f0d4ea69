"""Compare the sizes of masks and photographs by their headers, before anything is inspected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from patchbank.datasets import Dataset, Sample
from patchbank.errors import ImageError
from patchbank.images.formats import SUFFIXES
from patchbank.images.masks import fits, image_size


@dataclass(frozen=True, slots=True)
class MaskCheck:
    """Remarks on the masks of a data set."""

    problem: str | None
    """The reason why pixels cannot be compared, in one line; None if all masks fit."""
    note: str | None
    """A line about masks that are scaled."""


def check_masks(dataset: Dataset) -> MaskCheck:
    """Check that each mask has the size of its photograph, or its aspect ratio.

    Photographs whose header cannot be read are skipped: inspecting them gives the reason.
    """
    n_masks = 0
    scaled: list[str] = []
    wrong: list[str] = []
    for sample in dataset.samples:
        for mask in _files(sample):
            n_masks += 1
            try:
                own = image_size(mask)
            except ImageError as error:
                wrong.append(str(error))
                continue
            try:
                size = image_size(sample.path)
            except ImageError:
                continue
            if own != size:
                sizes = (
                    f"{mask} has {own[0]} x {own[1]} pixels (height x width), its photograph "
                    f"{size[0]} x {size[1]}"
                )
                (scaled if fits(own, size) else wrong).append(sizes)
    problem = note = None
    if wrong:
        problem = f"no pixel metrics: {len(wrong)} of {n_masks} masks cannot be used: {wrong[0]}"
    elif scaled:
        note = f"{len(scaled)} of {n_masks} masks are scaled to their photographs: {scaled[0]}"
    return MaskCheck(problem, note)


def _files(sample: Sample) -> Iterator[Path]:
    """The files of a mask, which may be a folder of them."""
    if sample.mask is not None and sample.mask.is_dir():
        files = (p for p in sample.mask.iterdir() if p.suffix.lower() in SUFFIXES)
        yield from sorted(path for path in files if path.is_file() and path.name[0] != ".")
    elif sample.mask is not None:
        yield sample.mask
