"""Run the trials, and choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import input_sizes
from patchbank.detector.settings_choice import SettingsChoice, SettingsTrial
from patchbank.errors import ParameterError, PatchbankError
from patchbank.images.resize import SMALLEST_INPUT_PX
from patchbank.images.roi import RegionOfInterest
from patchbank.methods import Method
from patchbank.runtime.blas import one_thread_of_blas
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.settings import Settings
from patchbank.settings.rules import SECONDS, Optional
from patchbank.training.choose.candidates import (
    TRIED,
    Candidate,
    by_input,
    candidates,
    free_settings,
)
from patchbank.training.choose.placing import inspected_mask
from patchbank.training.choose.ranking import LEAST_GAIN, best_of, smoothed
from patchbank.training.choose.sample import (
    FEWEST_PHOTOGRAPHS,
    WORKING_SIDE,
    Sample,
    draw_sample,
    split,
)
from patchbank.training.choose.trial import Clock, Machine, Outcome, OutOfTimeError, SharedTrial
from patchbank.training.extraction import extract_images
from patchbank.training.groups import GroupSearch

WORKING_RATIO = 1.6
"""Ratio of the reduced photographs to the largest input, at least: so their own reduction hides
nothing from it."""


@dataclass(frozen=True, slots=True)
class AutomaticSettings:
    """Settings that a fit chooses itself."""

    method: Method
    base: Settings
    """The settings that the candidates change."""
    fixed: frozenset[str] = frozenset()
    """Names of settings that stay as they are in `base`."""
    time_limit_s: float | None = None
    """Seconds for the choice; trials that are not finished by then do not count."""

    def __post_init__(self) -> None:
        Optional(SECONDS).check("time_limit_s", self.time_limit_s)
        if self.base.tiles:
            raise ParameterError(
                "tiles: expected none where settings are to be chosen, as photographs in tiles "
                "keep their size; leave tiles or the preset out"
            )
        if self.base.position != "as_photographed":
            raise ParameterError(
                "position: expected 'as_photographed' where settings are to be chosen, got "
                f"{self.base.position!r}; leave position or the preset out"
            )

    @property
    def parts(self) -> list[tuple[Method, Settings]]:
        """Method and settings, as a fit without a choice has them."""
        return [(self.method, self.base)]

    def with_bit_depth(self, bit_depth: int | None) -> AutomaticSettings:
        """The same with a bit depth, if there is one."""
        if bit_depth is None:
            return self
        return replace(self, base=self.base.with_changes(bit_depth=bit_depth))


@dataclass(frozen=True, slots=True)
class ChosenSettings:
    """Settings for the fit, and how they were chosen."""

    parts: list[tuple[Method, Settings]]
    """Method and settings of each member."""
    record: SettingsChoice | None = None
    """Record of the choice; None where all were given."""

    def with_bit_depth(self, bit_depth: int | None) -> ChosenSettings:
        """The same with a bit depth, if there is one."""
        if bit_depth is None:
            return self
        return replace(
            self, parts=[(m, s.with_changes(bit_depth=bit_depth)) for m, s in self.parts]
        )


def choose_settings(
    asked: AutomaticSettings,
    search: GroupSearch,
    backbone: Callable[[Settings], FeatureExtractor],
    progress: Progress,
    device: Device,
    roi: RegionOfInterest | None = None,
) -> ChosenSettings:
    """Choose settings from good photographs.

    Photographs of one group are on one side of the trials, so each photograph is read once for the
    groups, and those of the trials once more.

    Args:
        asked: what is to be chosen.
        search: the photographs; it finds their groups, and keeps the facts of their content.
        backbone: opens the network of the settings, where anything is to be tried.
        progress: shows the photographs.
        device: where it computes.
        roi: region of interest, which alone is learned and scored, and gets defects; None where
            whole photographs are.

    Raises:
        ImageError, ShapeError, DataError: as the fit raises them.
    """
    clock, n = Clock(asked.time_limit_s), len(search.sources)
    if n < FEWEST_PHOTOGRAPHS:
        why = f"{n} photograph{'s are' if n > 1 else ' is'} too few to choose by"
        return _kept(asked, f"{why} ({FEWEST_PHOTOGRAPHS} or more)")
    if not free_settings(asked.base, asked.fixed):
        return _as_given(asked)
    extractor = backbone(asked.base)
    numbers = search.labels.numbers
    if search.labels.finds_copies:  # otherwise the groups are known without the photographs
        _read_all(asked, search, extractor, progress, roi)
        found_groups = search.grouping().numbers
        numbers = np.arange(n) if found_groups is None else found_groups
        search.reopen()  # the fit finds groups by the features that are chosen
    seed = asked.base.seed
    chosen = split(numbers, seed)
    if chosen is None:
        groups = f"{int(numbers.max()) + 1} groups of photographs that stay together"
        return _kept(asked, f"of {groups}, too few photographs could be held out")
    if clock.is_over:
        return _over(asked)
    sample = draw_sample(
        search.sources,
        chosen,
        seed,
        partial(inspected_mask, extractor, asked.base),
        _working_side(asked),
        roi,
    )
    found = candidates(asked.base, asked.fixed, extractor, sample.size)
    if len(found) < 2:
        return _as_given(asked)
    machine = Machine(asked.method, extractor, device, clock)
    return _Trials(asked, machine, sample, found).run(progress)


def _kept(asked: AutomaticSettings, why: str) -> ChosenSettings:
    return ChosenSettings(asked.parts, SettingsChoice({}, f"the default is kept; {why}"))


def _as_given(asked: AutomaticSettings) -> ChosenSettings:
    reason = "as given; what is given leaves nothing to choose"
    return ChosenSettings(asked.parts, SettingsChoice({}, reason))


def _over(asked: AutomaticSettings) -> ChosenSettings:
    limit = f"{asked.time_limit_s:g} s"
    return _kept(asked, f"the time limit of {limit} was over before anything was tried")


def _read_all(
    asked: AutomaticSettings,
    search: GroupSearch,
    extractor: FeatureExtractor,
    progress: Progress,
    roi: RegionOfInterest | None,
) -> None:
    """Read all photographs for their groups, with a small input where the network takes one."""
    contents, base = (
        search.contents,
        asked.base.with_changes(rotations=1, flips="none", translations=0, zooms=()),
    )
    small = base
    if base.crop is None:
        try:
            small = base.with_changes(image_size=SMALLEST_INPUT_PX, scales=(1.0,))
            input_sizes(extractor, small, (SMALLEST_INPUT_PX, SMALLEST_INPUT_PX))
        except PatchbankError:  # a network with one size of its input
            small = base
    for image in extract_images(extractor, small, search.sources, progress, contents, roi):
        search.add(image.features.maps)
    contents.check()


def _working_side(asked: AutomaticSettings) -> float:
    """Root of the area to which large photographs are reduced."""
    sizes = [asked.base.image_size, *TRIED.get("image_size", ())]
    sides = [one if isinstance(one, int) else (one[0] * one[1]) ** 0.5 for one in sizes]
    return max(WORKING_SIDE, WORKING_RATIO * max(sides))


@dataclass(slots=True)
class _Trials:
    """The trials of all candidates, until the time is over."""

    asked: AutomaticSettings
    machine: Machine
    sample: Sample
    found: Sequence[Candidate]
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, progress: Progress) -> ChosenSettings:
        """Try and choose."""
        trials = [SharedTrial(self.machine, members) for members in by_input(self.found)]
        total = sum(trial.n_images(self.sample) for trial in trials)
        with (
            progress.task("choosing settings", total) as advance,
            self.machine.device.full_precision(),
            one_thread_of_blas(),
        ):
            try:
                for trial in trials:
                    self.outcomes += trial.run(self.sample, advance)
                    if self._is_default_enough:
                        break
            except OutOfTimeError:
                pass
        if not self._usable:
            return self._nothing()
        chosen = self._chosen
        settings = self.asked.base.with_changes(**self._usable[chosen].candidate.changes)
        return ChosenSettings([(self.asked.method, settings)], self._record(chosen))

    @property
    def _usable(self) -> list[Outcome]:
        """The outcomes of the candidates that could be tried."""
        return [outcome for outcome in self.outcomes if not outcome.error]

    @property
    def _default(self) -> Outcome | None:
        """The outcome of the default; None where it could not be tried, or something is given."""
        return next((o for o in self._usable if o.candidate.is_default), None)

    @property
    def _is_default_enough(self) -> bool:
        """Whether no other candidate can be better than the default by what is needed."""
        return self._default is not None and self._default.auroc > 1 - LEAST_GAIN

    @property
    def _ranks(self) -> NDArray[np.float64]:
        usable = self._usable
        return smoothed([o.candidate.changes for o in usable], [o.auroc for o in usable])

    @property
    def _chosen(self) -> int:
        """Number of the chosen one among the usable outcomes."""
        usable = self._usable
        if self._is_default_enough:
            return next(n for n, one in enumerate(usable) if one is self._default)
        return best_of([outcome.candidate.is_default for outcome in usable], self._ranks)

    def _nothing(self) -> ChosenSettings:
        if not self.outcomes:
            return _over(self.asked)
        return _kept(self.asked, f"no candidate could be tried: {self.outcomes[0].error}")

    def _record(self, chosen: int) -> SettingsChoice:
        sample = self.sample
        ranks = {id(o): float(rank) for o, rank in zip(self._usable, self._ranks, strict=True)}
        return SettingsChoice(
            chosen=dict(self._usable[chosen].candidate.changes),
            reason=self._reason(self._usable[chosen]),
            trials=tuple(_trial(outcome, ranks.get(id(outcome))) for outcome in self.outcomes),
            n_learned=len(sample.learned),
            n_held_out=len(sample.held_out),
            n_defects=len(sample.defects),
        )

    def _reason(self, best: Outcome) -> str:
        sample, default = self.sample, self._default
        n, n_all = len(self.outcomes), len(self.found)
        tried = f"{n} candidates"
        if n < n_all and not self._is_default_enough:
            limit = f"the time limit of {self.asked.time_limit_s:g} s"
            tried = f"{n} of {n_all} candidates, those that were tried within {limit}"
        said = f"{_trial(best).text} is chosen of {tried}"
        if best is default:
            tried = f"of {tried}, " if n > 1 else ""
            said = f"{_trial(best).text} (the default) is kept, as {tried}no other is better by "
            said += f"{LEAST_GAIN:g} when AUROCs are smoothed over all"
        against = "" if best is default or default is None else f" (default: {default.auroc:.3f})"
        return (
            f"{said}: it separates {len(sample.defects)} synthetic defects from the "
            f"{len(sample.held_out)} good photographs that they are pasted on with an AUROC of "
            f"{best.auroc:.3f}{against}; {len(sample.learned)} others were learned for it"
        )


def _trial(outcome: Outcome, rank: float | None = None) -> SettingsTrial:
    auroc = None if outcome.error else outcome.auroc
    return SettingsTrial(dict(outcome.candidate.changes), auroc, outcome.error, rank)
