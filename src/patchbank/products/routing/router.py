"""`Router`: inspects each photograph by the detector of the product that it shows."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from patchbank.choices import EngineName
from patchbank.detector.detector import Detector, parts_of
from patchbank.detector.inspecting import (
    inspect_photograph,
    inspected_part,
    judged,
)
from patchbank.detector.inspection import Inspection
from patchbank.detector.inspector import Inspector
from patchbank.detector.route import Route
from patchbank.errors import DataError, ImageError, NoProductError, ParameterError
from patchbank.images.source import ImageInput, ImageSource, image_source
from patchbank.products.routing.excerpt import Excerpt
from patchbank.products.routing.shelf import Shelf
from patchbank.products.routing.space import Space
from patchbank.products.routing.usual import Distances
from patchbank.runtime.arguments import DETECTOR, of_kind, path_argument


class Router(Inspector):
    """Detectors of many products; it inspects each photograph by that of the product it shows.

    `predict`, `predict_each`, `inspect` and `inspect_with` are those of a detector; their
    inspections have a `route`.  A photograph that shows none of the products has no verdict: it
    raises a NoProductError, or gives a FailedInspection.  The order of the detectors does not
    matter.
    """

    __slots__ = ("_alone", "_detectors", "_excerpts", "_spaces")

    def __init__(
        self, detectors: Mapping[str, Detector], *, excerpts: Mapping[str, Excerpt] | None = None
    ) -> None:
        """Take the detectors by the names of their products.

        Args:
            detectors: opened one after the other, and again when they are needed.
            excerpts: of detectors that need not be opened for it; see `excerpts`.

        Raises:
            DataError: there is none.
        """
        if not detectors:
            raise DataError("detectors: expected at least one, got none")
        if isinstance(detectors, dict):  # others open their detectors when they are asked for
            for name, detector in detectors.items():
                of_kind(f"detectors[{name!r}]", detector, Detector, DETECTOR)
        self._detectors = detectors
        known = excerpts or {}
        self._excerpts = {
            name: known[name] if name in known else Excerpt.of(detectors[name])
            for name in sorted(detectors)
        }
        by_space: dict[Hashable, dict[str, Excerpt]] = {}
        for name, excerpt in self._excerpts.items():
            if excerpt.space is not None:
                by_space.setdefault(excerpt.space, {})[name] = excerpt
        self._alone = [name for name, excerpt in self._excerpts.items() if excerpt.space is None]
        self._spaces = [Space(found, detectors) for found in by_space.values()]

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        device: str = "auto",
        engine: EngineName | None = None,
    ) -> Router:
        """Find all detector files of a folder; each is the product of its name.

        Some facts of each are kept; the detectors themselves are opened as photographs need them,
        and those that were used last stay open (`shelf.LIMIT_BYTES`).

        Args:
            folder: such as `fit_each` writes.
            device: as in `load`.
            engine: as in `load`.

        Raises:
            DataError: no such folder, or no detector file in it.
            DetectorFileError, BackboneError: a file cannot be used.
        """
        return cls(Shelf.of(path_argument("folder", folder), device, engine))

    @property
    def excerpts(self) -> Mapping[str, Excerpt]:
        """Facts of each detector, by which a router of them is made again at once."""
        return self._excerpts

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products, in order."""
        return tuple(self._excerpts)

    def detector(self, product: str) -> Detector:
        """The detector of a product.

        Raises:
            DataError: there is none of that name.
        """
        if product not in self._excerpts:
            known = ", ".join(self.products[:10])
            raise DataError(f"product: expected one of {known}, got {product!r}")
        return self._detectors[product]

    def route(self, image: ImageInput) -> Route:
        """Find the product that a photograph shows, without its inspection.

        Raises:
            ImageError, ShapeError: it cannot be read.
        """
        return self._routed(image_source(image), keep_image=False)[0]

    def _inspect(self, source: ImageSource, **keep: bool) -> Inspection:
        route, inspection = self._routed(source, **keep)
        if route.product is None:
            raise NoProductError(
                f"{source.name}: expected a part of one of {len(self._excerpts)} products, got "
                f"{route}",
                route,
            )
        return replace(inspection, route=route)

    def _routed(self, source: ImageSource, **keep: bool) -> tuple[Route, Inspection]:
        """The route of a photograph, and its inspection by the detector of the nearest product."""
        found, errors = [], []
        for find in (
            *(partial(self._in_space, space) for space in self._spaces),
            *(partial(self._by_itself, name) for name in self._alone),
        ):
            try:
                found.append(find(source, keep))
            except (ImageError, ParameterError) as error:  # such as that of a region of interest
                errors.append(error)
        if not found:
            raise errors[0]
        first, *others = sorted(found, key=lambda one: (one.share, one.product))
        rivals = [(one.share, one.product) for one in others]
        if first.second is not None:
            rivals.append(first.second)
        second, usual = min(rivals, default=None), self._excerpts[first.product].usual
        found_at = first.distances
        is_known = not usual.is_another(found_at)
        return Route(
            product=first.product if is_known else None,
            nearest=first.product,
            relative_distance=found_at.ordinary,
            limit=usual.limit,
            uncovered=found_at.uncovered,
            uncovered_limit=None if found_at.uncovered is None else usual.uncovered_limit,
            second=None if second is None else second[1],
            margin=None if second is None else _margin(first.share, second[0]),
            detector_sha256=self._excerpts[first.product].sha256,
        ), first.inspection

    def _in_space(self, space: Space, source: ImageSource, keep: Mapping[str, bool]) -> _Found:
        """The nearest product of a space, inspected with the same feature maps."""
        member = space.member
        image, read = source.read_once(member.settings.bit_depth)
        part = None if space.roi is None else inspected_part(space.roi, source.name, image)
        maps, geometry = member.features(image, part)
        embedding = space.embedded(maps, geometry)
        first, *others = space.nearest(embedding)
        kept = maps if keep.get("keep_maps", False) else None
        prediction = space.predict(first.product, embedding, geometry, kept)
        inspection = judged(
            parts_of(self._detectors[first.product]),
            read,
            image,
            part,
            (prediction,),
            keep_image=keep["keep_image"],
        )
        usual, detector = self._excerpts[first.product].usual, self._detectors[first.product]
        distances = usual.distances(inspection, detector.members[0].model, embedding.rows)
        share = distances.ordinary / usual.limit
        second = None
        if others:
            second = (
                _share_of_second(share, first.distance, others[0].distance),
                others[0].product,
            )
        return _Found(first.product, share, second, inspection, distances)

    def _by_itself(self, name: str, source: ImageSource, keep: Mapping[str, bool]) -> _Found:
        """A product whose detector shares nothing, and is run in full."""
        detector = self._detectors[name]
        inspection = inspect_photograph(
            parts_of(detector),
            source,
            keep_image=keep["keep_image"],
            keep_maps=keep.get("keep_maps", False),
        )
        usual = self._excerpts[name].usual
        distances = usual.distances(inspection, detector.members[0].model, None)
        return _Found(name, distances.ordinary / usual.limit, None, inspection, distances)


class _Found(NamedTuple):
    """The nearest product among some."""

    product: str
    share: float
    """Distance as a share of the limit, by which products of different spaces are compared."""
    second: tuple[float, str] | None
    """The same of the second among them, with its name; None where there is none."""
    inspection: Inspection
    distances: Distances


def _share_of_second(share: float, nearest: float, second: float) -> float:
    """The share of the second product; infinite where a learned photograph is at 0 of the first."""
    if share > 0 and nearest > 0:
        return share * second / nearest
    return math.inf if second > nearest else share


def _margin(nearest: float, second: float) -> float:
    return max(0.0, 1 - nearest / second) if second > 0 else 0.0
