"""Trials: candidates that share the features of an input learn and score the same photographs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import extract
from patchbank.errors import PatchbankError
from patchbank.images.roi import InspectedPart
from patchbank.methods import FittedMethod, Learner, Method, TrainingImage
from patchbank.methods.base import FeatureMaps
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import NullProgress
from patchbank.runtime.threads import map_in_order
from patchbank.settings import Settings, part_of
from patchbank.training.choose.candidates import Candidate
from patchbank.training.choose.sample import Sample
from patchbank.training.extraction import Copy
from patchbank.types import Image

MOST_ROWS = 1000
"""Rows of the bank in a trial: enough for a few photographs."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Advance: TypeAlias = Callable[[int], None]


class OutOfTimeError(Exception):
    """The time limit has passed; nobody outside sees it."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time limit, from its making on."""

    limit_s: float | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self.limit_s is not None and time.monotonic() - self.began > self.limit_s

    def check(self) -> None:
        """Raise OutOfTimeError if the time is over."""
        if self.is_over:
            raise OutOfTimeError


@dataclass(frozen=True, slots=True)
class Machine:
    """Method, network and device of the trials, and their clock."""

    method: Method
    extractor: FeatureExtractor
    device: Device
    clock: Clock


@dataclass(frozen=True, slots=True)
class Outcome:
    """The model and the scores of one candidate."""

    candidate: Candidate
    model: FittedMethod | None
    good: NDArray[np.float64]
    """Scores of the photographs that were held out."""
    defects: NDArray[np.float64]
    """Scores of their copies with defects."""
    error: str = ""
    """Reason why there are no scores."""

    @property
    def auroc(self) -> float:
        """Share of pairs of a copy and a photograph in which the copy scores higher."""
        return auroc(self.good, self.defects)


def auroc(good: NDArray[np.float64], defects: NDArray[np.float64]) -> float:
    """Share of pairs in which the defect scores higher than the good one; ties count half.

    >>> auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0, 0.0]))
    0.5833333333333334
    """
    ordered = np.sort(good)
    below = np.searchsorted(ordered, defects, side="left")
    up_to = np.searchsorted(ordered, defects, side="right")
    return float((below + up_to).sum() / (2 * len(good) * len(defects)))


class SharedTrial:
    """Candidates that differ in nothing that the network sees but the scales."""

    def __init__(self, machine: Machine, members: Sequence[Candidate]) -> None:
        self._machine = machine
        self._members = members
        self._scales = tuple(dict.fromkeys(s for c in members for s in c.settings.scales))
        self._input = members[0].settings.with_changes(scales=self._scales)
        self._errors: dict[int, str] = {}
        self._models: dict[int, FittedMethod] = {}

    def n_images(self, sample: Sample) -> int:
        """Images whose features it computes."""
        copies = len(sample.learned) * len(self._input.copies)
        return copies + len(sample.held_out) + len(sample.defects)

    def run(self, sample: Sample, advance: Advance) -> list[Outcome]:
        """Learn and score the sample with every candidate.

        Raises:
            OutOfTimeError: the time limit has passed.
        """
        self._learn(sample, advance)
        n_good = len(sample.held_out)
        scores = self._scores_of(sample, range(n_good + len(sample.defects)), advance)
        return [
            Outcome(
                candidate,
                self._models.get(number),
                scores[:n_good, number],
                scores[n_good:, number],
                self._errors.get(number, ""),
            )
            for number, candidate in enumerate(self._members)
        ]

    def _learn(self, sample: Sample, advance: Advance) -> None:
        copies = self._input.copies
        learners: dict[int, Learner] = {}
        for number, candidate in enumerate(self._members):
            make = partial(self._learner, candidate.settings, len(sample.learned) * len(copies))
            made = self._attempt(number, make)
            if made is not None:
                learners[number] = made

        def extracted(copy: Copy) -> TrainingImage:
            return copy.extracted(self._machine.extractor, self._input).features

        each = [
            Copy(n, image, copy, part)
            for n, (image, part) in enumerate(
                zip(sample.learned, sample.learned_parts, strict=True)
            )
            for copy in copies
        ]
        for image in self._in_time(extracted, each):
            for number, learner in learners.items():
                own = replace(image, maps=self._maps_of(number, image.maps))
                self._attempt(number, partial(learner.add, own))
            advance(1)

        def fitted(number: int) -> FittedMethod | None:
            fit = self._attempt(number, learners[number].fit)
            return None if fit is None else fit.model

        for number, model in zip(learners, self._in_time(fitted, list(learners)), strict=True):
            if model is not None:
                self._models[number] = model

    def _scores_of(
        self, sample: Sample, numbers: Sequence[int], advance: Advance
    ) -> NDArray[np.float64]:
        """Scores of some of the held-out photographs, which come first, and of the copies."""

        def seen(number: int) -> tuple[Image, InspectedPart | None]:
            of_copy = number - len(sample.held_out)
            if of_copy < 0:
                return sample.held_out[number], sample.held_out_parts[number]
            photograph, defect = sample.defects[of_copy]
            return defect.on(sample.held_out[photograph]), sample.held_out_parts[photograph]

        return self.scores(numbers, seen, advance)

    def scores(
        self,
        items: Sequence[Item],
        seen: Callable[[Item], tuple[Image, InspectedPart | None]],
        advance: Advance,
    ) -> NDArray[np.float64]:
        """Score of each image by each candidate, NaN where there is none.  -> (n, members).

        Args:
            items: whatever stands for the images.
            seen: item -> its image, and the region of interest in it.
            advance: receives the images that are done.
        """

        def scores_of(item: Item) -> list[float]:
            image, part = seen(item)
            maps, geometry = extract(self._machine.extractor, self._input, image, part)
            found = [float("nan")] * len(self._members)
            for number, model in self._models.items():
                score = partial(model.score, self._maps_of(number, maps), geometry.cells)
                scored = self._attempt(number, score)
                if scored is not None:
                    found[number] = scored.image_score
            return found

        rows = []
        for row in self._in_time(scores_of, items):
            rows.append(row)
            advance(1)
        return np.array(rows, dtype=np.float64).reshape(len(items), len(self._members))

    def _in_time(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results on all cores, in order, until the time is over."""
        for _, result in map_in_order(work, self._until_late(items), lambda _: 0):
            yield result.result()

    def _until_late(self, items: Sequence[Item]) -> Iterator[Item]:
        for item in items:
            self._machine.clock.check()
            yield item

    def _attempt(self, number: int, work: Callable[[], Result]) -> Result | None:
        """Work for a candidate; after its first error, which is kept, it does nothing anymore."""
        if number in self._errors:
            return None
        try:
            return work()
        except PatchbankError as error:
            self._errors[number] = str(error)
            return None

    def _maps_of(self, number: int, maps: FeatureMaps) -> FeatureMaps:
        """The maps of the scales of one candidate."""
        layers = len(maps) // len(self._scales)
        begins = [self._scales.index(s) * layers for s in self._members[number].settings.scales]
        return [m for begin in begins for m in maps[begin : begin + layers]]

    def _learner(self, settings: Settings, n_images: int) -> Learner:
        method, device = self._machine.method, self._machine.device
        parameters = part_of(with_small_bank(settings), method.parameters)
        return method.learner(parameters, n_images, NullProgress(), device)


def with_small_bank(settings: Settings) -> Settings:
    """The settings with a bank of at most `MOST_ROWS` rows, if its size is a number of rows."""
    rows = {
        name: getattr(settings, name)
        for name in ("bank_limit", "bank_rows")
        if getattr(settings, name, None) is not None
    }
    if "bank_rows" in rows:
        return settings.with_changes(bank_rows=None, bank_limit=min(rows["bank_rows"], MOST_ROWS))
    return settings.with_changes(**{name: min(n, MOST_ROWS) for name, n in rows.items()})
