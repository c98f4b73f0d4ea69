"""Detectors that see photographs alike: one pass through the network serves all of them.

The distance of a photograph to a product is the mean over its patches of the distance to the
nearest row of the product's bank: the image-to-class distance of Boiman, Shechtman and Irani ("In
Defense of Nearest-Neighbor Based Image Classification", CVPR 2008).  In one space of features it
is compared as it is.  A defect is far from every bank, so it moves all distances alike, and leaves
their order.

    coarse    distances to a few rows of each bank, in one matrix product
    exact     the whole banks, where several products are nearly nearest by those (`coarse`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.detector.detector import Detector
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.images.roi import RegionOfInterest
from patchbank.methods.base import FeatureMaps, PatchEmbedding
from patchbank.methods.memory_bank.columns import columns
from patchbank.methods.memory_bank.model import BankModel, embedded
from patchbank.products.routing.coarse import CoarseBanks, Ranked, two_nearest
from patchbank.products.routing.excerpt import Excerpt
from patchbank.runtime.forks import computing
from patchbank.settings import MapSettings, part_of
from patchbank.types import Features

N_PATCHES = 100
"""Patches of a photograph that are compared, spread evenly; all of a smaller grid."""


class Space:
    """Products whose detectors see photographs alike."""

    def __init__(self, excerpts: Mapping[str, Excerpt], detectors: Mapping[str, Detector]) -> None:
        """Take one or more detectors of the same space.

        Args:
            excerpts: of the detectors, by product.
            detectors: opens each when it is needed; that of the first product stays open.
        """
        self.products = sorted(excerpts)
        self._detectors = detectors
        self._first = detectors[self.products[0]]
        found = [excerpts[name] for name in self.products]
        self._widths = tuple(rows.shape[1] for rows in found[0].rows)
        self._units = _units(found)
        self._coarse_banks = [
            CoarseBanks.of([excerpt.rows[number] for excerpt in found])
            for number in range(len(self._widths))
        ]

    @property
    def member(self) -> Member:
        """The member whose network all of them share."""
        return self._first.members[0]

    @property
    def roi(self) -> RegionOfInterest | None:
        """The region of interest that all of them share."""
        return self._first.roi

    def _geometry_of(self, member: Member, geometry: ImageGeometry) -> ImageGeometry:
        """The geometry of a photograph with the settings that a member has for its map."""
        return replace(geometry, settings=part_of(member.settings, MapSettings))

    def embedded(self, maps: FeatureMaps, geometry: ImageGeometry) -> PatchEmbedding:
        """The patches of a photograph, which are the same for all products."""
        model = _model(self._first)
        with computing.short(), self.member.device.full_precision():
            return embedded(model.embed, maps, geometry.cells)

    def predict(
        self,
        product: str,
        embedding: PatchEmbedding,
        geometry: ImageGeometry,
        kept: FeatureMaps | None,
    ) -> MemberPrediction:
        """The prediction of the member of one product, as `Member.predict` makes it."""
        member = self._detectors[product].members[0]
        with computing.short(), member.device.full_precision():
            scores = _model(self._detectors[product]).score_embedded(embedding)
        return member.judged(scores, self._geometry_of(member, geometry), kept)

    def nearest(self, embedding: PatchEmbedding) -> list[Ranked]:
        """The two nearest products of a photograph, the nearest first; one where there is one.

        Products at the same distance come by name.
        """
        if len(self.products) == 1:
            return [Ranked(0.0, self.products[0])]
        patches = self._patches(embedding)
        return two_nearest(
            self.products, self._coarse(patches), lambda number: self._exact(patches, number)
        )

    def distances(self, embedding: PatchEmbedding) -> list[Ranked]:
        """All products of the space by their distance: every bank is searched."""
        patches = self._patches(embedding)
        found = [self._exact(patches, number) for number in range(len(self.products))]
        return sorted(map(Ranked, found, self.products))

    def _patches(self, embedding: PatchEmbedding) -> list[Features]:
        """The patches that are compared, (n, d) for each bank."""
        rows = to_numpy(embedding.rows)
        step = max(1, len(rows) // N_PATCHES)
        found: list[Features] = columns(rows[::step], self._widths)
        return found

    def _coarse(self, patches: Sequence[Features]) -> NDArray[np.float64]:
        total = np.zeros(len(self.products))
        for coarse, part, unit in zip(self._coarse_banks, patches, self._units, strict=True):
            if len(part):
                total += coarse.distances(part) / unit
        return total

    def _exact(self, patches: Sequence[Features], number: int) -> float:
        total = 0.0
        banks = _model(self._detectors[self.products[number]]).banks_of_maps
        for bank, part, unit in zip(banks, patches, self._units, strict=True):
            if len(part):
                found, _ = bank.exact_index.nearest(part)
                total += float(found.mean(dtype=np.float64)) / unit
        return total


def _model(detector: Detector) -> BankModel:
    model = detector.members[0].model
    if not isinstance(model, BankModel):
        raise TypeError(f"expected a detector with a bank, got {type(model).__name__}")
    return model


def _units(excerpts: Sequence[Excerpt]) -> list[float]:
    """Number by which distances to each bank are divided before they are added.

    Where feature maps have banks of their own, it is the mean spread of the products in that map by
    the weight of the map; it is the same for all products, so that it favours none.
    """
    if not excerpts[0].spreads:
        return [1.0]
    spreads, weights = (
        np.array([excerpt.spreads for excerpt in excerpts]),
        np.array(excerpts[0].weights),
    )
    found: list[float] = (spreads.mean(axis=0) / weights).tolist()  # by name: always the same sum
    return found
