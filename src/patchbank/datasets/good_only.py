"""Refuse to learn from a folder with more in it than good photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchbank.errors import DataError, ImageError
from patchbank.images.folders import FoundImages, few
from patchbank.images.masks import shows_anything
from patchbank.images.names import is_bad, says_good, without_mask_affix, words_of

UNCLEAR = ({"positive", "positives", "pos"}, {"negative", "negatives", "neg"})
SPLIT = ({"train", "training"}, {"test", "testing", "testpublic", "val", "valid", "validation"})


def refuse_defects(found: FoundImages) -> None:
    """Check by folders and masks that only good photographs were found.

    Raises:
        DataError: a folder is named after defects, lies next to one that is named good, or is the
            test part of a data set; or a photograph has a mask that shows a defect.
    """
    children: dict[Path, list[Path]] = {}
    loose: set[Path] = set()
    for image in found.images:
        loose.add(image.parent)
        for folder in image.parents:
            if folder == found.folder or folder in children.get(folder.parent, ()):
                break
            children.setdefault(folder.parent, []).append(folder)
    for parent in sorted(children):
        _check(parent, sorted(children[parent]), has_loose=parent in loose)
    _refuse_masked(found)


def _check(parent: Path, folders: Sequence[Path], *, has_loose: bool) -> None:
    good = [folder for folder in folders if says_good(folder.name)]
    others = [folder for folder in folders if folder not in good]
    if good and others:
        raise DataError(
            f"{parent}: expected good images only, got {good[0].name} together with "
            f"{few([folder.name for folder in others], 'folder')}; give {good[0]}"
        )
    bad = [folder.name for folder in folders if is_bad(folder.name)]
    if bad:
        rest = [str(folder) for folder in folders if folder.name not in bad]
        give = "the good photographs in a folder of their own"
        if rest and not has_loose:
            give = few(rest, "folder")
        raise DataError(
            f"{parent}: expected good images only, got defects in {few(bad, 'folder')}; give {give}"
        )
    names = {"".join(words_of(folder.name)): folder for folder in folders}
    for one, other in (UNCLEAR, SPLIT):
        first, second = one & names.keys(), other & names.keys()
        if first and second:
            raise DataError(
                f"{parent}: expected good images only, got {names[min(first)].name} together with "
                f"{names[min(second)].name}; give the folder of the good ones to learn from"
            )


def _refuse_masked(found: FoundImages) -> None:
    names = {image.with_suffix("").as_posix().casefold(): image for image in found.images}
    for mask in found.masks:
        above = next((folder for folder in found.mask_folders if folder in mask.parents), None)
        inside = mask if above is None else above.parent / mask.relative_to(above)
        split = without_mask_affix(inside.stem)
        for stem in (inside.stem, split[0] if split else inside.stem):
            image = names.get(inside.with_name(stem).as_posix().casefold())
            if image is not None and _shows_a_defect(mask):
                raise DataError(
                    f"{image}: expected good images only, got one whose mask {mask.name} shows a "
                    "defect; give the folder of the good ones, without masks"
                )


def _shows_a_defect(mask: Path) -> bool:
    try:
        return shows_anything(mask)
    except ImageError:
        return False
