"""Selection of the rows of a memory bank."""

from patchbank.core.coreset.k_centre_greedy import (
    Coreset,
    greedy_coreset,
    mean_distances,
    random_coreset,
    row_farthest_from_mean,
    row_nearest_to_mean,
)

__all__ = [
    "Coreset",
    "greedy_coreset",
    "mean_distances",
    "random_coreset",
    "row_farthest_from_mean",
    "row_nearest_to_mean",
]
