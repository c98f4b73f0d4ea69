"""Detectors that see photographs alike: one pass through the network serves all of them.

The distance of a photograph to a product is the mean over its patches of the distance to the
nearest row of the product's bank: the image-to-class distance of Boiman, Shechtman and Irani ("In
Defense of Nearest-Neighbor Based Image Classification", CVPR 2008).  In one space of features it
is compared as it is.  A defect is far from every bank, so it moves all distances alike, and leaves
their order.

    coarse    distances to a few rows of each bank, in one matrix product
    exact     the whole bank, for each product that is nearly nearest by those (`coarse`)
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import runtime_of
from patchbank.core.array_api import to_numpy
from patchbank.detector.detector import Detector
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.methods.base import FeatureMaps, PatchEmbedding
from patchbank.methods.memory_bank.columns import columns
from patchbank.methods.memory_bank.model import BankModel, embedded
from patchbank.methods.memory_bank.per_map import MapBanks
from patchbank.products.routing.coarse import CoarseBanks, Ranked, two_nearest
from patchbank.runtime.forks import computing
from patchbank.settings import MapSettings, part_of
from patchbank.types import Features

N_PATCHES = 100
"""Patches of a photograph that are compared, spread evenly; all of a smaller grid."""
NAMES_OF_NETWORK = frozenset({"backbone", "weights", "layers", "mean", "std"})
"""Settings that the digest of the network stands for."""
SETTINGS_OF_OTHER_USE = frozenset(
    {
        *("false_alarm_rate", "normalise_score", "seed", "n_neighbours", "metric", "index"),
        *("selection", "bank_limit", "coreset", "bank_rows", "covering_radius", "start"),
        *("projection", "projection_dims", "n_starting_points", "n_reweight_neighbours"),
        *("image_score", "top_fraction", "rotations", "flips", "translations", "zooms"),
        *("smoothing", "map_interpolation", "map_border"),
    }
)
"""Settings that change neither the features of a photograph nor their distances."""


def space_of(detector: Detector) -> Hashable | None:
    """Key that the detectors of one space have in common; None for one that is in none.

    Those have one bank of patches, or one for each feature map, of photographs seen whole.
    """
    member = detector.members[0]
    if len(detector.members) > 1 or not isinstance(member.model, BankModel):
        return None
    if member.settings.tiles:
        return None
    info, roi = member.extractor.info, detector.roi
    ignored = NAMES_OF_NETWORK | SETTINGS_OF_OTHER_USE
    settings = member.settings.to_mapping()
    return (
        member.method,
        (info.sha256, member.extractor.layers, info.mean, info.std, runtime_of(member.extractor)),
        None if roi is None else (roi.mask.shape, roi.mask.tobytes()),
        repr(sorted((name, value) for name, value in settings.items() if name not in ignored)),
        member.model.widths,
        member.device.name,
    )


class Space:
    """Products whose detectors see photographs alike."""

    def __init__(self, detectors: Mapping[str, Detector]) -> None:
        """Take one or more detectors of the same `space_of`."""
        self.products = sorted(detectors)
        self.detectors = {name: detectors[name] for name in self.products}
        models = [_model(self.detectors[name]) for name in self.products]
        self._banks = [model.banks_of_maps for model in models]
        self._widths = models[0].widths
        self._units = _units(models)
        self._coarse_banks = [
            CoarseBanks.of([banks[number].bank for banks in self._banks])
            for number in range(len(self._widths))
        ]

    @property
    def member(self) -> Member:
        """The member whose network all of them share."""
        return self.detectors[self.products[0]].members[0]

    def _geometry_of(self, member: Member, geometry: ImageGeometry) -> ImageGeometry:
        """The geometry of a photograph with the settings that a member has for its map."""
        return replace(geometry, settings=part_of(member.settings, MapSettings))

    def embedded(self, maps: FeatureMaps, geometry: ImageGeometry) -> PatchEmbedding:
        """The patches of a photograph, which are the same for all products."""
        model = _model(self.detectors[self.products[0]])
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
        member = self.detectors[product].members[0]
        with computing.short(), member.device.full_precision():
            scores = _model(self.detectors[product]).score_embedded(embedding)
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
        for bank, part, unit in zip(self._banks[number], patches, self._units, strict=True):
            if len(part):
                found, _ = bank.exact_index.nearest(part)
                total += float(found.mean(dtype=np.float64)) / unit
        return total


def _model(detector: Detector) -> BankModel:
    model = detector.members[0].model
    if not isinstance(model, BankModel):
        raise TypeError(f"expected a detector with a bank, got {type(model).__name__}")
    return model


def _units(models: Sequence[BankModel]) -> list[float]:
    """Number by which distances to each bank are divided before they are added.

    Where feature maps have banks of their own, it is the mean spread of the products in that map by
    the weight of the map; it is the same for all products, so that it favours none.
    """
    first = models[0]
    if not isinstance(first, MapBanks):
        return [1.0]
    banks = [model.banks for model in models if isinstance(model, MapBanks)]
    spreads = np.array([[one.spread for one in each] for each in banks])
    weights = np.array([one.part.weight for one in first.banks])
    found: list[float] = (spreads.mean(axis=0) / weights).tolist()  # by name: always the same sum
    return found
