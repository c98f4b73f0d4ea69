"""`Router`: inspects each photograph by the detector of the product that it shows."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
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
from patchbank.detector.loading import load
from patchbank.detector.route import Route
from patchbank.errors import DataError, ImageError, NoProductError, ParameterError
from patchbank.images.names import is_left_behind
from patchbank.images.source import ImageInput, ImageSource, image_source
from patchbank.products.routing.space import Space, space_of
from patchbank.products.routing.usual import Usual

SUFFIX = ".patchbank"


class Router(Inspector):
    """Detectors of many products; it inspects each photograph by that of the product it shows.

    `predict`, `predict_each`, `inspect` and `inspect_with` are those of a detector; their
    inspections have a `route`.  A photograph that shows none of the products has no verdict: it
    raises a NoProductError, or gives a FailedInspection.  The order of the detectors does not
    matter.
    """

    __slots__ = ("_alone", "_detectors", "_spaces", "_usual")

    def __init__(self, detectors: Mapping[str, Detector]) -> None:
        """Take the detectors by the names of their products.

        Raises:
            DataError: there is none.
        """
        if not detectors:
            raise DataError("detectors: expected at least one, got none")
        by_space: dict[Hashable, dict[str, Detector]] = {}
        self._alone: dict[str, Detector] = {}
        for name in sorted(detectors):
            key = space_of(detectors[name])
            if key is None:
                self._alone[name] = detectors[name]
            else:
                by_space.setdefault(key, {})[name] = detectors[name]
        self._spaces = [Space(_with_one_network(found)) for found in by_space.values()]
        self._detectors = {**self._alone}
        for space in self._spaces:
            self._detectors |= space.detectors
        self._usual = {name: Usual.of(detector) for name, detector in self._detectors.items()}

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        device: str = "auto",
        engine: EngineName | None = None,
    ) -> Router:
        """Open all detector files of a folder; each is the product of its name.

        Args:
            folder: such as `fit_each` writes.
            device: as in `load`.
            engine: as in `load`.

        Raises:
            DataError: no such folder, or no detector file in it.
            DetectorFileError, BackboneError: a file cannot be used.
        """
        path = Path(folder)
        if not path.is_dir():
            raise DataError(f"{path}: expected a folder of detectors, got none of that name")
        files = sorted(p for p in path.glob(f"*{SUFFIX}") if not is_left_behind(p.name))
        if not files:
            raise DataError(
                f"{path}: expected a folder of detector files (*{SUFFIX}), got none in it; "
                "patchbank fit --each makes them"
            )
        return cls({file.stem: load(file, device=device, engine=engine) for file in files})

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products, in order."""
        return tuple(sorted(self._detectors))

    def detector(self, product: str) -> Detector:
        """The detector of a product.

        Raises:
            DataError: there is none of that name.
        """
        if product not in self._detectors:
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
                f"{source.name}: expected a part of one of {len(self._detectors)} products, got "
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
        second, usual = min(rivals, default=None), self._usual[first.product]
        is_known = not usual.is_another(first.inspection)
        return Route(
            product=first.product if is_known else None,
            nearest=first.product,
            relative_distance=usual.relative(first.inspection),
            limit=usual.limit,
            second=None if second is None else second[1],
            margin=None if second is None else _margin(first.share, second[0]),
            detector_sha256=self._detectors[first.product].sha256,
        ), first.inspection

    def _in_space(self, space: Space, source: ImageSource, keep: Mapping[str, bool]) -> _Found:
        """The nearest product of a space, inspected with the same feature maps."""
        member = space.member
        image, read = source.read_once(member.settings.bit_depth)
        roi = space.detectors[space.products[0]].roi
        part = None if roi is None else inspected_part(roi, source.name, image)
        maps, geometry = member.features(image, part)
        embedding = space.embedded(maps, geometry)
        first, *others = space.nearest(embedding)
        kept = maps if keep.get("keep_maps", False) else None
        prediction = space.predict(first.product, embedding, geometry, kept)
        inspection = judged(
            parts_of(space.detectors[first.product]),
            read,
            image,
            part,
            (prediction,),
            keep_image=keep["keep_image"],
        )
        share = self._usual[first.product].share(inspection)
        second = None
        if others:
            ratio = others[0].distance / first.distance if first.distance > 0 else 1.0
            second = (share * ratio, others[0].product)
        return _Found(first.product, share, second, inspection)

    def _by_itself(self, name: str, source: ImageSource, keep: Mapping[str, bool]) -> _Found:
        """A product whose detector shares nothing, and is run in full."""
        detector = self._detectors[name]
        inspection = inspect_photograph(
            parts_of(detector),
            source,
            keep_image=keep["keep_image"],
            keep_maps=keep.get("keep_maps", False),
        )
        return _Found(name, self._usual[name].share(inspection), None, inspection)


class _Found(NamedTuple):
    """The nearest product among some."""

    product: str
    share: float
    """Distance as a share of the limit, by which products of different spaces are compared."""
    second: tuple[float, str] | None
    """The same of the second among them, with its name; None where there is none."""
    inspection: Inspection


def _margin(nearest: float, second: float) -> float:
    return max(0.0, 1 - nearest / second) if second > 0 else 0.0


def _with_one_network(detectors: Mapping[str, Detector]) -> dict[str, Detector]:
    """The same detectors, which use the network of the first, so that it is in memory once."""
    first = detectors[min(detectors)].members[0].extractor
    return {
        name: replace(one, members=(replace(one.members[0], extractor=first),))
        for name, one in detectors.items()
    }
