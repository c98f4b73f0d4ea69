"""`Excerpt`: the facts of a detector that a router has in memory, whether or not it is open."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from patchbank.backbones import runtime_of
from patchbank.detector.detector import Detector
from patchbank.methods.memory_bank.model import BankModel
from patchbank.methods.memory_bank.per_map import MapBanks
from patchbank.products.routing.coarse import coarse_rows
from patchbank.products.routing.usual import Usual
from patchbank.types import Features

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Facts of one detector: some 80 kB, where a bank has 10 MB."""

    space: Hashable | None
    """Key that the detectors which see photographs alike have in common; see `space_of`."""
    rows: tuple[Features, ...] = ()
    """(r, d) some rows of each of its banks; none where it is in no space."""
    spreads: tuple[float, ...] = ()
    """Spread of the good patches in each feature map that has a bank of its own."""
    weights: tuple[float, ...] = ()
    """Weight of the distances in each of these."""
    usual: Usual
    sha256: str

    @classmethod
    def of(cls, detector: Detector) -> Excerpt:
        """The facts of a detector."""
        space, usual, model = space_of(detector), Usual.of(detector), detector.members[0].model
        if space is None or not isinstance(model, BankModel):
            return cls(space=None, usual=usual, sha256=detector.sha256)
        banks = model.banks if isinstance(model, MapBanks) else ()
        return cls(
            space=space,
            rows=tuple(coarse_rows(one.bank) for one in model.banks_of_maps),
            spreads=tuple(one.spread for one in banks),
            weights=tuple(one.part.weight for one in banks),
            usual=usual,
            sha256=detector.sha256,
        )


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
