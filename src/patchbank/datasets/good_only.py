"""Refuse to learn from a folder with more in it than good photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from patchbank.errors import DataError, ImageError
from patchbank.images.folders import FoundImages, few
from patchbank.images.masks import shows_anything
from patchbank.images.names import is_bad, says_good, without_mask_affix, words_of

UNCLEAR = ({"positive", "positives", "pos"}, {"negative", "negatives", "neg"})
LABELS = ({"0"}, {"1"})  # of a data set with two classes; with more folders they are numbers
SPLIT = ({"train", "training"}, {"test", "testing", "testpublic", "val", "valid", "validation"})


def refuse_defects(found: FoundImages) -> None:
    """Check by names and masks that only good photographs were found.

    Raises:
        DataError: names of files tell good ones from defects; a folder is named after defects,
            lies next to one that is named good, or is the test part of a data set; or a
            photograph has a mask that shows a defect.
    """
    children: dict[Path, list[Path]] = {}
    loose: set[Path] = set()
    for image in found.images:
        loose.add(image.parent)
        for folder in image.parents:
            if folder == found.folder or folder in children.get(folder.parent, ()):
                break
            children.setdefault(folder.parent, []).append(folder)
    _refuse_named(found.images)
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
    labels = LABELS if names.keys() == {"0", "1"} else UNCLEAR
    for one, other in (labels, SPLIT):
        first, second = one & names.keys(), other & names.keys()
        if first and second:
            raise DataError(
                f"{parent}: expected good images only, got {names[min(first)].name} together with "
                f"{names[min(second)].name}; give the folder of the good ones to learn from"
            )


def _refuse_named(images: Sequence[Path]) -> None:
    """Refuse ``1_NG.png`` next to ``2_OK.png``; a word alone may be the name of a part."""
    bad: dict[Path, Path] = {}
    good: dict[Path, Path] = {}
    for image in images:
        if is_bad(image.stem):
            bad.setdefault(image.parent, image)
        elif says_good(image.stem):
            good.setdefault(image.parent, image)
    for parent in sorted(bad.keys() & good.keys()):
        raise DataError(
            f"{parent}: expected good images only, got {good[parent].name} together with "
            f"{bad[parent].name}; give the good photographs in a folder of their own"
        )


def _refuse_masked(found: FoundImages) -> None:
    """Refuse a photograph whose mask shows a defect, next to it or in a folder next to its own."""
    if not found.masks:
        return
    names = {_bare(image): image for image in found.images}
    for image in found.images:
        for folder in image.parents:
            if folder == found.folder:
                break
            names.setdefault(_bare(folder.parent / "*" / image.relative_to(folder)), image)
    for mask in found.masks:
        for image in filter(None, map(names.get, _photographs_of(mask, found.mask_folders))):
            if _shows_a_defect(mask):
                raise DataError(
                    f"{image}: expected good images only, got one whose mask {mask.name} shows a "
                    "defect; give the folder of the good ones, without masks"
                )


def _photographs_of(mask: Path, mask_folders: Sequence[Path]) -> Iterator[str]:
    """Names of the photographs that a mask may belong to; ``*`` stands for any folder."""
    above = next((folder for folder in mask_folders if folder in mask.parents), None)
    split = without_mask_affix(mask.stem)
    for stem in {mask.stem, split[0] if split else mask.stem}:
        named = mask.with_name(stem + mask.suffix)
        if above is None:
            yield _bare(named)
        else:
            inside = named.relative_to(above)
            yield _bare(above.parent / inside)
            yield _bare(above.parent / "*" / inside)


def _bare(path: Path) -> str:
    return path.with_suffix("").as_posix().casefold()


def _shows_a_defect(mask: Path) -> bool:
    try:
        return shows_anything(mask)
    except ImageError:
        return False
