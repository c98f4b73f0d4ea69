"""Exact nearest neighbours with an int8 lower bound: most distances are never computed.

The idea
--------
Every row of d numbers is also kept as a vector of small integers, its codes (scalar quantization),
together with the length of the error that they make.  For a row x with code a and error length e,
and a row y with code b and error length f, all in units of the quantization step, the triangle
inequality gives a lower bound of their distance:

    |x - y|  >=  |a - b| - e - f

|a - b|^2 = |a|^2 + |b|^2 - 2 a.b needs only an integer dot product: two to four times the rate of
float32, a quarter of the memory traffic, and no rounding.  A pair whose lower bound exceeds the
smallest distance known so far cannot change the result and is pruned.  Of the pairs that survive, a
float32 sum that is surely not too large rejects most; the distance of the rest is computed in
float64.

This joins three known ideas: pruning by the triangle inequality (Elkan, "Using the triangle
inequality to accelerate k-means", 2003), a scan of small approximations before the exact vectors
(the VA-file: Weber, Schek and Blott, "A quantitative analysis and performance study for
similarity-search methods in high-dimensional spaces", 1998), and scalar quantization.

Instructions and codes
----------------------
Processors with VNNI (x86) or dot products (ARM) multiply and add four pairs of bytes a lane in one
instruction; codes go from -127 to 127 there.  AVX2 and plain NEON add products of bytes in 16 bits
first, where two products of 8-bit codes overflow or leave no room.  With codes from -63 to 63, of 7
bits, four products fit, which saves half of the additions in 32 bits.  The bound is as exact, only
looser: on patches of photographs, 1.6 to 2.2 times as many pairs survive it.  Codes of 6 bits, of
which eight products fit, lose more by survivors than they gain; codes of 8 bits on AVX2 (signs
moved from one factor to the other) take 1.3 to 1.4 times as long as those of 7.

The best instructions that the processor has are found when the kernel is first used.  The
environment variable PATCHBANK_KERNEL names others, for tests and comparisons: `binding.CHOICES`.

Why the result is exact
-----------------------
* The bound is never too large: error lengths are rounded up, integer arithmetic neither rounds nor
  overflows, and thresholds are rounded down.
* A pair is pruned only where it could not change the result.  What survives is compared by its
  float64 distance, from the rows themselves, so a loose bound costs time and never a result.
* Candidates whose error exceeds the limit that the bounds assume (outliers, clipped codes) are
  always checked.
* Ties go to the candidate of lower index, as candidates are visited in ascending order and only a
  strictly smaller distance replaces another.

Who calls whom
--------------

    core.coreset.k_centre_greedy        core.neighbours.ExactIndex
              |                                   |
              +---------- is_usable_for ----------+      no: matrix products (GEMM) instead
              |                                   |
       coreset.int8.Int8Greedy              _Int8Search
              |                                   |
              |   quantization.Quantization, QuantizedRows, PackedRows
              |                                   |
              +-- search.update_nearest ----------+      many queries against many candidates
              +-- search.select_centres                  greedy choice among some rows
              +-- search.squared_distances_to            all rows against one point
                          |
                 binding.py  (ctypes)  ->  kernel.c  ->  kernel_simd.h, the loops, once for each of
                                                         AVX-512 VNNI, AVX-VNNI, AVX2
                                                           (instructions_x86.h)
                                                         NEON dot product, NEON
                                                           (instructions_arm.h)

Where the kernel is not used
----------------------------
On x86 processors without AVX2 (before 2013 to 2015), on other processors than x86 and ARM of 64
bits, where an installation from source found no C compiler or was on Windows, for tensors and other
devices, and for rows of more than `binding.MAX_DIMS` numbers.
`is_usable_for` decides, in one place.  Selection and search then use matrix products of numpy's
BLAS or of torch (`core.coreset.gemm`, `core.neighbours`).  The results are the same: rows are
identical, distances agree to float32 rounding.  `binding.status()` says in words whether the
kernel is in use.
"""

from patchbank.core.int8.binding import is_usable_for, status
from patchbank.core.int8.quantization import PackedRows, Quantization, QuantizedRows
from patchbank.core.int8.search import (
    OtherGroups,
    select_centres,
    squared_distances_to,
    update_nearest,
)

__all__ = [
    "OtherGroups",
    "PackedRows",
    "Quantization",
    "QuantizedRows",
    "is_usable_for",
    "select_centres",
    "squared_distances_to",
    "status",
    "update_nearest",
]
