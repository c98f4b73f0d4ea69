"""Extract the features of good photographs and of their augmented copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor, most_threads_of
from patchbank.detector.preprocessing import ImageGeometry, extract, patch_stride
from patchbank.detector.tiling import Tiling
from patchbank.errors import ImageError, ShapeError
from patchbank.images.augment import Augmentation
from patchbank.images.roi import InspectedPart, RegionOfInterest
from patchbank.images.source import ImageSource, n_pixels
from patchbank.methods import TrainingImage
from patchbank.methods.base import FeatureMaps
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.settings import Settings
from patchbank.training.photographs import Content, Contents, read_with_content, unreadable
from patchbank.types import Image

OVERVIEW_PX = 1024
"""Side of the photograph, thinned out, of which an overview is extracted; as long at least."""


@dataclass(frozen=True, slots=True)
class ExtractedImage:
    """One image of the fit, or one tile of it: its features, and more of a photograph itself."""

    features: TrainingImage
    geometry: ImageGeometry
    """Geometry of the whole image, of which this may be a tile."""
    overview: FeatureMaps | None = None
    """Feature maps of a photograph seen whole; None for a copy, and for all tiles but the first."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a decoded photograph, to be made and seen whole."""

    photograph: int
    image: Image
    augmentation: Augmentation
    part: InspectedPart | None = None
    """The region of interest in the photograph; None where all of it is seen."""

    @property
    def n_pixels(self) -> int:
        """Pixels, to limit memory."""
        return int(np.prod(self.image.shape[:2]))

    def extracted(self, extractor: FeatureExtractor, settings: Settings) -> ExtractedImage:
        """The features of the copy."""
        image, augmentation, number, part = (
            self.image,
            self.augmentation,
            self.photograph,
            self.part,
        )
        if augmentation.is_original:
            maps, geometry = extract(extractor, settings, image, part)
            original = TrainingImage(maps, number, of_interest=geometry.cells)
            return ExtractedImage(original, geometry, maps)
        if part is not None:  # a copy of what is inspected: it is as large as that
            image = part.box.of(image)
        maps, geometry = extract(extractor, settings, image, augmentation=augmentation)
        grid, cells = geometry.feature_grid, None
        if geometry.placement is not None:
            inside = np.ones(grid, dtype=np.bool_)  # nothing is mirrored
        else:
            inside = _inside(augmentation, image, geometry)
        if part is not None:
            cells = part.cells_of_copy(augmentation, grid, patch_stride(settings))
        return ExtractedImage(TrainingImage(maps, number, inside, cells), geometry)


@dataclass(frozen=True, slots=True)
class _TileOfCopy:
    """A tile of a copy of a decoded photograph."""

    photograph: int
    image: Image
    """The copy."""
    tiling: Tiling
    number: int
    inside: NDArray[np.bool_] | None
    """Cells of the copy that show something, as `TrainingImage` has them."""

    @property
    def n_pixels(self) -> int:
        """Pixels, to limit memory; those of the photograph are in memory anyway."""
        return int(np.prod(self.tiling.tile_size))

    def extracted(self, extractor: FeatureExtractor, settings: Settings) -> ExtractedImage:
        """The features of the tile."""
        maps = self.tiling.features(self.image, self.number)
        tile = self.tiling.tile(self.number)
        geometry = self.tiling.geometry
        features = TrainingImage(maps, self.photograph, self.inside, geometry.cells, tile)
        if features.is_copy or not tile.is_first:
            return ExtractedImage(features, geometry)
        inspected = self.image if geometry.part is None else geometry.part.box.of(self.image)
        return ExtractedImage(features, geometry, _overview(extractor, settings, inspected))


def extract_images(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: Sequence[ImageSource],
    progress: Progress,
    contents: Contents | None = None,
    roi: RegionOfInterest | None = None,
    unread: list[Exception] | None = None,
) -> Iterator[ExtractedImage]:
    """Yield every photograph in order, each followed by its copies; with tiles, tile by tile.

    Photographs are decoded, and features extracted, on all cores a few images ahead of the one that
    is yielded; so memory does not grow with the number of photographs.  After one that cannot be
    read the others are decoded only, so that the error names all of them.

    Args:
        extractor: of the features.
        settings: of the input, and the augmented copies.
        sources: the photographs.
        progress: shows the images, or their tiles.
        contents: receives the facts of each photograph.
        roi: region of interest; None where whole photographs are learned.
        unread: receives the errors of photographs that cannot be read, which then are not raised.

    Raises:
        ImageError, ShapeError: photographs cannot be read.
        ParameterError, BackboneError: the network cannot run on it.
    """

    def extracted(part: Copy | _TileOfCopy) -> ExtractedImage:
        return part.extracted(extractor, settings)

    title = "reading tiles of good images" if settings.tiles else "reading good images"
    total = _n_parts(extractor, settings, sources, roi)
    with progress.task(title, total) as advance:
        errors: list[Exception] = [] if unread is None else unread
        parts = _parts(extractor, settings, sources, contents, roi, errors)
        threads = most_threads_of(extractor)
        for _, image in map_in_order(extracted, parts, lambda part: part.n_pixels, threads):
            yield image.result()
            advance(1)
    if errors and unread is None:
        raise unreadable(errors, len(sources))


def _parts(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: Sequence[ImageSource],
    contents: Contents | None,
    roi: RegionOfInterest | None,
    errors: list[Exception],
) -> Iterator[Copy | _TileOfCopy]:
    """Copies of each photograph, or their tiles: whatever the network sees at once."""
    for number, image in _photographs(sources, contents, roi, errors):
        part = None if roi is None else roi.on((image.shape[0], image.shape[1]))
        for augmentation in settings.copies:
            if settings.tiles:
                yield from _tiles(extractor, settings, number, image, augmentation, roi)
            else:
                yield Copy(number, image, augmentation, part)
        del image  # a large one is given back before the next one is decoded


def _photographs(
    sources: Sequence[ImageSource],
    contents: Contents | None,
    roi: RegionOfInterest | None,
    errors: list[Exception],
) -> Iterator[tuple[int, Image]]:
    read = _read
    if contents is not None:
        read = partial(read_with_content, roi=roi, pictures=contents.pictures)
    # A loop: a generator expression would keep its iterator, and so the threads, after an error.
    for number, (source, decoded) in enumerate(map_in_order(read, sources, n_pixels)):
        try:
            image, content = decoded.result()
        except (ImageError, ShapeError) as error:
            errors.append(error)
            continue
        if contents is not None and content is not None:
            contents.add(source, content)
        if not errors:
            yield number, image
        del image, decoded


def _tiles(
    extractor: FeatureExtractor,
    settings: Settings,
    photograph: int,
    image: Image,
    augmentation: Augmentation,
    roi: RegionOfInterest | None,
) -> Iterator[_TileOfCopy]:
    part = None if roi is None else roi.on((image.shape[0], image.shape[1]))
    inside = None
    if augmentation.is_original:
        copy, tiling = image, Tiling.of(extractor, settings, (image.shape[0], image.shape[1]), part)
    else:
        if part is not None:  # a copy of what is inspected: it is as large as that
            image, part = part.box.of(image), part.copied(augmentation)
        copy = augmentation.of(image)
        tiling = Tiling.of(extractor, settings, (copy.shape[0], copy.shape[1]), part)
        inside = _inside(augmentation, image, tiling.geometry)
    for number in range(len(tiling.tiles)):
        yield _TileOfCopy(photograph, copy, tiling, number, inside)


def _inside(augmentation: Augmentation, image: Image, geometry: ImageGeometry) -> NDArray[np.bool_]:
    """Where a copy of an image shows something of it, as `TrainingImage` has it."""
    size = image.shape[0], image.shape[1]
    return augmentation.inside(size, geometry.feature_grid, geometry.crop_shares)


def _n_parts(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: Sequence[ImageSource],
    roi: RegionOfInterest | None,
) -> int | None:
    """Number of copies or tiles of them; None where it is not known before they are made."""
    if not settings.tiles:
        return len(sources) * len(settings.copies)
    sizes = [(header.height, header.width) for header in (source.header for source in sources)]
    if any(0 in size for size in sizes) or (roi is not None and len(settings.copies) > 1):
        return None
    try:
        parts = [None if roi is None else roi.on(size) for size in sizes]
    except ShapeError:  # reading it names the photograph
        return None
    tilings = [Tiling.of(extractor, settings, *pair) for pair in zip(sizes, parts, strict=True)]
    return sum(len(tiling.tiles) for tiling in tilings) * len(settings.copies)


def _overview(extractor: FeatureExtractor, settings: Settings, image: Image) -> FeatureMaps:
    step = max(1, min(image.shape[:2]) // OVERVIEW_PX)
    whole = settings.with_changes(tiles=False, crop=None)
    return extract(extractor, whole, np.ascontiguousarray(image[::step, ::step]))[0]


def _read(source: ImageSource) -> tuple[Image, Content | None]:
    return source.read(), None
