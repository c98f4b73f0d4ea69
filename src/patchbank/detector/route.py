"""The product that a photograph shows, as a router found it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The product that a photograph shows among those of a router, and how sure that is."""

    product: str | None
    """Name of the product; None where the photograph shows none of them."""
    nearest: str
    """Name of the product that is nearest, whether or not it is the one."""
    relative_distance: float
    """Distance to the nearest product, by the usual one of its good photographs when left out."""
    limit: float
    """Largest such distance of its good parts, by what was learned: a photograph beyond it shows
    none of the products, unless a spot in it is farther still, as a defect is."""
    uncovered: float | None = None
    """Distance of what is usual in the nearest product to what the photograph shows, by that of its
    good photographs when left out; None where the detector knows none."""
    uncovered_limit: float | None = None
    """Largest such distance of its good parts, by what was learned."""
    second: str | None = None
    """Name of the product that is second nearest; None where there is one product."""
    margin: float | None = None
    """Share by which the nearest product is nearer than the second: 0 where they are equally far,
    0.5 where it is half as far.  None where there is one product."""
    detector_sha256: str = ""
    """SHA-256 of the content of the detector of the nearest product."""

    def __str__(self) -> str:
        if self.product is None:
            text = (
                f"none of the products: the nearest, {self.nearest}, is "
                f"{self.relative_distance:.3g} times as far as usual (its good parts "
                f"{self.limit:.3g} at most)"
            )
            if self.uncovered is None or self.uncovered_limit is None:
                return text
            return (
                f"{text}, and what its parts show is {self.uncovered:.3g} times as far from being "
                f"seen ({self.uncovered_limit:.3g} at most)"
            )
        if self.margin is None:
            return self.product
        return f"{self.product}, {100 * self.margin:.0f} % nearer than {self.second}"

    def to_json(self) -> dict[str, Any]:
        """The object ``route`` in JSON."""
        return {
            "product": self.product,
            "nearest": self.nearest,
            "relative_distance": self.relative_distance,
            "limit": self.limit,
            "uncovered": self.uncovered,
            "uncovered_limit": self.uncovered_limit,
            "second": self.second,
            "margin": self.margin,
            "detector_sha256": self.detector_sha256,
        }
