"""Extract the features of good photographs and of their augmented copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import ImageGeometry, extract, patch_stride
from patchbank.errors import ImageError, ShapeError
from patchbank.images.augment import Augmentation
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import ImageSource, n_pixels
from patchbank.methods import TrainingImage
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.settings import Settings
from patchbank.training.photographs import Content, Contents, read_with_content, unreadable
from patchbank.types import Image


@dataclass(frozen=True, slots=True)
class ExtractedImage:
    """One image of the fit: its features for the method, its geometry for the calibration."""

    features: TrainingImage
    geometry: ImageGeometry


@dataclass(frozen=True, slots=True)
class _Copy:
    """A decoded photograph, and the copy of it to make."""

    photograph: int
    image: Image
    augmentation: Augmentation


def extract_images(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: Sequence[ImageSource],
    progress: Progress,
    contents: Contents | None = None,
    roi: RegionOfInterest | None = None,
) -> Iterator[ExtractedImage]:
    """Yield every photograph in order, each followed by its copies.

    Photographs are decoded, and features extracted, on all cores a few images ahead of the one that
    is yielded; so memory does not grow with the number of photographs.  After one that cannot be
    read the others are decoded only, so that the error names all of them.

    Args:
        extractor: of the features.
        settings: of the input, and the augmented copies.
        sources: the photographs.
        progress: shows the images.
        contents: receives the facts of each photograph.
        roi: region of interest; None where whole photographs are learned.

    Raises:
        ImageError, ShapeError: photographs cannot be read.
        ParameterError, BackboneError: the network cannot run on it.
    """

    def extracted(copy: _Copy) -> ExtractedImage:
        image, augmentation = copy.image, copy.augmentation
        part = None if roi is None else roi.on((image.shape[0], image.shape[1]))
        if augmentation.is_original:
            maps, geometry = extract(extractor, settings, image, part)
            original = TrainingImage(maps, copy.photograph, None, geometry.cells)
            return ExtractedImage(original, geometry)
        if part is not None:  # a copy of what is inspected: it is as large as that
            image = part.box.of(image)
        maps, geometry = extract(extractor, settings, image, augmentation=augmentation)
        grid, cells = geometry.feature_grid, None
        if geometry.placement is not None:
            inside = np.ones(grid, dtype=np.bool_)  # nothing is mirrored
        else:
            inside = augmentation.inside(image.shape[:2], grid, geometry.crop_shares)
        if part is not None:
            cells = part.cells_of_copy(augmentation, grid, patch_stride(settings))
        return ExtractedImage(TrainingImage(maps, copy.photograph, inside, cells), geometry)

    n_images = len(sources) * len(settings.copies)
    with progress.task("reading good images", n_images) as advance:
        for _, image in map_in_order(
            extracted, _copies(sources, settings, contents, roi), _n_pixels
        ):
            yield image.result()
            advance(1)


def _copies(
    sources: Sequence[ImageSource],
    settings: Settings,
    contents: Contents | None,
    roi: RegionOfInterest | None,
) -> Iterator[_Copy]:
    errors: list[Exception] = []
    read = _read if contents is None else partial(read_with_content, roi=roi)
    # A loop: a generator expression would keep its iterator, and so the threads, after an error.
    for number, (source, decoded) in enumerate(map_in_order(read, sources, n_pixels)):
        try:
            image, content = decoded.result()
        except (ImageError, ShapeError) as error:
            errors.append(error)
            continue
        if contents is not None and content is not None:
            contents.add(source, content)
        if errors:
            continue
        for augmentation in settings.copies:
            yield _Copy(number, image, augmentation)
    if errors:
        raise unreadable(errors, len(sources))


def _read(source: ImageSource) -> tuple[Image, Content | None]:
    return source.read(), None


def _n_pixels(copy: _Copy) -> int:
    return int(np.prod(copy.image.shape[:2]))
