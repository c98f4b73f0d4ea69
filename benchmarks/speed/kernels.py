"""How much faster are selection and search on the native kernel than on matrix products?

    python benchmarks/speed/kernels.py ../shared/data/screw

Each kernel that this machine can run, and the matrix products that are used without one, in turn
within one process, on the patches of photographs, embedded as in search.py: the patches of one test
photograph are searched in random patches of good ones, and a bank is selected from good ones.  All
must find the same rows, and choose the same centres in the same order.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from contract import Run, arguments, matrix_product_gflops
from patchbank.core.coreset import greedy_coreset
from patchbank.core.int8 import binding
from patchbank.core.neighbours import ExactIndex
from patchbank.datasets import find_dataset, good_images
from patchbank.types import Indices
from peer_processes import PAUSE_S, Answer, alternated, times, times_faster
from search import EMBEDDINGS, PATCHES, SHAPES
from synthetic import photographed

PRODUCTS = "matrix products"
SELECTED_ROWS = {152: 164_000, 1024: 20_000, 1536: 20_000}
CENTRES = {152: 4_000, 1024: 1_500, 1536: 1_500}


def kernels() -> dict[str, int]:
    """Levels that this machine can run, and 0 for the matrix products, by name."""
    return {PRODUCTS: 0, **{binding.LEVELS[level]: level for level in binding.supported()[0]}}


def use(level: int) -> None:
    """Compute with a kernel from now on."""
    binding.level = lambda: level


def compared(find: Callable[[str], Indices], repeats: int) -> dict[str, Any]:
    """Run all kernels in turn.  -> times, ratios, and whether the rows are equal."""

    def answer(name: str) -> Answer:
        use(kernels()[name])
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        rows = find(name)
        return Answer(time.perf_counter() - began, {"rows": rows})

    ways = {name: lambda _, name=name: answer(name) for name in kernels()}
    answers = alternated(ways, repeats=repeats)
    products = answers[PRODUCTS]
    found: dict[str, Any] = {PRODUCTS: times(products).to_json()}
    for name in [name for name in answers if name != PRODUCTS]:
        pairs = zip(answers[name], products, strict=True)
        found[name] = {
            **times(answers[name]).to_json(),
            "times_faster": times_faster(answers[name], products),
            "rows_equal": all(
                bool(np.array_equal(ours.facts["rows"], theirs.facts["rows"]))
                for ours, theirs in pairs
            ),
        }
    return found


def of_width(dims: int, bank_rows: int, given: argparse.Namespace) -> dict[str, Any]:
    """Search and selection on patches of `dims` numbers."""
    selected, bank_rows = (int(n * given.share) for n in (SELECTED_ROWS[dims], bank_rows))
    recipe, cut = EMBEDDINGS[dims]
    good = good_images(given.photographs)[: -(-max(selected, bank_rows) // PATCHES)]
    tested = [sample.path for sample in find_dataset(given.photographs).samples][:1]
    features, _ = photographed(good, recipe, unfolded_dims=cut)
    queries, _ = photographed(tested, recipe, unfolded_dims=cut)
    bank = features[np.random.default_rng(0).permutation(len(features))[:bank_rows]]
    features, centres = features[:selected], int(CENTRES[dims] * given.share)
    indexes = {}
    for name, level in kernels().items():
        use(level)
        indexes[name] = ExactIndex(bank)
    found = compared(lambda name: indexes[name].nearest(queries)[1], given.repeats)
    chosen = compared(lambda _: greedy_coreset(features, centres).centres, given.selections)
    return {
        "search": {"bank": list(bank.shape), "queries": len(queries), "kernels": found},
        "selection": {"rows": list(features.shape), "centres": centres, "kernels": chosen},
    }


def main() -> None:
    """Measure and write kernels.json."""
    parser = arguments(__doc__)
    parser.add_argument("photographs", type=Path, help="a data set in MVTec layout")
    parser.add_argument("--repeats", type=int, default=9, help="of the search")
    parser.add_argument("--selections", type=int, default=3, help="repeats of the selection")
    parser.add_argument("--share", type=float, default=1.0, help="of all sizes, to try the script")
    run = Run(__file__, __doc__, given := parser.parse_args())
    peak = matrix_product_gflops()
    cases = [of_width(dims, rows, given) for rows, dims in SHAPES]
    peak = max(peak, matrix_product_gflops())
    run.write({"matrix_product_gflops": peak, "cases": cases})


if __name__ == "__main__":
    main()
