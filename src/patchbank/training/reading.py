"""Photographs of a fit, read into a learner: here, or in parts wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.images.roi import RegionOfInterest
from patchbank.images.small_pictures import PictureScale
from patchbank.images.source import ImageSource
from patchbank.methods import METHODS, Learner, Method
from patchbank.methods.base import FeatureMaps
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.settings import Settings, part_of
from patchbank.training.extraction import extract_images
from patchbank.training.groups import GroupSearch
from patchbank.training.photographs import Contents
from patchbank.training.series import PhotographPatches


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings and terms under which the photographs of one member are read."""

    method_name: str
    settings: Settings
    roi: RegionOfInterest | None
    pictures: PictureScale | None
    """Size of the small pictures; None for none."""
    with_contents: bool
    """Whether the facts of the photographs are not known yet."""
    with_patches: bool
    """Whether patches are kept, from which series follow."""

    @classmethod
    def of(
        cls, method: Method, settings: Settings, search: GroupSearch, roi: RegionOfInterest | None
    ) -> Reading:
        """Read what the search does not know yet."""
        with_contents = search.is_open and not search.contents.contents
        pictures, with_patches = search.contents.pictures, search.takes_patches
        return cls(method.name, settings, roi, pictures, with_contents, with_patches)

    def learner(self, n_photographs: int, progress: Progress, device: Device) -> Learner:
        """A learner of so many photographs and their copies."""
        method, settings = METHODS[self.method_name], self.settings
        n_images = n_photographs * len(settings.copies)
        return method.learner(part_of(settings, method.parameters), n_images, progress, device)


@dataclass(slots=True)
class PartRead:
    """Facts of some photographs that have been read, but for what was learned."""

    geometries: list[ImageGeometry] = field(default_factory=list)
    contents: Contents = field(default_factory=Contents)
    patches: PhotographPatches = field(default_factory=PhotographPatches)
    unread: list[Exception] = field(default_factory=list)
    """Errors of photographs that cannot be read."""


Reader: TypeAlias = Callable[
    [Reading, FeatureExtractor, Learner, GroupSearch, Progress], list[ImageGeometry]
]
"""(how they are read, backbone, learner, search for groups, progress) -> geometry of each
photograph; the learner has learned all of them, and the search knows them."""


def read_here(
    reading: Reading,
    extractor: FeatureExtractor,
    learner: Learner,
    search: GroupSearch,
    progress: Progress,
) -> list[ImageGeometry]:
    """Read all photographs in this process, one after the other."""
    contents = search.contents if reading.with_contents else None
    return _read(
        reading, extractor, learner, search.sources, contents, search.add, progress, unread=None
    )


def read_part(
    reading: Reading,
    extractor: FeatureExtractor,
    learner: Learner,
    sources: Sequence[ImageSource],
    progress: Progress,
) -> PartRead:
    """Read some photographs; what cannot be read is part of the result."""
    part = PartRead()
    part.contents.pictures = reading.pictures
    contents = part.contents if reading.with_contents else None

    def keep(maps: FeatureMaps) -> None:
        if reading.with_patches:
            part.patches.add(maps)

    part.geometries = _read(
        reading, extractor, learner, sources, contents, keep, progress, unread=part.unread
    )
    return part


def _read(
    reading: Reading,
    extractor: FeatureExtractor,
    learner: Learner,
    sources: Sequence[ImageSource],
    contents: Contents | None,
    keep: Callable[[FeatureMaps], None],
    progress: Progress,
    *,
    unread: list[Exception] | None,
) -> list[ImageGeometry]:
    """Hand the features to the learner image by image; those of all are never held here."""
    geometries = []
    for image in extract_images(
        extractor, reading.settings, sources, progress, contents, reading.roi, unread
    ):
        learner.add(image.features)
        if image.overview is not None:
            geometries.append(image.geometry)
            keep(image.overview)
    return geometries
