"""How do time and memory grow: with images, input size, rows of the bank, and picks?

    python benchmarks/speed/growth.py ../shared/data/screw

Fits are whole processes (`patchbank fit`, default preset but for what is named); selection and
search are calls on drawn points of 152 dimensions.  With the last two comes the limit that a
matrix product sets: 2 n m d operations at the float32 peak of this machine, measured in the run.
The plots of docs/performance.md are drawn from the results.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract import Run, arguments, matrix_product_gflops, measured
from patchbank.core.coreset import greedy_coreset
from patchbank.core.neighbours import ExactIndex
from processes import PROGRAM, run_process
from synthetic import drawn

PICTURES = Path(__file__).parents[2] / "docs/pictures/performance"
DIMS = 152
QUERIES = 784
IMAGES = {".jpg", ".jpeg", ".png"}


def fitted(photographs: Sequence[Path], *options: str) -> dict[str, float]:
    """Seconds and peak memory of one fit as a process."""
    with tempfile.TemporaryDirectory() as name:
        good = Path(name) / "good"
        good.mkdir()
        for number, path in enumerate(photographs):
            (good / f"{number:04}{path.suffix}").symlink_to(path.resolve())
        command = [PROGRAM, "fit", str(good), "--out", str(Path(name) / "fitted"), *options]
        times, peak_mb = measured(lambda: run_process(command), repeats=1, warm_up=0)
    return {"seconds": times.median_s, "peak_memory_mb": peak_mb}


def selections(rows: int, picks: Sequence[int]) -> list[dict[str, Any]]:
    """Seconds and passes of selecting ever more of the same points, and the limit."""
    features, found = drawn(rows, DIMS), []
    greedy_coreset(features[:20_000], 200)  # warm up
    for count in picks:
        peak = matrix_product_gflops()
        blocks: list[int] = []
        began = time.perf_counter()
        greedy_coreset(features, count, on_progress=blocks.append)
        seconds = time.perf_counter() - began
        limit_s = 2 * rows * count * DIMS / peak / 1e9
        passes = len(blocks) - 1  # the first is that of the first centre
        found.append({"picks": count, "seconds": seconds, "passes": passes, "limit_s": limit_s})
    return found


def searches(banks: Sequence[int]) -> list[dict[str, Any]]:
    """Milliseconds of searching one image's patches in ever larger banks, and the limit."""
    drawn_points, found = drawn(QUERIES + max(banks), DIMS), []
    queries, points = drawn_points[:QUERIES], drawn_points[QUERIES:]
    for rows in banks:
        index, peak = ExactIndex(points[:rows]), matrix_product_gflops(0.5)
        times, _ = measured(lambda index=index: index.nearest(queries), repeats=9, warm_up=2)
        limit_ms = 2 * QUERIES * rows * DIMS / peak / 1e6
        found.append(
            {"bank_rows": rows, "milliseconds": times.median_s * 1e3, "limit_ms": limit_ms}
        )
    return found


def draw(
    name: str,
    lines: list[dict[str, Any]],
    x: tuple[str, str],
    ys: Sequence[tuple[str, str]],
    *,
    logarithmic: bool,
) -> None:
    """Draw one picture: a plot for the values of the same unit, (key, label) each."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
    for (key, label), style in zip(ys, ("o-", "--"), strict=False):
        axes.plot([line[x[0]] for line in lines], [line[key] for line in lines], style, label=label)
    axes.set_xlabel(x[1])
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3, which="both")
    if len(ys) > 1:
        axes.legend()
    else:
        axes.set_ylabel(ys[0][1])
    figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def draw_all(results: dict[str, list[dict[str, Any]]]) -> None:
    """Draw the pictures of docs/performance.md."""
    import matplotlib.pyplot as plt

    PICTURES.mkdir(parents=True, exist_ok=True)
    plt.rcParams["svg.hashsalt"] = "patchbank"
    seconds, memory = [("seconds", "seconds of a fit")], [("peak_memory_mb", "peak memory, MB")]
    for name, x in (("images", "good photographs"), ("input_size", "image_size, pixels")):
        draw(f"{name}-time", results[name], (name, x), seconds, logarithmic=False)
        draw(f"{name}-memory", results[name], (name, x), memory, logarithmic=False)
    limit = ("limit_s", "a matrix product of that size")
    draw(
        "selection-time",
        results["selection"],
        ("picks", "picks"),
        [("seconds", "seconds"), limit],
        logarithmic=True,
    )
    passes = [("passes", "passes over the features")]
    draw("selection-passes", results["selection"], ("picks", "picks"), passes, logarithmic=True)
    draw(
        "search-time",
        results["search"],
        ("bank_rows", "rows of the bank"),
        [("milliseconds", "milliseconds an image"), ("limit_ms", limit[1])],
        logarithmic=True,
    )


def main() -> None:
    """Measure, write growth.json and draw."""
    parser = arguments(__doc__)
    parser.add_argument("photographs", type=Path, help="a data set in MVTec layout")
    parser.add_argument("--rows", type=int, default=200_000, help="points that are selected from")
    parser.add_argument("--counts", type=int, nargs="+", default=[40, 80, 160, 320])
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 320, 448, 640])
    parser.add_argument(
        "--picks", type=int, nargs="+", default=[500, 2_000, 8_000, 32_000, 100_000]
    )
    parser.add_argument(
        "--banks", type=int, nargs="+", default=[1_000, 4_000, 16_000, 64_000, 256_000]
    )
    run = Run(__file__, __doc__, given := parser.parse_args())
    folder = given.photographs / "train/good"
    good = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    few = good[: min(given.counts)]
    large = ["--max-upscale", "100"]  # all sides are used, however small the photographs
    results = {
        "images": [{"images": n, **fitted(good[:n])} for n in given.counts if n <= len(good)],
        "input_size": [
            {"input_size": side, **fitted(few, "--image-size", str(side), *large)}
            for side in given.sides
        ],
        "selection": selections(given.rows, given.picks),
        "search": searches(given.banks),
    }
    draw_all(results)
    run.write(results)


if __name__ == "__main__":
    main()
