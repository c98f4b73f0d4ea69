"""The settings that are tried: one table, and what of it applies to some photographs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import input_sizes
from patchbank.errors import PatchbankError
from patchbank.settings import InputSettings, Settings, settings_of

TRIED: Mapping[str, Sequence[Any]] = {
    "image_size": (512, 640, 320, 224),
    "patch_size": (3, 1),
    "scales": ((1.0, 0.5), (1.0,)),
}
"""Setting -> the values that are tried, all combined, in this order; the first of equally good
candidates is chosen, and where time is limited the first are tried.  Another setting of any kind is
a line here: candidates that differ in nothing that the network sees share its features."""
SHARED = "scales"
"""A setting of the input for whose values features are computed together."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One combination of values, and all settings with it."""

    changes: Mapping[str, Any]
    settings: Settings

    @property
    def is_default(self) -> bool:
        """Whether it leaves all settings as they are by default."""
        known = settings_of(type(self.settings))
        return all(value == known[name].default for name, value in self.changes.items())


def candidates(
    base: Settings,
    fixed: Collection[str],
    extractor: FeatureExtractor,
    photograph: tuple[int, int],
) -> list[Candidate]:
    """The candidates for photographs of some size; the default is the first.

    A size of the input that is beyond `max_upscale` of the photographs is the same to the network
    as a smaller one, and what the network or the photographs do not allow is no candidate.

    Args:
        base: settings that the candidates change.
        fixed: names of settings that a user has given: they stay.
        extractor: of the features.
        photograph: (H, W) of a usual photograph.
    """
    return list(_distinct(_allowed(base, free_settings(base, fixed), extractor, photograph)))


def by_input(found: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates in groups that differ in nothing that the network sees but the scales."""
    groups: dict[tuple[Any, ...], list[Candidate]] = {}
    names = [name for name in settings_of(InputSettings) if name != SHARED]
    for candidate in found:
        mapping = candidate.settings.to_mapping()
        key = (*(mapping[name] for name in names), candidate.settings.copies)
        groups.setdefault(key, []).append(candidate)
    return list(groups.values())


def free_settings(base: Settings, fixed: Collection[str]) -> dict[str, Sequence[Any]]:
    """The part of the table that a user has left open; see `candidates`."""
    known = settings_of(type(base))
    closed = {
        *fixed,
        *(("image_size",) if base.crop is not None else ()),
    }  # a crop is in its pixels
    return {name: tried for name, tried in TRIED.items() if name in known and name not in closed}


def _allowed(
    base: Settings,
    free: Mapping[str, Sequence[Any]],
    extractor: FeatureExtractor,
    photograph: tuple[int, int],
) -> Iterator[tuple[list[tuple[int, int]], Candidate]]:
    """The candidates that the network accepts, each with the sizes of its inputs."""
    combined = [dict(zip(free, values, strict=True)) for values in product(*free.values())]
    known = settings_of(type(base))
    defaults = {name: known[name].default for name in free}
    for changes in sorted(combined, key=lambda changes: changes != defaults):
        try:
            settings = base.with_changes(**changes)
            yield input_sizes(extractor, settings, photograph), Candidate(changes, settings)
        except PatchbankError:  # a network with one size of its input, say
            continue


def _distinct(
    found: Iterator[tuple[list[tuple[int, int]], Candidate]],
) -> Iterator[Candidate]:
    """The candidates without those that are the same to the network as an earlier one."""
    seen: set[tuple[Any, ...]] = set()
    for sizes, candidate in found:
        others = {n: v for n, v in candidate.changes.items() if n != "image_size"}
        key = (*sizes, *map(repr, others.items()))
        if key not in seen:
            seen.add(key)
            yield candidate
