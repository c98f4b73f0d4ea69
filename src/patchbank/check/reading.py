"""Read the photographs of a set once, and keep of each what the checks need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from patchbank.datasets import GOOD, Dataset, Sample, find_dataset, training_images
from patchbank.errors import DataError, ImageError, ShapeError
from patchbank.images.folders import find_images
from patchbank.images.source import ImageInput, ImageSource, image_source, n_pixels
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.training.names import names_of
from patchbank.training.photographs import Content, Remarks, read_with_content, with_bit_depth


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph of a set."""

    name: str
    source: ImageSource
    is_test: bool
    label: str | None
    """``good``, the name of a defect, or None where the test photographs have no labels."""
    facts: Content | None
    """Facts of its pixels and its file; None where it cannot be read."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Photographs to read, the good ones first, and files that are skipped."""

    sources: tuple[ImageSource, ...]
    labels: tuple[str | None, ...]
    n_good: int
    skipped: tuple[Path, ...]
    notes: tuple[str, ...]


def listed(good: ImageInput | Iterable[ImageInput], test: str | Path | None) -> Listing:
    """List the photographs to learn from, and those of the test set.

    Args:
        good: as `Recipe.fit` takes it.
        test: a data set or a folder; None takes the test part of `good`, if that is a data set.

    Raises:
        DataError: as `training_images`; or `test` holds no photograph.
    """
    found = training_images(good)
    learned = [image_source(image) for image in found.images]
    dataset = _own_test(good, learned) if test is None else _test(Path(test))
    samples = () if dataset is None else dataset.samples
    notes = [*found.notes, *(dataset.notes if dataset is not None else ())]
    skipped = {*found.not_read, *(dataset.not_read if dataset is not None else ())}
    return Listing(
        (*learned, *(image_source(sample.path) for sample in samples)),
        (*(GOOD for _ in learned), *(_label(sample) for sample in samples)),
        len(learned),
        tuple(sorted(skipped)),
        tuple(notes),
    )


def read(listing: Listing, progress: Progress) -> tuple[list[Photograph], int | None, list[str]]:
    """Read all photographs.  -> (photographs, bit depth of those of 16 bits, lines about them)."""
    remarks = Remarks()
    sources, bit_depth = with_bit_depth(listing.sources, None, remarks, progress)
    names = names_of(sources)
    photographs = []
    with progress.task("reading photographs", len(sources)) as advance:
        for number, (source, future) in enumerate(map_in_order(_facts, sources, n_pixels)):
            make = partial(
                Photograph, names[number], source, number >= listing.n_good, listing.labels[number]
            )
            try:
                photographs.append(make(future.result()))
            except (ImageError, ShapeError) as error:
                photographs.append(make(None, str(error)))
            advance(1)
    return photographs, bit_depth, remarks.lines


UNLABELLED = ""


def _label(sample: Sample) -> str | None:
    return None if sample.label == UNLABELLED else sample.label


def _facts(source: ImageSource) -> Content:
    return read_with_content(source)[1]


def _own_test(
    good: ImageInput | Iterable[ImageInput], learned: Sequence[ImageSource]
) -> Dataset | None:
    """The test part of a data set; None where all photographs of `good` are learned."""
    if not isinstance(good, (str, Path)):
        return None
    try:
        dataset = find_dataset(good)
    except DataError:
        return None
    known = {source.content for source in learned if isinstance(source.content, Path)}
    return None if any(sample.path in known for sample in dataset.samples) else dataset


def _test(root: Path) -> Dataset:
    """Test photographs of a data set, or those of a folder, without labels."""
    try:
        return find_dataset(root)
    except DataError:
        if not root.is_dir():
            raise
    found = find_images(root)
    samples = tuple(Sample(path, UNLABELLED) for path in found.images)
    return Dataset(root.name, samples, tuple(found.mask_notes("inspected")), found.not_read)
