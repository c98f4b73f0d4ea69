"""The product of a photograph that names none: found among the detectors in use.

Photographs of `AUTO` are inspected by the detector of the product that they show.  One that shows
none of them has no verdict, and is recorded under `AUTO` itself.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import BackboneError, DetectorFileError
from patchbank.products.routing import Router
from patchbank.server.intake import NotRecorded, UnknownProduct
from patchbank.server.service.catalog import Catalog
from patchbank.server.service.versions import AUTO

NOT_OF_THE_PHOTOGRAPH = (DetectorFileError, BackboneError)
"""Errors that are no fault of a photograph."""


class DetectorsInUse(Mapping[str, Detector]):
    """The detectors that all products use at one time, opened when they are needed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.digests = {product.name: product.sha256 for product in catalog.products}

    def __getitem__(self, name: str) -> Detector:
        return self._catalog.version(name, self.digests[name])

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


class ProductFinding:
    """Has the router of the detectors in use, and makes it anew where one of them changed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._made: tuple[DetectorsInUse, Router] | None = None
        self._making = threading.Lock()

    def chosen(self, product: str) -> Chosen:
        """The detector of a product, or the router for `AUTO`.

        Raises:
            UnknownProduct: there is no such product, or none at all.
            NotRecorded: a detector cannot be opened, which is no fault of a photograph.
        """
        try:
            if product != AUTO:
                return Chosen(product, self._catalog.detector(self._catalog.product(product)))
            in_use, router = self._router()
        except NOT_OF_THE_PHOTOGRAPH as error:
            raise NotRecorded(str(error)) from None
        return Chosen(AUTO, router, in_use)

    def check(self, product: str) -> None:
        """Check that photographs of a product can be inspected.

        Raises:
            UnknownProduct: there is no such product, or none at all.
        """
        if product != AUTO:
            self._catalog.product(product)
        elif not self._catalog.products:
            raise UnknownProduct(f"product: expected a product for {AUTO!r}, got none yet")

    def _router(self) -> tuple[DetectorsInUse, Router]:
        self.check(AUTO)
        in_use = DetectorsInUse(self._catalog)
        with self._making:
            kept = {}
            if self._made is not None:
                before, router = self._made
                if before.digests == in_use.digests:
                    return self._made
                kept = {
                    name: router.excerpts[name]
                    for name, digest in in_use.digests.items()
                    if before.digests.get(name) == digest
                }
            self._made = in_use, Router(in_use, excerpts=kept)
            return self._made
