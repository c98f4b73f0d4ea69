"""How long training goes on, and which photographs are left out of it together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from patchbank.core.array_api import to_device_if_fits
from patchbank.methods.simplenet.discriminator import Discriminator
from patchbank.methods.simplenet.settings import SimpleNetParameters
from patchbank.methods.simplenet.training import Training, apart_from_the_host_program
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Features, Indices

ROUNDS = 20  # times that early stopping looks at what is held out, where it does not stop before
PATIENCE = 4  # times that it looks without seeing any better

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """What training on all photographs gives, and on all but each fold of them."""

    whole: Discriminator
    without: tuple[Discriminator, ...]
    """Empty where there is one photograph only."""
    steps: int
    """That each of them took."""


def train(
    settings: SimpleNetParameters,
    features: Features,
    fold_of_rows: Indices,
    progress: Progress,
    device: Device,
) -> Trained:
    """Train on all rows, and on all but those of each fold.

    Early stopping looks at what each fold holds out, which is good too; all take the number of
    steps that served it best on average.

    Args:
        settings: of the method.
        features: (n, d).
        fold_of_rows: (n,) number of each row's fold; all 0 where nothing can be left out.
        progress: told of every round of steps.
        device: where it is computed.
    """
    n_folds = int(fold_of_rows.max()) + 1
    folds = [np.flatnonzero(fold_of_rows == fold) for fold in range(n_folds if n_folds > 1 else 0)]
    every = np.arange(len(features))
    total = (len(folds) + 1) * settings.steps if settings.schedule == "fixed" else None
    with apart_from_the_host_program(), progress.task("training", total) as advance:
        placed = torch.as_tensor(to_device_if_fits(features, device))
        trainings = [
            Training(settings, placed, np.setdiff1d(every, held_out), device) for held_out in folds
        ]
        steps = settings.steps
        if settings.schedule == "early_stopping" and folds:
            without, steps = _stopped_early(trainings, folds, steps, advance)
        else:
            without = [_finished(training, steps, advance) for training in trainings]
        whole = _finished(Training(settings, placed, every, device), steps, advance)
    return Trained(whole, tuple(without), steps)


def fold_of_photographs(n_photographs: int, n_folds: int) -> Indices:
    """(n,) number of each photograph's fold.

    Neighbours share a fold, as they are often alike: shots of one part, frames of one run.

    >>> fold_of_photographs(5, 3).tolist()
    [0, 0, 1, 1, 2]
    """
    return np.arange(n_photographs) * min(n_folds, n_photographs) // n_photographs


def _finished(training: Training, steps: int, advance: Advance) -> Discriminator:
    for n_steps in _rounds(steps):
        training.advance(n_steps)
        advance(n_steps)
    return training.learned()


def _stopped_early(
    trainings: list[Training], held_out: list[Indices], steps: int, advance: Advance
) -> tuple[list[Discriminator], int]:
    """Train side by side; -> what each had learned when the mean loss was lowest, and when."""
    best, best_steps, taken, waited = float("inf"), 0, 0, 0
    learned: list[Discriminator] = []
    for n_steps in _rounds(steps):
        for training in trainings:
            training.advance(n_steps)
            advance(n_steps)
        taken += n_steps
        losses = [t.loss_on(rows) for t, rows in zip(trainings, held_out, strict=True)]
        waited += 1
        if np.mean(losses) < best:
            best, best_steps, waited = float(np.mean(losses)), taken, 0
            learned = [training.learned() for training in trainings]
        if waited == PATIENCE:
            break
    return learned, best_steps


def _rounds(steps: int) -> Iterator[int]:
    """Cut steps into ROUNDS alike, or fewer where they are fewer."""
    ends = np.unique(np.arange(ROUNDS + 1) * steps // ROUNDS)
    yield from np.diff(ends).tolist()
