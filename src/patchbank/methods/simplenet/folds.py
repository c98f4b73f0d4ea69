"""Training schedules of SimpleNet, and folds of photographs for leave-out scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from patchbank.core.array_api import to_device_if_fits
from patchbank.methods.simplenet.discriminator import Discriminator
from patchbank.methods.simplenet.settings import SimpleNetParameters
from patchbank.methods.simplenet.training import Training, gradients_in_full_precision
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Features, Indices

ROUNDS = 20  # evaluations of the held-out loss, unless early stopping ends before
PATIENCE = 4  # evaluations without improvement before early stopping ends

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """Discriminators trained on all photographs, and on all but each fold."""

    whole: Discriminator
    without: tuple[Discriminator, ...]
    """One discriminator for each fold left out; empty if there is a single photograph."""
    steps: int
    """Optimiser steps of each discriminator."""


def train(
    settings: SimpleNetParameters,
    features: Features,
    fold_of_rows: Indices,
    progress: Progress,
    device: Device,
) -> Trained:
    """Train on all rows, and for each fold on the rows of the other folds.

    Early stopping evaluates the loss on the rows that are held out, which are good too; every
    training then takes the number of steps with the lowest mean loss.

    Args:
        settings: settings of the method.
        features: (n, d).
        fold_of_rows: (n,) fold of each row; all 0 if nothing can be left out.
        progress: receives every round of steps.
        device: computes it.
    """
    n_folds = int(fold_of_rows.max()) + 1
    folds = [np.flatnonzero(fold_of_rows == fold) for fold in range(n_folds if n_folds > 1 else 0)]
    all_rows = np.arange(len(features))
    total = (len(folds) + 1) * settings.steps if settings.schedule == "fixed" else None
    with gradients_in_full_precision(), progress.task("training", total) as advance:
        on_device = torch.as_tensor(to_device_if_fits(features, device))
        trainings = [
            Training(settings, on_device, np.setdiff1d(all_rows, held_out), device)
            for held_out in folds
        ]
        steps = settings.steps
        if settings.schedule == "early_stopping" and folds:
            without, steps = _stopped_early(trainings, folds, steps, advance)
        else:
            without = [_finished(training, steps, advance) for training in trainings]
        whole = _finished(Training(settings, on_device, all_rows, device), steps, advance)
    return Trained(whole, tuple(without), steps)


def fold_of_photographs(groups: Indices, n_folds: int) -> Indices:
    """Assign a fold to each photograph.  -> (n,).

    Consecutive photographs share a fold, since they are often alike: several of one part, frames of
    one run.  A group is never split, and two groups or more give at least two folds.

    Args:
        groups: (n,) group of each photograph, numbered from 0 by their first photographs.
        n_folds: the most folds.

    >>> fold_of_photographs(np.arange(5), 3).tolist()
    [0, 0, 1, 1, 2]
    >>> fold_of_photographs(np.array([0, 1, 1, 1, 0, 2]), 3).tolist()
    [0, 1, 1, 1, 0, 2]
    """
    sizes = np.bincount(groups)
    before = np.cumsum(sizes) - sizes
    fold_of_groups = before * min(n_folds, len(sizes)) // len(groups)
    if len(sizes) > 1 and fold_of_groups[-1] == 0:  # the last group has nearly all photographs
        fold_of_groups[-1] = 1
    _, numbers = np.unique(fold_of_groups, return_inverse=True)
    return np.asarray(numbers[groups], dtype=np.intp)


def _finished(training: Training, steps: int, advance: Advance) -> Discriminator:
    for n_steps in _rounds(steps):
        training.advance(n_steps)
        advance(n_steps)
    return training.learned()


def _stopped_early(
    trainings: list[Training], fold_rows: list[Indices], steps: int, advance: Advance
) -> tuple[list[Discriminator], int]:
    """Train all folds together.  -> discriminators of the lowest mean loss, and their steps."""
    best, best_steps, done, waited = float("inf"), 0, 0, 0
    learned: list[Discriminator] = []
    for n_steps in _rounds(steps):
        for training in trainings:
            training.advance(n_steps)
            advance(n_steps)
        done += n_steps
        losses = [t.loss_on(rows) for t, rows in zip(trainings, fold_rows, strict=True)]
        waited += 1
        if np.mean(losses) < best:
            best, best_steps, waited = float(np.mean(losses)), done, 0
            learned = [training.learned() for training in trainings]
        if waited == PATIENCE:
            break
    return learned, best_steps


def _rounds(steps: int) -> Iterator[int]:
    """Split the steps into ROUNDS parts of nearly equal size, or fewer if there are fewer steps."""
    ends = np.unique(np.arange(ROUNDS + 1) * steps // ROUNDS)
    yield from np.diff(ends).tolist()
