"""Compare the sizes of masks and photographs by their headers, before anything is inspected."""

from __future__ import annotations

from dataclasses import dataclass

from patchbank.datasets import Dataset
from patchbank.errors import ImageError
from patchbank.images.masks import files_of_mask, fits, image_size


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
        if sample.mask is None:
            continue
        try:
            files = files_of_mask(sample.mask)
        except ImageError as error:
            n_masks += 1
            wrong.append(str(error))
            continue
        for mask in files:
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
