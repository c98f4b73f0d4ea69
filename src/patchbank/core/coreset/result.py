"""The result of a selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices


@dataclass(frozen=True, slots=True)
class Coreset:
    """Rows in greedy order: the first m of them are the greedy coreset of size m."""

    centres: Indices
    """(m,) distinct rows, in the order in which they were chosen."""
    radii: NDArray[np.float32] | None = None
    """(m,) covering radius after each centre: the largest distance of any row to its nearest
    centre, existing ones included.  None where it is not known."""
    radius_before: float | None = None
    """Covering radius of the existing centres; None without them."""
    min_distance_to_other_groups: NDArray[np.float32] | None = None
    """(n,) distance of each row to the nearest centre of *another* group, infinite where there is
    none.  None where no groups were given."""
    min_distance_to_other_groups_at: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    """The same for the first so many centres, for each of the sizes that were asked for."""
