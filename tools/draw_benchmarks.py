"""Draw the plots of docs/plots.md from the results in benchmarks/, as SVG.

    python tools/draw_benchmarks.py

The bars are plain SVG, so that the same results always give the same files.
"""

from __future__ import annotations

import csv
import html
import json
from pathlib import Path
from statistics import mean
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
PICTURES = ROOT / "docs" / "pictures" / "benchmarks"

WIDTH_PX, LABEL_PX, VALUE_PX, BAR_PX, STEP_PX, TITLE_PX = 680, 210, 90, 16, 26, 40
OURS, OTHERS, MUTED = "#2f6db3", "#8a8f98", "#c9a227"
NAMES = {
    "patchcore:fast": "PatchCore fast",
    "patchcore:balanced": "PatchCore balanced",
    "patchcore:accurate": "PatchCore accurate",
    "patchcore:few-shot": "PatchCore few-shot",
    "rotated": "balanced, 4 orientations",
    "graphcore": "GraphCore",
    "padim": "PaDiM",
    "spade": "SPADE",
    "simplenet": "SimpleNet",
}


class Bar(NamedTuple):
    """A bar of a plot."""

    label: str
    value: float
    text: str
    colour: str = OURS


def plot(title: str, bars: list[Bar], *, begin: float = 0.0, end: float | None = None) -> str:
    """Horizontal bars from `begin` to `end` (the largest value if None), as SVG."""
    last = max(bar.value for bar in bars) if end is None else end
    span = WIDTH_PX - LABEL_PX - VALUE_PX
    if begin:
        title += f" (bars begin at {begin:g})"
    height = TITLE_PX + len(bars) * STEP_PX + 10
    rows = []
    for number, bar in enumerate(bars):
        top = TITLE_PX + number * STEP_PX
        width = max(span * (bar.value - begin) / (last - begin), 1)
        middle = top + BAR_PX - 4
        rows.append(
            f'<text x="{LABEL_PX - 8}" y="{middle}" text-anchor="end">'
            f"{html.escape(bar.label)}</text>"
            f'<rect x="{LABEL_PX}" y="{top}" width="{width:.1f}" height="{BAR_PX}" rx="2" '
            f'fill="{bar.colour}"/>'
            f'<text x="{LABEL_PX + width + 6:.1f}" y="{middle}">{html.escape(bar.text)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}" '
        f'width="{WIDTH_PX}" height="{height}" font-family="sans-serif" font-size="13" '
        f'fill="#222">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="12" y="22" font-size="15" font-weight="bold">{html.escape(title)}</text>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def table(name: str) -> list[dict[str, str]]:
    """Rows of a table of `patchbank benchmark`."""
    with (BENCHMARKS / "quality" / "methods" / name / "tables.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of_methods(name: str, shots: str, metric: str, category: str, title: str) -> str:
    """A metric of each method, from 0.5 (that of a coin) on for areas under a curve."""
    bars = [
        Bar(NAMES[row["method"]], float(row["value"]), f"{float(row['value']):.3f}")
        for row in table(name)
        if (row["shots"], row["metric"], row["category"]) == (shots, metric, category)
    ]
    return plot(title, bars, begin=0.4, end=1.0)


def of_costs() -> str:
    """Time of a photograph with each method."""
    bars = [
        Bar(NAMES[row["method"]], float(row["value"]), f"{float(row['value']):.0f} ms")
        for row in table("full")
        if (row["metric"], row["category"]) == ("ms an image", "median")
    ]
    return plot("Time of a photograph, one core, median", bars)


def speed(name: str) -> dict:
    """Results of a speed benchmark."""
    return json.loads((BENCHMARKS / "speed" / f"{name}.json").read_text(encoding="utf-8"))[
        "results"
    ]


def of_photographs() -> str:
    """Photographs a second of ours and of anomalib."""
    ways = speed("predict_beside_peers")["ways"]
    names = {
        "files": "ours, from files",
        "decoded": "ours, decoded before",
        "anomalib_engine_files": "anomalib engine, from files",
        "anomalib_bare_decoded": "anomalib model, decoded",
        "anomalib_bare_decoded_in_batches": "anomalib model, in batches",
    }
    bars = []
    for key, name in names.items():
        rate = ways[key]["images_per_second"]
        bars.append(Bar(name, rate, f"{rate:.1f} a second", OURS if "ours" in name else OTHERS))
    return plot("Photographs a second, same backbone and bank of 25,088 rows", bars)


def of_search() -> str:
    """Exact search on real patches in three shapes of bank."""
    bars = []
    for case in speed("search_beside_peers")["cases"]:
        if case["points"] == "photographed":
            rows, dims = case["bank"]
            for key, name, colour in (
                ("ours", "ours", OURS),
                ("sklearn", "scikit-learn", MUTED),
                ("faiss", "faiss, flat", OTHERS),
            ):
                time = case[key]["median_s"] * 1000
                bars.append(Bar(f"{rows:,} x {dims:,}: {name}", time, f"{time:.0f} ms", colour))
    return plot("Exact search of 784 patches in banks of real patches", bars)


def of_selection() -> str:
    """Selection of 4,000 of 164,000 patches."""
    results = speed("selection_beside_peers")
    ours, theirs = results["ours"]["median_s"], results["anomalib"]["seconds"]
    loop = results["against_loops"]["one_at_a_time_s"]
    bars = [
        Bar("ours", ours, f"{ours:.2f} s"),
        Bar("one-at-a-time loop, numpy", loop, f"{loop:.1f} s", MUTED),
        Bar("anomalib KCenterGreedy", theirs, f"{theirs:.0f} s", OTHERS),
    ]
    return plot("Selecting 4,000 of 164,000 patches of 152 numbers", bars)


def of_few_shots() -> str:
    """Image AUROC of the preset few-shot on screws, with and without a canonical position."""
    record = json.loads((BENCHMARKS / "quality" / "few_shot.json").read_text(encoding="utf-8"))
    bars = []
    for shots in (1, 2, 4, 8):
        turned = mean(
            run["image_auroc"]
            for run in record["results"]
            if (run["dataset"], run["shots"]) == ("screw", shots)
        )
        bars.append(Bar(f"{shots}: few-shot", turned, f"{turned:.3f}"))
        others = {"patchcore:balanced": OTHERS, "padim": MUTED}
        wanted = (str(shots), "image_auroc", "screw")
        for row in table("shots"):
            where = (row["shots"], row["metric"], row["category"])
            if where == wanted and row["method"] in others:
                value, colour = float(row["value"]), others[row["method"]]
                bars.append(Bar(f"{shots}: {NAMES[row['method']]}", value, f"{value:.3f}", colour))
    return plot("Screws, image AUROC by the number of good photographs", bars, begin=0.4, end=1.0)


def pictures() -> dict[str, str]:
    """Every plot by the name of its file."""
    full = ("full", "full")
    return {
        "methods-screw.svg": of_methods(
            *full, "image_auroc", "screw", "Screws (MVTec AD), image AUROC"
        ),
        "methods-mtd.svg": of_methods(*full, "image_auroc", "mtd", "Magnetic tiles, image AUROC"),
        "methods-aupro.svg": of_methods(*full, "aupro", "mean", "AUPRO, mean of screws and tiles"),
        "methods-time.svg": of_costs(),
        "few-shots.svg": of_few_shots(),
        "photographs.svg": of_photographs(),
        "selection.svg": of_selection(),
        "search.svg": of_search(),
    }


def main() -> None:
    """Write all plots."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures().items():
        (PICTURES / name).write_text(picture, encoding="utf-8")
        print(PICTURES / name)


if __name__ == "__main__":
    main()
