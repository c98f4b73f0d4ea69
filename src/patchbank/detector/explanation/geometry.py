"""Where patches lie in photographs: in the inspected one, and in those that were learned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from patchbank.core.spatial.box import Box
from patchbank.detector.member import Member
from patchbank.detector.packing import DetectorParts
from patchbank.detector.preprocessing import ImageGeometry, geometry_of_size, part_size
from patchbank.detector.tiling import Tiling
from patchbank.errors import PatchbankError
from patchbank.images.augment import Augmentation
from patchbank.images.pixel_map import PixelMap, copy_size, whole_pixels
from patchbank.images.placement import Placement
from patchbank.images.roi import InspectedPart


@dataclass(frozen=True, slots=True)
class CellMap:
    """From cells of the first layer's grid to pixels of a photograph."""

    to_photograph: PixelMap
    grid: tuple[int, int]
    """(h, w) cells."""
    photograph: tuple[int, int]
    """(H, W) of the photograph."""

    @classmethod
    def of(cls, geometry: ImageGeometry) -> CellMap:
        """The map of an image whose geometry is known."""
        box, (h, w) = geometry.crop_box, geometry.feature_grid
        height, width = geometry.covered or (box.height, box.width)
        to_box = PixelMap.scaling((height / h, width / w), (box.top, box.left))
        if geometry.placement is not None:
            to_box = PixelMap.of_placement(geometry.placement).after(to_box)
        return cls(to_box, geometry.feature_grid, geometry.photograph)

    def box(self, centre: tuple[float, float], side: float) -> Box:
        """Bounding box in the photograph of a square of cells."""
        (row, column), half = centre, side / 2
        bounds = self.to_photograph.box(row - half, column - half, row + half, column + half)
        return whole_pixels(bounds, self.photograph)

    def around(self, centre: tuple[float, float]) -> PixelMap:
        """From cells relative to a centre to pixels of the photograph."""
        return PixelMap(self.to_photograph.linear, self.to_photograph.at(np.array(centre)))


class LearnedGeometry:
    """Where the patches of learned photographs lie, from their sizes and poses alone."""

    def __init__(self, parts: DetectorParts, member: Member, inspected: ImageGeometry) -> None:
        """Name the detector.

        Args:
            parts: of the detector.
            member: whose patches they are.
            inspected: geometry of a photograph that this member has seen: one of the same size has
                the same feature grid, whatever the network's strides say.
        """
        self._parts, self._member, self._inspected = parts, member, inspected
        self._known: dict[tuple[int, int], CellMap | None] = {}

    def cells(self, photograph: int, copy: int) -> CellMap | None:
        """The map of a learned photograph, or of an augmented copy of it, by their numbers.

        None where it is not known: files of older versions have no sizes or poses.
        """
        key = photograph, copy
        if key not in self._known:
            try:
                self._known[key] = self._found(photograph, copy)
            except PatchbankError:  # of a photograph that these settings cannot be for
                self._known[key] = None
        return self._known[key]

    def _found(self, photograph: int, copy: int) -> CellMap | None:
        likeness, settings = self._parts.likeness, self._member.settings
        updates, number = self._parts.updates, photograph
        if updates is not None:
            in_sample = updates.number_in_sample(photograph)
            number = len(self._parts.fitted_on) if in_sample is None else in_sample
        if likeness is None or number >= len(likeness.sizes) or copy >= len(settings.copies):
            return None
        height, width = likeness.sizes[number].tolist()
        size, augmentation = (height, width), settings.copies[copy]
        if settings.position == "canonical":
            return self._canonical(photograph, size, augmentation)
        box = Box(0, 0, *size)
        if self._parts.roi is not None:
            part = self._parts.roi.on(size)
            if augmentation.is_original:
                return CellMap.of(self._geometry(size, part))
            box = part.box
        inner = box.height, box.width
        copied = CellMap.of(self._geometry(copy_size(augmentation, inner)))
        back = PixelMap.of_copy(augmentation, inner)
        moved = PixelMap.scaling((1.0, 1.0), (box.top, box.left))
        to_photograph = moved.after(back).after(copied.to_photograph)
        return CellMap(to_photograph, copied.grid, size)

    def _canonical(
        self, photograph: int, size: tuple[int, int], augmentation: Augmentation
    ) -> CellMap | None:
        kept = self._parts.photographs
        if kept is None or kept.poses is None or photograph >= len(kept.poses):
            return None
        down, right, *centre = kept.poses[photograph].tolist()
        settings = self._member.settings
        placement = Placement.at(
            (down, right), (centre[0], centre[1]), part_size(settings, size)
        ).copied(augmentation)
        whole = geometry_of_size(self._member.extractor, settings, size, placement=placement)
        return CellMap.of(self._with_grid(whole))

    def _geometry(self, size: tuple[int, int], part: InspectedPart | None = None) -> ImageGeometry:
        extractor, settings = self._member.extractor, self._member.settings
        if settings.tiles:
            return Tiling.of(extractor, settings, size, part).geometry
        return self._with_grid(geometry_of_size(extractor, settings, size, part))

    def _with_grid(self, geometry: ImageGeometry) -> ImageGeometry:
        """The geometry with the feature grid that the network has made of such an input."""
        seen = self._inspected
        if geometry.input_size != seen.input_size or geometry.feature_grid == seen.feature_grid:
            return geometry
        return replace(geometry, feature_grid=seen.feature_grid)
