"""Notes on photographs that are unlike the learned ones: how often good ones get one, and others.

    python benchmarks/quality/likeness.py ../shared/data/screw ../shared/data/mtd --solar

*Draws*: n good photographs are learned, up to 200 others are new; `--draws` for each n.  Each kind
of difference that needs no detector is counted for new good photographs, and for changed copies of
them.  *Detectors*: one for each n, of the preset fast; whether the whole photograph is called far
(kind `part`) is counted for new good photographs, defects, copies in JPEG of quality 75, and the
good photographs of the other sets.  Writes likeness.json and likeness.md.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow
from PIL import ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import PatchCore
from patchbank.datasets import Dataset, find_dataset, good_images
from patchbank.datasets.elpv import solar_cells
from patchbank.detector.likeness import Likeness
from patchbank.detector.member import PatchDistances
from patchbank.images.source import ImageInput, image_source
from patchbank.images.traits import Traits
from patchbank.types import Image

HERE = Path(__file__).parent
SIZES = (5, 8, 15, 31, 60, 150)
CHANGED, NEW, FEW, DRAWN = 40, 40, 20, 200
NONE = PatchDistances(0.0, 0.0)


def jpeg(image: Image, quality: int) -> bytes:
    """The bytes of a JPEG file."""
    stream = io.BytesIO()
    is_grey = bool((image == image[..., :1]).all())
    pillow.fromarray(image[..., 0] if is_grey else image).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _decoded(image: Image) -> Image:
    return np.asarray(pillow.open(io.BytesIO(jpeg(image, 75))).convert("RGB"))


def _blurred(image: Image, radius: float) -> Image:
    return np.asarray(pillow.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _half(image: Image) -> Image:
    height, width = image.shape[:2]
    return np.asarray(pillow.fromarray(image).resize((width // 2, height // 2)))


def _tinted(image: Image) -> Image:
    tinted = image.copy()
    tinted[..., 2] = np.minimum(image[..., 2], 252) + 3
    return tinted


CHANGES: dict[str, Callable[[Image], ImageInput]] = {
    "JPEG of quality 75": lambda image: jpeg(image, 75),
    "JPEG of quality 50": lambda image: jpeg(image, 50),
    "decoded JPEG of quality 75": _decoded,
    "a tint (blue + 3)": _tinted,
    "12 bits in 16": lambda image: image[..., 0].astype(np.uint16) << 4,
    "half the size": _half,
    "half as bright": lambda image: image // 2,
    "blurred, sigma 1": lambda image: _blurred(image, 1),
    "blurred, sigma 2": lambda image: _blurred(image, 2),
}


def traits_of(given: ImageInput) -> Traits:
    """Traits of one photograph."""
    image, source = image_source(given).read_once()
    return Traits.of(source, image)


def draws(
    good: Sequence[Traits], changed: dict[str, dict[int, Traits]], n_draws: int
) -> list[dict[str, Any]]:
    """Shares of noted photographs for each number of learned ones, without the kind `part`."""
    rows = []
    for n in (size for size in SIZES if size + 20 <= len(good)):
        counts: Counter[str] = Counter()
        noted: dict[str, list[float]] = {name: [] for name in ["good", *changed]}
        for draw in range(n_draws):
            order = np.random.default_rng([n, draw]).permutation(len(good))
            learned = [good[number] for number in order[:n]]
            likeness = Likeness.of(learned, np.zeros((1, n, 2)), np.ones(n))
            new = [likeness.differences(good[number], NONE) for number in order[n : n + DRAWN]]
            noted["good"].append(float(np.mean([bool(each) for each in new])))
            counts.update({each.kind for found in new for each in found})
            is_new = set(order[n:].tolist())
            for name, copies in changed.items():
                found = [
                    bool(likeness.differences(traits, NONE))
                    for number, traits in copies.items()
                    if number in is_new
                ]
                noted[name].append(float(np.mean(found)))
        shares = {name: float(np.mean(values)) for name, values in noted.items()}
        rows.append({"n": n, "draws": n_draws, "noted": shares, "kinds_of_good": dict(counts)})
        print(n, {name: round(share, 4) for name, share in shares.items()}, flush=True)
    return rows


def detectors(
    good: Sequence[Path],
    defects: Sequence[Path],
    others: Mapping[str, Sequence[Path]],
    sizes: Sequence[int],
) -> list[dict[str, Any]]:
    """Shares of photographs that are called far as a whole, for each number of learned ones."""
    rows = []
    for n in sizes:
        order = np.random.default_rng(n).permutation(len(good))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector = PatchCore.preset("fast").fit([good[number] for number in order[:n]])
        new = [good[number] for number in order[n : n + NEW]]
        rng = np.random.default_rng(0)
        groups: dict[str, Sequence[ImageInput]] = {
            "good": new,
            "defects": [defects[i] for i in rng.permutation(len(defects))[:NEW]],
            "JPEG of quality 75": [jpeg(image_source(path).read(), 75) for path in new[:FEW]],
            **{name: list(paths)[:FEW] for name, paths in others.items()},
        }
        row: dict[str, Any] = {"n": n, "part": {}, "any": {}}
        for name, images in groups.items():
            found = [inspection.unlike for inspection in detector.predict_each(images)]
            row["part"][name] = float(
                np.mean([any(each.kind == "part" for each in one) for one in found])
            )
            row["any"][name] = float(np.mean([bool(one) for one in found]))
        rows.append(row)
        print(row, flush=True)
    return rows


def cost(photographs: Sequence[Path]) -> dict[str, float]:
    """Processor time of the traits of a photograph, by that of an inspection of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = PatchCore.preset("fast").fit(photographs[:15])
    sources = [image_source(path).read_once() for path in photographs[:20]]
    began = time.process_time()
    for image, source in sources:
        Traits.of(source, image)
    traits_ms = (time.process_time() - began) / len(sources) * 1000
    began = time.process_time()
    for path in photographs[:20]:
        detector.predict(path)
    predict_ms = (time.process_time() - began) / len(sources) * 1000
    return {"traits_ms": traits_ms, "predict_ms": predict_ms, "share": traits_ms / predict_ms}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def page(results: dict[str, Any], command: str) -> str:
    """The results as tables, in percent."""
    machine = results["environment"]
    lines = [
        "# Notes on photographs that are unlike the learned ones",
        "",
        f"Made by `{command}` on {machine['processor']}, {machine['cores']} cores, commit "
        f"{machine['commit']}. Percent of the photographs; mean over the draws.",
        "",
        "## With a note that needs no detector (any kind but `part`)",
        "",
        f"| data | n | good | {' | '.join(CHANGES)} |",
        "|---|--:|--:|" + "--:|" * len(CHANGES),
    ]
    for name, found in results["sets"].items():
        for row in found["draws"]:
            cells = [_percent(row["noted"][each]) for each in ("good", *CHANGES)]
            lines.append(f"| {name} | {row['n']} | {' | '.join(cells)} |")
    rows = [row for found in results["sets"].values() for row in found["detectors"]]
    groups = list(dict.fromkeys(name for row in rows for name in row["part"]))
    lines += [
        "",
        "## Far as a whole (`part`), and with any note: preset fast, one draw",
        "",
        f"| data | n | {' | '.join(groups)} | good, any note | defects, any note |",
        "|---|--:|" + "--:|" * (len(groups) + 2),
    ]
    for name, found in results["sets"].items():
        for row in found["detectors"]:
            cells = [_percent(row["part"][g]) if g in row["part"] else "" for g in groups]
            cells += [_percent(row["any"][g]) for g in ("good", "defects")]
            lines.append(f"| {name} | {row['n']} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Cost",
        "",
        "| data | traits ms | inspection ms | share % |",
        "|---|--:|--:|--:|",
    ]
    for name, found in results["sets"].items():
        each = found["cost"]
        cells = [f"{each['traits_ms']:.2f}", f"{each['predict_ms']:.1f}", _percent(each["share"])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _paths(dataset: Dataset, *, is_defect: bool) -> list[Path]:
    return [sample.path for sample in dataset.samples if sample.is_defect == is_defect]


def main() -> None:
    """Measure all sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="*", type=Path, help="folders in MVTec layout")
    parser.add_argument("--solar", action="store_true", help="the cells of elpv-dataset, too")
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--learned", nargs="+", type=int, default=[8, 31], help="by detectors")
    parser.add_argument("--out", type=Path, default=HERE / "likeness")
    given = parser.parse_args()
    sets: dict[str, tuple[list[Path], list[Path]]] = {}
    for root in given.roots:
        dataset = find_dataset(root)
        good = [Path(str(path)) for path in good_images(root)] + _paths(dataset, is_defect=False)
        sets[root.name] = good, _paths(dataset, is_defect=True)
    if given.solar:
        fit, dataset = solar_cells()
        sets["solar"] = fit + _paths(dataset, is_defect=False), _paths(dataset, is_defect=True)
    results: dict[str, Any] = {"environment": environment(), "sets": {}}
    for name, (good, defects) in sets.items():
        print(name, len(good), flush=True)
        images = {
            int(i): image_source(good[i]).read()
            for i in np.random.default_rng(1).permutation(len(good))[:CHANGED]
        }
        changed = {
            change: {number: traits_of(make(image)) for number, image in images.items()}
            for change, make in CHANGES.items()
        }
        others = {other: paths for other, (paths, _) in sets.items() if other != name}
        results["sets"][name] = {
            "good": len(good),
            "cost": cost(good),
            "draws": draws([traits_of(path) for path in good], changed, given.draws),
            "detectors": detectors(good, defects, others, given.learned),
        }
        given.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
        command = "python benchmarks/quality/likeness.py " + " ".join(sys.argv[1:])
        given.out.with_suffix(".md").write_text(page(results, command))


if __name__ == "__main__":
    main()
