"""Many products: whether photographs are routed to their product, what that costs, and resuming.

    python benchmarks/quality/routing.py ../shared/data --work /tmp/routing

*Products*: screws, magnetic tiles and two kinds of solar cells (package elpv-dataset), and cuts and
changes of each that are other products: the middle at twice the size, turned by 90 degrees, in
negative (light from the other side), mirrored (a left-hand thread), in brass.  `fit_each` learns 60
good photographs of each; others, good and defective, are routed.  Then the whole family of each
photograph is left out, then its product alone, and photographs of nothing of the kind are routed:
scenes, drawn plates and textures.  *Time*: one photograph by its own detector, by a router of more
and more products, and by all detectors in turn.  *Resuming*: a run on 20 products that is killed
five times.  Writes routing.json and routing.md; `--work` keeps products and detectors for another
run.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow
from PIL import ImageFilter, ImageOps

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import write_results
from patchbank import PatchCore, Router, fit_each
from patchbank.datasets.elpv import _package_folder
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection
from patchbank.products.routing.space import Space

HERE = Path(__file__).parent
N_TRAIN, N_TEST, N_STRANGE, N_TIMED = 60, 5, 200, 6
CUTS = (("balanced", 4, 60), ("fast", 5, 30))
"""Preset, seed of the draws, and photographs that are learned, of each cut of the sets; rules and
limits were chosen on the draws of seeds 0 to 3."""
PRODUCTS = (1, 2, 4, 8, 16)
KILLS, N_RESUMED, N_OF_RESUMED = 5, 20, 8
Picture = pillow.Image


def zoomed(image: Picture) -> Picture:
    """The middle of a photograph, at twice the size."""
    width, height = image.size
    return image.crop((width // 4, height // 4, width - width // 4, height - height // 4))


def brass(image: Picture) -> Picture:
    """In the colour of brass."""
    pixels = np.asarray(image.convert("RGB")) * np.array([1.0, 0.82, 0.5])
    return pillow.fromarray(pixels.astype(np.uint8))


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "": lambda image: image,
    "zoomed": zoomed,
    "turned": lambda image: image.transpose(pillow.Transpose.ROTATE_90),
    "negative": lambda image: ImageOps.invert(image.convert("L")),
    "mirrored": ImageOps.mirror,
    "brass": brass,
    "corner": lambda image: image.crop((0, 0, image.width // 2, image.height // 2)),
}
FAMILIES = {
    "screw": ("", "zoomed", "mirrored", "brass"),
    "mtd": ("", "zoomed", "turned", "negative"),
    "mono": ("", "zoomed", "turned", "negative"),
    "poly": ("", "zoomed", "turned", "negative"),
}


def family(product: str) -> str:
    """The set that a product is made of."""
    return product.split(maxsplit=1)[0]


def photographs(
    data: Path, seed: int = 0, n_train: int = N_TRAIN
) -> dict[str, dict[str, list[Path]]]:
    """Family -> photographs to learn, good ones and defective ones to test."""
    rng = np.random.default_rng(seed)

    def some(paths: Iterable[Path], n: int) -> list[Path]:
        listed = sorted(paths)
        return [listed[number] for number in rng.permutation(len(listed))[:n]]

    found = {}
    for name in ("screw", "mtd"):
        test = data / name / "test"
        defects = [p for kind in test.iterdir() if kind.name != "good" for p in kind.iterdir()]
        found[name] = {
            "train": some((data / name / "train" / "good").iterdir(), n_train),
            "good": some((test / "good").iterdir(), N_TEST),
            "defect": some(defects, N_TEST),
        }
    folder = _package_folder()
    cells = [line.split() for line in (folder / "labels.csv").read_text().splitlines()]
    for name in ("mono", "poly"):
        good = [folder / file for file, p, kind in cells if kind == name and float(p) == 0]
        defects = [folder / file for file, p, kind in cells if kind == name and float(p) == 1]
        drawn = some(good, n_train + N_TEST)
        found[name] = {
            "train": drawn[:n_train],
            "good": drawn[n_train:],
            "defect": some(defects, N_TEST),
        }
    return found


def write_products(data: Path, root: Path, seed: int, n_train: int) -> None:
    """Write the photographs of all products, unless they are there."""
    for base, sets in photographs(data, seed, n_train).items():
        for change in FAMILIES[base]:
            for part, paths in sets.items():
                inside = "train/good" if part == "train" else f"test/{part}"
                folder = root / f"{base} {change}".strip() / inside
                if folder.is_dir():
                    continue
                folder.mkdir(parents=True)
                for number, path in enumerate(paths):
                    CHANGES[change](pillow.open(path)).save(folder / f"{number:03}.png")


def strange(seed: int) -> list[np.ndarray]:
    """Photographs of none of the products: scenes, drawn plates, textures."""
    from sklearn.datasets import load_sample_image

    rng, found = np.random.default_rng(1 + seed), []
    scenes = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    for number in range(N_STRANGE):
        height, width = rng.integers(180, 400, 2)
        if number % 5 < 2:
            scene = scenes[number % 2]
            top = rng.integers(0, scene.shape[0] - height)
            left = rng.integers(0, scene.shape[1] - width)
            cut = scene[top : top + height, left : left + width]
            grey = np.repeat(cut.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
            found.append(grey if number % 4 < 2 else cut)
            continue
        y, x = np.mgrid[:height, :width]
        noise = pillow.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8))
        blurred = noise.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 5)))
        drawn = np.asarray(blurred, dtype=float)
        if number % 5 == 2:
            drawn = drawn / 8 + 40 * np.sin(x / rng.uniform(2, 20)) + 100
            drawn[np.abs(np.hypot(y - height / 2, x - width / 2) - height / 4) < 9] = 220
        grey = np.clip(drawn, 0, 255).astype(np.uint8)
        found.append(np.repeat(grey[..., None], 3, axis=2))
    return found


def samples(root: Path) -> list[tuple[str, str, Path]]:
    """(product, good or defect, photograph) of all that are routed."""
    return [
        (folder.name, kind, path)
        for folder in sorted(root.iterdir())
        for kind in ("good", "defect")
        for path in sorted((folder / "test" / kind).iterdir())[:N_TEST]
    ]


def routed(router: Router, images: Sequence[Any]) -> list[tuple[str | None, str]]:
    """(product, nearest product) of each photograph."""
    found = []
    for outcome in router.inspect(images):
        if isinstance(outcome, FailedInspection) and outcome.route is None:
            raise SystemExit(outcome.error)
        assert outcome.route is not None
        found.append((outcome.route.product, outcome.route.nearest))
    return found


def shares(root: Path, detectors: Mapping[str, Detector]) -> dict[str, Any]:
    """Shares of photographs that are routed right, and to none."""
    listed, result = samples(root), {}
    whole = Router(detectors)
    asked: list[int] = []
    exact = Space._exact
    Space._exact = lambda self, *given: asked.append(1) or exact(self, *given)  # type: ignore
    found = routed(whole, [path for _, _, path in listed])
    Space._exact = exact  # type: ignore[method-assign]
    for kind in ("good", "defect"):
        own = [
            (truth, *route)
            for (truth, label, _), route in zip(listed, found, strict=True)
            if label == kind
        ]
        wrong = Counter(f"{t} -> {nearest}" for t, _, nearest in own if nearest != t)
        none = Counter(t for t, product, _ in own if product is None)
        result[kind] = {
            "photographs": len(own),
            "nearest_is_right": sum(nearest == t for t, _, nearest in own) / len(own),
            "routed_right": sum(product == t for t, product, _ in own) / len(own),
            "none": sum(none.values()) / len(own),
            "wrong": dict(wrong.most_common()),
            "none_by_product": dict(none.most_common()),
        }
    result["banks_searched"] = len(asked) / len(listed)
    return result


def left_out(root: Path, detectors: Mapping[str, Detector], seed: int) -> dict[str, Any]:
    """Share called none of the products, where a photograph's own is not among them."""
    listed, result = samples(root), {}
    for what in ("family", "product"):
        by_product = {}
        for name in detectors:
            if what == "family":
                others = {n: d for n, d in detectors.items() if family(n) != family(name)}
            else:
                others = {n: d for n, d in detectors.items() if n != name}
            own = [path for truth, _, path in listed if truth == name][::2]
            found = routed(Router(others), own)
            by_product[name] = sum(product is None for product, _ in found) / len(found)
        result[what] = {"none": statistics.mean(by_product.values()), "by_product": by_product}
    found = routed(Router(detectors), strange(seed))
    none = [product is None for product, _ in found]
    nearest = Counter(nearest for product, nearest in found if product is not None)
    result["strange"] = {
        "photographs": len(none),
        "none": sum(none) / len(none),
        "taken_for": dict(nearest.most_common()),
    }
    return result


def times(root: Path, detectors: Mapping[str, Detector]) -> dict[str, Any]:
    """Seconds for a photograph whose product is known, for a router, and for all detectors."""
    own = "screw"
    paths = sorted((root / own / "test" / "good").iterdir())
    names = [own, *(name for name in sorted(detectors) if name != own)]
    runs: dict[str, Callable[[Path], object]] = {"known": detectors[own].predict}
    for n in PRODUCTS:
        runs[f"router of {n}"] = Router({name: detectors[name] for name in names[:n]}).predict
    runs["all in turn"] = lambda path: [detectors[name].predict(path) for name in names]
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(N_TIMED + 1):
        order = list(runs) if number % 2 else list(runs)[::-1]
        for name in order:
            begin = time.perf_counter()
            runs[name](paths[number % len(paths)])
            if number:  # the first is warm-up
                seconds[name].append(time.perf_counter() - begin)
    known = statistics.median(seconds["known"])
    return {
        name: {"seconds": values, "by_known": statistics.median(values) / known}
        for name, values in seconds.items()
    }


def resuming(data: Path, work: Path) -> dict[str, Any]:
    """A run on 20 products that is killed five times, against one that is not."""
    root = work / "resumed"
    for base, sets in photographs(data).items():
        for change in [*FAMILIES[base], "corner"]:
            folder = root / f"{base} {change}".strip()
            folder.mkdir(parents=True, exist_ok=True)
            for number, path in enumerate(sets["train"][:N_OF_RESUMED]):
                CHANGES[change](pillow.open(path)).save(folder / f"{number}.png")
    options = ["--backbone", "efficientnet_lite0", "--image-size", "160", "--device", "cpu"]
    code = "from patchbank.cli import main; main()"

    def started(out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code, "fit", str(root), "--each", "--out", str(out)]
        quiet = subprocess.DEVNULL
        return subprocess.Popen([*command, *options], stdout=quiet, stderr=quiet)

    rng, killed, whole = np.random.default_rng(2), work / "killed", work / "undisturbed"
    begin = time.monotonic()
    status = started(whole).wait()
    undisturbed_s = time.monotonic() - begin
    seen: dict[str, int] = {}
    fitted_twice = 0
    for _ in range(KILLS):
        process = started(killed)
        time.sleep(rng.uniform(0.1, 0.4) * undisturbed_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for record in (killed / "records").glob("*.json"):
            file = killed / f"{record.stem}.patchbank"
            state = file.stat().st_mtime_ns
            fitted_twice += seen.setdefault(file.name, state) != state
    status |= started(killed).wait()
    files = [
        {path.name: path.read_bytes() for path in out.glob("*.patchbank")}
        for out in (whole, killed)
    ]
    left = [p.name for p in killed.rglob("*") if p.name.startswith(".patchbank-")]
    return {
        "products": len(files[0]),
        "status": status,
        "kills": KILLS,
        "fitted_at_the_kills": len(seen),
        "same_bytes": files[0] == files[1],
        "fitted_twice": fitted_twice,
        "left_half_written": left,
        "undisturbed_s": undisturbed_s,
    }


def page(written: dict[str, Any]) -> str:
    """The results as a page."""
    found, where = written["results"], written["environment"]
    lines = [
        "# Many products: routing",
        "",
        f"`{written['command']}`, {where['processor']}, {where['cores']} cores, commit "
        f"{where['commit']}, load {where['load_average']:.1f}.",
        "",
    ]
    for (preset, _, n_train), one in zip(CUTS, found["cuts"].values(), strict=True):
        lines += _page_of_cut(f"Preset {preset}, {n_train} photographs of each product", one)
    resumed = found["resuming"]
    lines += [
        "## Resuming",
        "",
        f"{resumed['products']} products, killed {resumed['kills']} times; files equal to an "
        f"undisturbed run: {resumed['same_bytes']}; fitted twice: {resumed['fitted_twice']}; half "
        f"written: {len(resumed['left_half_written'])}.",
        "",
    ]
    return "\n".join(lines)


def _page_of_cut(title: str, found: dict[str, Any]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| photographs | n | nearest is right | routed right | none of them |",
        "|---|--:|--:|--:|--:|",
    ]
    for kind in ("good", "defect"):
        one = found["shares"][kind]
        lines.append(
            f"| {kind} | {one['photographs']} | {100 * one['nearest_is_right']:.1f} % | "
            f"{100 * one['routed_right']:.1f} % | {100 * one['none']:.1f} % |"
        )
    searched = found["shares"]["banks_searched"]
    out = found["left_out"]
    lines += [
        "",
        f"Wrong among good: {found['shares']['good']['wrong'] or 'nothing'}; among defective: "
        f"{found['shares']['defect']['wrong'] or 'nothing'}. Called none: "
        f"{found['shares']['good']['none_by_product'] or 'nothing'} of good ones, "
        f"{found['shares']['defect']['none_by_product'] or 'nothing'} of defective ones. "
        f"Banks searched for a photograph: {searched:.1f} of {found['products']}.",
        "",
        "| left out | called none of the products |",
        "|---|--:|",
        f"| all products of its family | {100 * out['family']['none']:.1f} % |",
        f"| its product alone | {100 * out['product']['none']:.1f} % |",
        f"| {out['strange']['photographs']} photographs of nothing of the kind | "
        f"{100 * out['strange']['none']:.1f} % |",
        "",
        "By product, its family left out: "
        + ", ".join(f"{n} {100 * v:.0f} %" for n, v in out["family"]["by_product"].items())
        + ". The product alone left out: "
        + ", ".join(f"{n} {100 * v:.0f} %" for n, v in out["product"]["by_product"].items())
        + ".",
        "",
        "| a photograph | median s | by the known product |",
        "|---|--:|--:|",
    ]
    lines += [
        f"| {name} | {statistics.median(one['seconds']):.3f} | {one['by_known']:.2f} |"
        for name, one in found["times"].items()
    ]
    return [*lines, ""]


def main() -> None:
    """Measure all, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder in which screw and mtd lie")
    parser.add_argument("--work", type=Path, required=True, help="folder for products, detectors")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, Any] = {"cuts": {}}
    for preset, seed, n_train in CUTS:
        folder = arguments.work / preset
        root, out = folder / "products", folder / "detectors"
        write_products(arguments.data, root, seed, n_train)
        begin = time.monotonic()
        fits = fit_each(root, out, recipe=PatchCore.preset(preset), device="cpu")
        fit_s = time.monotonic() - begin
        router = Router.open(out, device="cpu")
        detectors = {name: router.detector(name) for name in router.products}
        results["cuts"][preset] = {
            "products": len(fits),
            "fit_each_s": fit_s,
            "fits": [[fit.product, fit.error, fit.is_kept, fit.seconds] for fit in fits],
            "shares": shares(root, detectors),
            "left_out": left_out(root, detectors, seed),
            "times": times(root, detectors),
        }
    results["resuming"] = resuming(arguments.data, arguments.work)
    settings = {"cuts": CUTS, "test_of_each_kind": N_TEST, "timed": N_TIMED}
    question = "are photographs routed to their product, what does it cost, is a run resumed?"
    write_results(HERE / "routing.json", question, settings, results, page)


if __name__ == "__main__":
    main()
