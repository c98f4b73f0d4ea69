"""How fast is the exact search, and how much faster than faiss and scikit-learn?

    python benchmarks/speed/search.py
    python benchmarks/speed/search.py --photographs ../shared/data/screw
    python benchmarks/speed/search.py --peers .venv-peers/bin/python

The nearest row of a bank for each of the 784 patches of an image, at three shapes of bank, on
points of low intrinsic dimension, on isotropic Gaussian ones (the worst case), and with
--photographs on real patches: banks by the greedy selection from good photographs, queries the
patches of test photographs.  Each side is a process, all search the same image in turn.  Distances
are compared with those in double precision to the row that is nearest in double precision.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract import Run, arguments, matrix_product_gflops
from patchbank import PatchCore
from patchbank.core.coreset import greedy_coreset
from patchbank.datasets import find_dataset, good_images
from patchbank.types import Features
from peer_processes import Answer, alternated, sides, times, times_faster
from synthetic import drawn, gaussian, photographed

PATCHES = 784
SHAPES = ((60_000, 152), (16_000, 1024), (10_000, 1536))
PEERS = ("faiss", "sklearn")
WARM_UP = 2
SMALL = {"image_size": 224, "resize": "squash", "scales": (1.0,), "patch_stride": 1}
EMBEDDINGS: dict[int, tuple[PatchCore, int | None]] = {
    152: (PatchCore(backbone="efficientnet_lite0", **SMALL), None),
    1024: (
        PatchCore(backbone="efficientnet_lite0", layer_dims=1024, target_dims=1024, **SMALL),
        None,
    ),
    1536: (
        PatchCore(
            backbone="efficientnet_lite2",
            layers=("blocks.2", "blocks.3", "blocks.4"),
            patch_size=1,
            **SMALL,
        ),
        1536,
    ),
}
"""Embeddings of real patches: as concatenated, as the official code pools them, and as 3 x 3
neighbourhoods, concatenated and truncated to this width."""

Case = tuple[str, Features, NDArray[np.float32]]
"""Kind of points, bank (m, d), queries (images, 784, d)."""


def drawn_cases(share: float, images: int) -> Iterator[Case]:
    """Both kinds of drawn points at all shapes; the queries are drawn as the bank is."""
    for rows, dims in SHAPES:
        m = int(rows * share)
        for kind, make in (("low-dimensional", drawn), ("gaussian", gaussian)):
            points = make(m + images * PATCHES, dims)
            yield kind, points[:m], points[m:].reshape(images, PATCHES, dims)


def real_cases(root: Path, share: float, photographs: int, images: int) -> Iterator[Case]:
    """Real patches at all shapes: good and defective test photographs, evenly over the list."""
    good = good_images(root)[:photographs]
    tested = [sample.path for sample in find_dataset(root).samples]
    chosen = [tested[i * len(tested) // images] for i in range(images)]
    for rows, dims in SHAPES:
        recipe, cut = EMBEDDINGS[dims]
        features, _ = photographed(good, recipe, unfolded_dims=cut)
        picked = greedy_coreset(features, min(int(rows * share), len(features)))
        queries, _ = photographed(chosen, recipe, unfolded_dims=cut)
        yield "photographed", features[picked.centres], queries.reshape(images, PATCHES, dims)


def compare(case: Case, given: argparse.Namespace) -> dict[str, Any]:
    """Run all sides on one bank."""
    kind, bank, queries = case
    pythons = {"patchbank": sys.executable}
    if given.peers:
        pythons |= dict.fromkeys(PEERS, given.peers)
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "bank.npy", bank)
        np.save(Path(name) / "queries.npy", queries)
        with sides(pythons, "search", Path(name)) as started:
            ways = {
                side: lambda number, run=process.run: run(image=number % len(queries))
                for side, process in started.items()
            }
            answers = alternated(ways, repeats=given.repeats, warm_up=WARM_UP)
            versions = {side: process.versions for side, process in started.items()}
    exact = [nearest_distances(bank, image) for image in queries[: given.repeats]]
    ours = answers.pop("patchbank")
    ours_times = times(ours, WARM_UP)
    result = {
        "points": kind,
        "bank": list(bank.shape),
        "versions": versions,
        "gflops": 2 * PATCHES * bank.size / ours_times.median_s / 1e9,
        "ours": {**ours_times.to_json(), "largest_relative_error": largest_error(ours, exact)},
    }
    for side, theirs in answers.items():
        result[side] = {
            **times(theirs, WARM_UP).to_json(),
            "times_faster": times_faster(ours, theirs),
            "largest_relative_error": largest_error(theirs, exact),
        }
    return result


def nearest_distances(bank: Features, queries: Features) -> NDArray[np.float64]:
    """The distance of each query to its nearest row, in double precision.  (n,)."""
    b, q = bank.astype(np.float64), queries.astype(np.float64)
    squared = np.square(b).sum(axis=1) - 2 * q @ b.T  # less the query's own square
    return np.linalg.norm(q - b[squared.argmin(axis=1)], axis=1)


def largest_error(answers: list[Answer], exact: list[NDArray[np.float64]]) -> float:
    """Largest error of all distances, relative to the exact one."""
    errors = []
    for number, answer in enumerate(answers):
        truth = exact[number % len(exact)]
        difference = np.abs(np.array(answer.facts["distances"]) - truth)
        errors.append((difference / np.maximum(truth, 1e-12)).max())
    return float(max(errors))


def main() -> None:
    """Measure and write search.json, or search_beside_peers.json."""
    parser = arguments(__doc__, peers="faiss-cpu and scikit-learn")
    parser.add_argument("--repeats", type=int, default=16)
    parser.add_argument("--images", type=int, default=8, help="whose patches are searched")
    parser.add_argument("--share", type=float, default=1.0, help="of the banks, to try the script")
    parser.add_argument("--photographs", type=Path, help="a data set in MVTec layout")
    parser.add_argument("--good", type=int, default=200, help="photographs the banks come from")
    run = Run(__file__, __doc__, given := parser.parse_args())
    peak = matrix_product_gflops()
    cases = [compare(case, given) for case in drawn_cases(given.share, given.images)]
    if given.photographs:
        real = real_cases(given.photographs, given.share, given.good, given.images)
        cases += [compare(case, given) for case in real]
    peak = max(peak, matrix_product_gflops())
    run.write({"matrix_product_gflops": peak, "cases": cases})


if __name__ == "__main__":
    main()
