"""The order of candidates by their trials: less noise than in each AUROC alone, default first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_GAIN = 0.015
"""AUROC by which a candidate has to be above the default: about what the draw of 20 photographs
and their defects moves."""


def smoothed(found: Sequence[Mapping[str, Any]], aurocs: Sequence[float]) -> NDArray[np.float64]:
    """Write AUROCs, (n,), as sums of what each value of each setting adds, by least squares.

    The candidates are a factorial design, so all of them tell of each value, and the noise of a
    single trial counts less (main effects; Box, Hunter, Hunter, "Statistics for Experimenters",
    2nd edition, 2005, chapter 5).  What two settings do together only is left out.

    Args:
        found: setting -> value of each candidate; all have the same settings.
        aurocs: of their trials.
    """
    columns = [np.ones(len(found))]
    for name in found[0]:
        values = [repr(changes[name]) for changes in found]
        columns += [
            np.array([one == value for one in values], dtype=np.float64)
            for value in dict.fromkeys(values)
        ]
    design = np.stack(columns, axis=1)  # of less than full rank, which least squares allow
    effects, *_ = np.linalg.lstsq(design, np.asarray(aurocs, dtype=np.float64), rcond=None)
    return np.clip(design @ effects, 0, 1)


def best_of(are_default: Sequence[bool], ranks: NDArray[np.float64]) -> int:
    """Number of the candidate that is chosen: the default unless one is above it by `LEAST_GAIN`.

    Args:
        are_default: whether each candidate is the default.
        ranks: (n,) the AUROCs of `smoothed`; of equal ones the first counts.
    """
    gains = ranks - LEAST_GAIN * ~np.array(are_default)
    return int(np.argmax(gains))
