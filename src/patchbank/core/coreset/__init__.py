"""Selection of the rows of a memory bank: exact greedy k-centre in blocks, and random rows.

The algorithm
-------------
Greedy k-centre (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985;
PatchCore, Algorithm 1) chooses the row that is farthest from its nearest centre, makes it a centre,
and repeats.  The covering radius, the largest distance of any row to its nearest centre, is at most
twice that of the best set of the same size.  The order is nested: the first m centres are the
coreset of size m.

Written as a loop, every centre costs one pass over all n rows, to lower each row's *min-distance*
(the distance to its nearest centre).  The loop is bound by memory, as each pass reads all features
for one centre.

Why a block of centres is the same as one at a time
---------------------------------------------------
A centre only ever lowers min-distances.  So a min-distance that is out of date is an upper bound
of the true one.  The selection therefore

1. takes the rows of largest min-distance as *candidates*, and notes the largest min-distance
   of all other rows, `outside`;
2. runs the loop among the candidates alone, keeping their min-distances up to date, for as long as
   the farthest candidate is at least `outside` away: no other row can be farther, so it is
   the row that the loop over all rows would choose;
3. brings the min-distances of all rows up to date with the chosen block of centres in one pass, and
   takes new candidates.

On ties the lowest row is chosen, as candidates include the lowest of equal rows.  A block has
hundreds of centres, so a pass is one large product instead of many small ones.

    min-distances of all rows          one block                          one pass
    +----------------------+   top    +--------------+  _select_block    +-------------------+
    | . . X . X . . X . .  | -------> |  candidates  | ----------------> | _update: all rows |
    +----------------------+          +--------------+  new centres      | by new centres    |
               ^                                                         +-------------------+
               |                                                                   |
               +-------------------------------------------------------------------+

Cost: n * m * d multiplications and additions for m centres, in a few tens of passes.

Who does what
-------------

    k_centre_greedy.greedy_coreset      checks, chooses the first centre and the implementation
              |
    greedy_state.GreedyState            the loop over blocks, centres and radii (shared)
         |                  |
    int8.Int8Greedy       gemm.GemmGreedy       choose among candidates
         |                  |
    int8_rows.Int8Rows    gemm_rows.GemmRows    pass over all rows: propose, lower min-distances
    native kernel         GPUs, tensors, processors without the kernel
    float64               float32 products; near-ties are decided in float64

    sharded                             rows in shards, each of which is one of these two
    composable                          selections of shards, and one among their rows
    random_projection                   a space of fewer dimensions to select in

Both implementations give the same centres, to the last row; `core.int8.is_usable_for` decides
which one runs.

A selection need not start from nothing.  `ExistingCentres` (the bank of a fitted detector, say)
are centres from the beginning, and the rows that they cover worst are chosen next: selecting m
rows, and then k more with the first m as existing centres, is the same as selecting m + k at once.
`ContinuedSelection` goes on so in several steps.
"""

from patchbank.core.coreset.composable import (
    ComposedCoreset,
    composable_coreset_of_shards,
)
from patchbank.core.coreset.greedy_state import ExistingCentres, InitialDistances
from patchbank.core.coreset.k_centre_greedy import (
    ContinuedSelection,
    ShardedRows,
    Start,
    greedy_coreset,
    greedy_coreset_of_shards,
    mean_distances,
    random_coreset,
    row_farthest_from_mean,
    row_nearest_to_mean,
    with_distances_to_other_groups,
)
from patchbank.core.coreset.result import Coreset

__all__ = [
    "ComposedCoreset",
    "ContinuedSelection",
    "Coreset",
    "ExistingCentres",
    "InitialDistances",
    "ShardedRows",
    "Start",
    "composable_coreset_of_shards",
    "greedy_coreset",
    "greedy_coreset_of_shards",
    "mean_distances",
    "random_coreset",
    "row_farthest_from_mean",
    "row_nearest_to_mean",
    "with_distances_to_other_groups",
]
