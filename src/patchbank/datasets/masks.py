"""Which mask belongs to which photograph.

Masks lie next to their photographs (``crack/000_mask.png``, or black and white ``000.png`` next to
``000.jpg``), in a folder of masks next to or above them (``mask/000.png``, ``crack_mask/000.png``),
with or without a folder for each defect (``ground_truth/crack/000.png``), and are named like the
photograph, with or without ``mask`` or ``GT`` before or after; or ``ground_truth/crack/000`` is a
folder of masks.  Letters may be small or capital.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from patchbank.datasets.base import GOOD, Sample
from patchbank.errors import DataError
from patchbank.images.folders import few
from patchbank.images.formats import SUFFIXES
from patchbank.images.names import is_neutral, without_mask_affix, words_of


@dataclass(frozen=True, slots=True)
class Matched:
    """Samples with their masks."""

    samples: tuple[Sample, ...]
    notes: tuple[str, ...]
    """Lines about photographs without a mask, and masks without a photograph."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A photograph as its mask names it."""

    label: tuple[str, ...] | None
    """Words of the label; None where the place of the mask says nothing of it."""
    name: str
    """Path below the folder of the label, without its ending, in small letters."""


def masks_of_samples(
    root: Path,
    test: Path,
    samples: Sequence[Sample],
    masks: Iterable[Path],
    mask_folders: Sequence[Path],
) -> Matched:
    """Give each defect sample its mask.

    Args:
        root: folder of the data set, which messages leave out.
        test: folder of the folders of the labels.
        samples: photographs without masks.
        masks: all masks.
        mask_folders: folders of which every picture is a mask.

    Raises:
        DataError: a photograph has several masks, or a mask several photographs.
    """
    listed = sorted(masks)
    labels = {words_of(sample.path.relative_to(test).parts[0]) for sample in samples}
    by_key: dict[_Key, list[Path]] = {}
    folders: dict[_Key, list[Path]] = {}
    for path in listed:
        above = next((f for f in mask_folders if f in path.parents), None)
        for key, in_folder in set(_keys(path, above, test, labels)):
            where = folders if in_folder else by_key
            unit = path.parent if in_folder else path
            if unit not in where.setdefault(key, []):
                where[key].append(unit)
    matched: list[Sample] = []
    owners: dict[Path, Sample] = {}
    for sample in samples:
        mask: Path | None = None
        if sample.label != GOOD:
            keys = _keys_of_photograph(sample, test)
            mask = _one(root, sample, keys, by_key) or _one(root, sample, keys, folders)
        if mask is not None:
            other = owners.setdefault(mask, sample)
            if other is not sample:
                raise DataError(
                    f"{mask}: expected the mask of one photograph, got that of "
                    f"{_shown(other.path, root)} and {_shown(sample.path, root)}; put the masks "
                    "in folders that are named like those of the photographs"
                )
        matched.append(replace(sample, mask=mask))
    return Matched(tuple(matched), tuple(_notes(root, test, matched, listed)))


def missing_masks(root: Path, samples: Sequence[Sample], *, some: bool = False) -> Iterator[str]:
    """A line about defect photographs without a mask, if others have one.

    Args:
        root: folder of the data set, which the line leaves out.
        samples: photographs with their masks.
        some: there are masks, even if none belongs to a photograph.
    """
    defects = [sample for sample in samples if sample.is_defect]
    without = [_shown(sample.path, root) for sample in defects if sample.mask is None]
    if without and (some or len(without) < len(defects)):
        yield (
            f"{len(defects) - len(without)} of {len(defects)} defect photographs have masks; "
            f"none for {few(without, 'photograph')}"
        )


def _keys(
    mask: Path, above: Path | None, test: Path, labels: set[tuple[str, ...]]
) -> Iterator[tuple[_Key, bool]]:
    """The photographs that a mask may belong to, and whether its folder is a folder of masks."""
    if above is None:  # next to its photograph
        label, inside = _below_label(mask.relative_to(test))
        yield from ((_Key(label, name), False) for name in _names(inside))
        return
    inside = mask.relative_to(above)
    label = _label_of_folder(above, test, labels)
    if test in above.parents and above.parent != test:  # in the folder of a label
        inside = _below_label(above.parent.relative_to(test) / inside)[1]
    elif label is None and len(inside.parts) > 1:
        found = _label_of_name(inside.parts[0], labels)
        if found is not None:
            label, inside = found, PurePath(*inside.parts[1:])
    yield from ((_Key(label, name), False) for name in _names(inside))
    if len(inside.parts) > 1:
        yield _Key(label, _name(inside.parent)), True


def _label_of_folder(
    folder: Path, test: Path, labels: set[tuple[str, ...]]
) -> tuple[str, ...] | None:
    """Label of a folder of masks: that in which it lies, or that of which it has the name."""
    if test in folder.parents and folder.parent != test:
        return _below_label(folder.relative_to(test))[0]
    return _label_of_name(folder.name, labels)


def _label_of_name(name: str, labels: set[tuple[str, ...]]) -> tuple[str, ...] | None:
    split = without_mask_affix(name)
    for words in (words_of(name), words_of(split[0]) if split else ()):
        if words in labels:
            return words
    return None


def _below_label(inside: PurePath) -> tuple[tuple[str, ...] | None, PurePath]:
    if len(inside.parts) < 2:
        return None, inside
    return words_of(inside.parts[0]), PurePath(*inside.parts[1:])


def _names(inside: PurePath) -> set[str]:
    """Names of the photographs that a mask of this path may belong to."""
    split = without_mask_affix(inside.stem)
    stems = {inside.stem} | ({split[0]} if split else set())
    stems |= {PurePath(stem).stem for stem in stems if PurePath(stem).suffix.lower() in SUFFIXES}
    return {_name(inside.with_name(stem)) for stem in stems}


def _name(path: PurePath) -> str:
    """A path in small letters, without folders that say only that photographs are in them."""
    folders = [part for part in path.parent.parts if not is_neutral(part)]
    return PurePath(*folders, path.name).as_posix().casefold()


def _keys_of_photograph(sample: Sample, test: Path) -> tuple[_Key, ...]:
    label, inside = _below_label(sample.path.relative_to(test))
    name = _name(inside.with_suffix(""))
    return _Key(label, name), _Key(None, name)


def _one(
    root: Path, sample: Sample, keys: Sequence[_Key], by_key: dict[_Key, list[Path]]
) -> Path | None:
    found = next((by_key[key] for key in keys if key in by_key), [])
    if len(found) > 1:
        raise DataError(
            f"{sample.path}: expected one mask, got "
            f"{few([_shown(path, root) for path in found], 'mask')}; remove the wrong ones"
        )
    return found[0] if found else None


def _notes(
    root: Path, test: Path, samples: Sequence[Sample], masks: Sequence[Path]
) -> Iterator[str]:
    if not masks:
        return
    yield from missing_masks(root, samples, some=True)
    used = {sample.mask for sample in samples if sample.mask}
    good = {key.name for s in samples if not s.is_defect for key in _keys_of_photograph(s, test)}
    left = [
        _shown(mask, root)
        for mask in masks
        if mask not in used
        and mask.parent not in used
        and good.isdisjoint(_names(PurePath(mask.name)))
    ]
    if left:
        count = "1 mask belongs" if len(left) == 1 else f"{len(left)} masks belong"
        yield f"{count} to no photograph: {few(left, 'mask')}"


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if root in path.parents else str(path)
