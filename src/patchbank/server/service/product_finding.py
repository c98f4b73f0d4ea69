"""The product of a photograph that names none: found among the detectors in use.

Photographs of `AUTO` are inspected by the detector of the product that they show.  One that shows
none of them has no verdict, and is recorded under `AUTO` itself.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import BackboneError, DetectorFileError
from patchbank.products.routing import Router
from patchbank.server.intake import NotRecorded, UnknownProduct
from patchbank.server.service.catalog import Catalog
from patchbank.server.service.versions import AUTO

NOT_OF_THE_PHOTOGRAPH = (DetectorFileError, BackboneError)
"""Errors that are no fault of a photograph."""


class Opening(Protocol):
    """Has the detectors of products open, or opens them."""

    def version(self, product: str, sha256: str) -> Detector:
        """A detector that a product has or had.

        Raises:
            DetectorFileError, BackboneError: it cannot be used.
        """
        ...


class DetectorsInUse(Mapping[str, Detector]):
    """The detectors that all products use at one time, opened when they are needed."""

    def __init__(self, opening: Opening, digests: Mapping[str, str]) -> None:
        self._opening, self.digests = opening, digests

    def __getitem__(self, name: str) -> Detector:
        return self._opening.version(name, self.digests[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.digests)

    def __len__(self) -> int:
        return len(self.digests)

    @property
    def sha256(self) -> str:
        """SHA-256 over their names and digests, for results of none of them."""
        lines = [f"{name} {digest}\n" for name, digest in self.digests.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The detector of a product, or the router for `AUTO`, and facts of their results."""

    product: str
    inspector: Detector | Router
    in_use: DetectorsInUse | None = None
    """The detectors of a router."""

    def product_of(self, outcome: Inspection | FailedInspection) -> str:
        """The product of a photograph; `AUTO` where it shows none, or was not read.

        Raises:
            NotRecorded: it was not inspected, and that is no fault of the photograph.
        """
        if isinstance(outcome, FailedInspection) and issubclass(
            outcome.error_class, NOT_OF_THE_PHOTOGRAPH
        ):
            raise NotRecorded(outcome.error)
        found = None if outcome.route is None else outcome.route.product
        return self.product if found is None else found

    def detector(self, product: str) -> Detector | None:
        """The detector of `product_of`; None for `AUTO`."""
        if self.in_use is None:
            return cast(Detector, self.inspector)
        return None if product == AUTO else self.in_use[product]

    def sha256(self, product: str) -> str:
        """Digest of the detector of a product; of all in use for `AUTO`."""
        if self.in_use is None:
            return self.inspector.sha256
        return self.in_use.sha256 if product == AUTO else self.in_use.digests[product]


class Choosing:
    """Has the router of the detectors in use, and makes it anew where one of them changed."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._made: tuple[DetectorsInUse, Router] | None = None
        self._making = threading.Lock()

    def chosen(self, product: str, digests: Mapping[str, str]) -> Chosen:
        """The detector of a product, or the router for `AUTO`.

        Args:
            product: of a photograph.
            digests: `ProductFinding.in_use`.

        Raises:
            NotRecorded: a detector cannot be opened, which is no fault of a photograph.
        """
        try:
            if product != AUTO:
                return Chosen(product, self._opening.version(product, digests[product]))
            in_use, router = self._router(digests)
        except NOT_OF_THE_PHOTOGRAPH as error:
            raise NotRecorded(str(error)) from None
        return Chosen(AUTO, router, in_use)

    def _router(self, digests: Mapping[str, str]) -> tuple[DetectorsInUse, Router]:
        with self._making:
            kept = {}
            if self._made is not None:
                before, router = self._made
                if before.digests == digests:
                    return self._made
                kept = {
                    name: router.excerpts[name]
                    for name, digest in digests.items()
                    if before.digests.get(name) == digest
                }
            in_use = DetectorsInUse(self._opening, digests)
            self._made = in_use, Router(in_use, excerpts=kept)
            return self._made


class ProductFinding:
    """Knows the detectors in use, and chooses among them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._choosing = catalog, Choosing(catalog)

    def chosen(self, product: str) -> Chosen:
        """The detector of a product, or the router for `AUTO`.

        Raises:
            UnknownProduct: there is no such product, or none at all.
            NotRecorded: a detector cannot be opened, which is no fault of a photograph.
        """
        return self._choosing.chosen(product, self.in_use(product))

    def in_use(self, product: str) -> Mapping[str, str]:
        """Digests of the detectors that photographs of a product need now, by their products.

        Raises:
            UnknownProduct: there is no such product, or none at all.
        """
        self.check(product)
        if product != AUTO:
            return {product: self._catalog.product(product).sha256}
        return {one.name: one.sha256 for one in self._catalog.products}

    def check(self, product: str) -> None:
        """Check that photographs of a product can be inspected.

        Raises:
            UnknownProduct: there is no such product, or none at all.
        """
        if product != AUTO:
            self._catalog.product(product)
        elif not self._catalog.products:
            raise UnknownProduct(f"product: expected a product for {AUTO!r}, got none yet")
