"""The size below which even plain defects are missed: a lower bound, from pasted spots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from patchbank.training.choose.defects import plain_spot
from patchbank.training.choose.sample import Sample
from patchbank.training.choose.trial import Machine, Outcome, fitted_trial
from patchbank.types import Image

LARGEST = 0.08
"""Diameter of the largest spot, as a share of the side of a photograph."""
STEP = 2**0.5
"""Ratio of one diameter to the next."""
CONTRAST = 0.5
"""Contrast of a plain spot, as a share of white."""
FOUND = 0.5
"""Share of the spots that have to be found for their size to count as found."""


def missed_below(
    machine: Machine,
    outcome: Outcome,
    sample: Sample,
    seed: int,
    advance: Callable[[int], None] = lambda steps: None,
) -> float | None:
    """Largest diameter of plain spots of which fewer than half are found.

    A spot is found where its photograph scores higher than all of those held out without one, which
    is a false-alarm rate of about 1 in as many photographs.  What is missed though it is this plain
    is missed when it is real.  The reverse does not hold: real defects are fainter.

    Args:
        machine: what computes.
        outcome: of the candidate that is chosen.
        sample: the photographs; a spot has the same position on each in all sizes.
        seed: of the draws.
        advance: called with the images done.

    Returns:
        Share of the side of a photograph; None where spots of a single pixel are found.

    Raises:
        OutOfTimeError: the time limit has passed.
    """
    rng = np.random.default_rng([seed, 2])
    positions = [one.draw(rng) for one in sample.positions]
    trial, highest = fitted_trial(machine, outcome), float(outcome.good.max())

    def spotted(share: float, number: int) -> Image:
        image = sample.held_out[number]
        diameter = share * (image.shape[0] * image.shape[1]) ** 0.5
        return plain_spot(image, positions[number], diameter, CONTRAST).on(image)

    shares = diameters(sample.size)
    low, high = 0, len(shares)  # the first size that is found, by bisection
    while low < high:
        middle = (low + high) // 2
        image_of = partial(spotted, shares[middle])
        scores = trial.scores(range(len(positions)), image_of, advance)[:, 0]
        if np.mean(scores > highest) >= FOUND:
            high = middle
        else:
            low = middle + 1
    return shares[low - 1] if low else None


def diameters(size: tuple[int, int]) -> list[float]:
    """Diameters of the spots, as shares of the side, ascending from about a pixel.

    >>> [round(100 * share) for share in diameters((100, 100))]  # of 100 pixels
    [1, 1, 2, 3, 4, 6, 8]
    """
    side = (size[0] * size[1]) ** 0.5
    steps = int(max(0.0, np.log(LARGEST * side) / np.log(STEP)))
    return [float(LARGEST / STEP**step) for step in range(steps, -1, -1)]
