"""Exact nearest neighbours with an int8 lower bound: most distances are never computed.

The idea
--------
Every row of d numbers is also kept as a vector of int8 codes (scalar quantization), together with
the length of the error that its codes make.  For a row x with code a and error length e, and a row
y with code b and error length f, all in units of the quantization step, the triangle inequality
gives a lower bound of their distance:

    |x - y|  >=  |a - b| - e - f

|a - b|^2 = |a|^2 + |b|^2 - 2 a.b needs only an integer dot product.  x86 processors with VNNI
multiply and add four pairs of bytes a lane in one instruction: four times the rate of float32, a
quarter of the memory traffic, and no rounding.  A pair whose lower bound exceeds the smallest
distance known so far cannot change the result and is pruned.  Of the pairs that survive, a float32
sum that is surely not too large rejects most; the distance of the rest is computed in float64.

This joins three known ideas: pruning by the triangle inequality (Elkan, "Using the triangle
inequality to accelerate k-means", 2003), a scan of small approximations before the exact vectors
(the VA-file: Weber, Schek and Blott, "A quantitative analysis and performance study for
similarity-search methods in high-dimensional spaces", 1998), and scalar quantization.

Why the result is exact
-----------------------
* The bound is never too large: error lengths are rounded up, integer arithmetic does not round,
  and thresholds are rounded down.
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
                 binding.py  (ctypes)  ->  kernel.c  ->  kernel_simd.h, once for AVX-512 VNNI,
                                                          once for AVX-VNNI

Where the kernel is not used
----------------------------
On processors without VNNI (ARM, older x86), on Windows, where no C compiler was found at
installation, for tensors and other devices, and for rows of more than `binding.MAX_DIMS` numbers.
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
