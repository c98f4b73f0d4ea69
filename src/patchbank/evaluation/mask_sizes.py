"""Compare the sizes of masks and photographs by their headers, before anything is inspected."""

from __future__ import annotations

from patchbank.datasets import Dataset
from patchbank.errors import ImageError
from patchbank.images.masks import fits, image_size, mask_parts


def check_masks(dataset: Dataset) -> str | None:
    """The reason why pixels cannot be compared, in one line; None if all masks fit.

    Photographs whose header cannot be read are skipped: inspecting them gives the reason.
    """
    wrong: list[str] = []
    n_masks = 0
    for sample in dataset.samples:
        for mask in mask_parts(sample.mask) if sample.mask else []:
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
            if not fits(own, size):
                wrong.append(
                    f"{mask} has {own[0]} x {own[1]} pixels (height x width), its photograph "
                    f"{size[0]} x {size[1]}"
                )
    if not wrong:
        return None
    return f"no pixel metrics: {len(wrong)} of {n_masks} masks cannot be used: {wrong[0]}"
