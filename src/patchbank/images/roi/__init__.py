"""Region of interest: shapes that a user gives, and the part of a photograph that they select."""

from patchbank.images.roi.region import InspectedPart, RegionOfInterest, region_of_interest
from patchbank.images.roi.shapes import Shape, ShapeInput, shapes_of

__all__ = [
    "InspectedPart",
    "RegionOfInterest",
    "Shape",
    "ShapeInput",
    "region_of_interest",
    "shapes_of",
]
