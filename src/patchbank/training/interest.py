"""The region of interest of a fit: from what a user gives to the photographs that are learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from patchbank.errors import DataError, ParameterError
from patchbank.images.masks import fits
from patchbank.images.roi import RegionOfInterest, Shape, ShapeInput, region_of_interest, shapes_of
from patchbank.images.source import ImageSource
from patchbank.methods import Method
from patchbank.settings import Settings


@dataclass(frozen=True, slots=True)
class Interest:
    """Shapes that say what is inspected of each photograph; all of it, if there are none."""

    roi: tuple[Shape, ...] = ()
    ignore: tuple[Shape, ...] = ()

    @classmethod
    def of(cls, roi: ShapeInput | None, ignore: ShapeInput | None) -> Interest:
        """The shapes that a user gives; see `images.roi.shapes_of`.

        Raises:
            ParameterError: there is no such shape.
        """
        return cls(shapes_of("roi", roi), shapes_of("ignore", ignore))

    def __bool__(self) -> bool:
        return bool(self.roi or self.ignore)

    def check(self, parts: Sequence[tuple[Method, Settings]]) -> None:
        """Check that these methods with these settings can inspect a part of a photograph.

        Raises:
            ParameterError: one cannot.
        """
        if not self:
            return
        name = "roi" if self.roi else "ignore"
        for method, settings in parts:
            if not method.takes_interest:
                raise ParameterError(
                    f"{name}: expected a method that can leave patches out, got {method.name}"
                )
            if settings.position == "canonical":
                raise ParameterError(
                    f"position: expected 'as_photographed' with {name}, which lies at one place of "
                    f"all photographs, got {settings.position!r}"
                )
            if settings.crop is not None:
                raise ParameterError(
                    f"crop: expected none with {name}, which says what is inspected, got "
                    f"{settings.crop}; give crop none"
                )

    def region(self, sources: Sequence[ImageSource]) -> tuple[RegionOfInterest | None, list[str]]:
        """The region in these photographs, and lines about it; None where there are no shapes.

        Numbers are pixels of the photographs; where those have several sizes of one aspect ratio,
        of the size that most of them have.

        Raises:
            DataError: photographs have different aspect ratios.
            ParameterError: a shape does not fit the photographs.
        """
        if not self:
            return None, []
        sizes = [(header.height, header.width) for header in (each.header for each in sources)]
        counts = Counter(size for size in sizes if min(size) > 0)
        if not counts:  # none can be read: reading them gives the reasons
            return None, []
        usual = max(counts, key=lambda size: (counts[size], size))
        for source, size in zip(sources, sizes, strict=True):
            if min(size) > 0 and not fits(usual, size):
                raise DataError(
                    f"{source.name}: expected a photograph of {usual[0]} x {usual[1]} pixels "
                    "(height x width, as most of them) or of this aspect ratio, for the region of "
                    f"interest, got {size[0]} x {size[1]}"
                )
        region, lines = region_of_interest(self.roi, self.ignore, usual)
        if len(counts) > 1:
            lines.append(
                f"photographs have {len(counts)} sizes: the region of interest is in pixels of "
                f"{usual[0]} x {usual[1]} (height x width), and scaled to the others"
            )
        return region, lines


EVERYTHING = Interest()
