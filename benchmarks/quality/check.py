"""What `patchbank check` finds of things planted in folders of 200 real photographs.

    python benchmarks/quality/check.py --screw DIR --tiles DIR [--out benchmarks/quality/check]

Each set gives 200 good photographs at random.  Planted, made of further photographs of the same set
where there are, else of the 200: exact copies (PNG, BMP), near copies (each drawn from shifts,
brightness, JPEG, resizing and cropping, and combinations), other sizes, modes, bit depths and
formats, strong compression, blur, black, one colour, overexposed.  Defects come from the test set.

The sets hold repeats of their own: the same part in the same place, photographed again.  What the
check says about the untouched folder is listed first, and copies among it are counted as repeats,
not as clean photographs that are accused (`check.md`).
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as pillow
from PIL import ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1]))

from environment import environment
from patchbank import check_photographs
from patchbank.datasets.elpv import solar_cells

N_CLEAN, N_EXACT, N_NEAR, N_ODD, N_DEFECTS = 200, 10, 40, 3, 4
SEED = 0
COPIES = ("exact_copies", "near_copies")


def recompressed(image, quality):
    """An image after JPEG compression."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    stream.seek(0)
    return pillow.open(stream).convert(image.mode)


def edited(image, rng):
    """A near copy, and the names of its edits."""
    edits = [name for name in EDITS if rng.random() < 0.5] or [str(rng.choice([*EDITS]))]
    for name in edits:
        image = EDITS[name](image, rng)
    return image, "+".join(edits)


def cropped(image, rng):
    """Up to 3 % cut off each side."""
    left, top, right, bottom = rng.uniform(0, 0.03, 4)
    width, height = image.size
    return image.crop(
        (int(left * width), int(top * height), int((1 - right) * width), int((1 - bottom) * height))
    )


def shifted(image, rng):
    """Shifted by up to 1 %, the edge repeated."""
    pixels = np.asarray(image)
    most = max(1, min(image.size) // 100)
    down, right = rng.integers(-most, most + 1, 2)
    padded = np.pad(pixels, [(most, most), (most, most)], mode="edge")
    height, width = pixels.shape
    return pillow.fromarray(
        np.ascontiguousarray(
            padded[most + down : most + down + height, most + right : most + right + width]
        )
    )


def brightened(image, rng):
    """Contrast and brightness changed by up to 10 % and 8 levels."""
    levels = np.asarray(image) * rng.uniform(0.9, 1.1) + rng.uniform(-8, 8)
    return pillow.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def resized(image, rng):
    """Resized by up to 15 %."""
    factor = rng.uniform(0.85, 1.15)
    return image.resize([int(side * factor) for side in image.size], pillow.Resampling.BICUBIC)


EDITS = {
    "crop": cropped,
    "shift": shifted,
    "brightness": brightened,
    "resize": resized,
    "jpeg": lambda image, rng: recompressed(image, int(rng.integers(60, 96))),
}
ALSO_RIGHT = {  # a JPEG among PNG files is named for its format
    "exact_copies": ("near_copies",),
    "near_copies": ("exact_copies",),
    "compression": ("format",),
    "unlike_others": ("wrong_part",),
}
ODD = {  # kind -> the photograph as it is stored
    "size": lambda image, path: image.resize((400, 120)).save(path.with_suffix(".png")),
    "mode": lambda image, path: image.convert("P").save(path.with_suffix(".png")),
    "bit_depth": lambda image, path: pillow.fromarray(
        np.asarray(image).astype(np.uint16) * 257
    ).save(path.with_suffix(".png")),
    "format": lambda image, path: image.save(path.with_suffix(".webp"), lossless=True),
    "compression": lambda image, path: image.save(path.with_suffix(".jpg"), quality=25),
    "blurred": lambda image, path: image.filter(
        ImageFilter.GaussianBlur(max(image.size) / 120)
    ).save(path.with_suffix(".png")),
    "black": lambda image, path: image.point(lambda value: value // 32).save(
        path.with_suffix(".png")
    ),
    "one_colour": lambda image, path: pillow.new("L", image.size, 128).save(
        path.with_suffix(".png")
    ),
    "saturated": lambda image, path: image.point(lambda value: min(255, value * 2 + 40)).save(
        path.with_suffix(".png")
    ),
}


def planted(good, defects, folder, rng):
    """Fill a folder; return planted name -> kind, and the edits of near copies."""
    order = rng.permutation(len(good))
    clean = [good[i] for i in order[:N_CLEAN]]
    spare = [good[i] for i in order[N_CLEAN:]] or clean
    for path in clean:
        shutil.copy(path, folder)
    kinds, edits = {}, {}
    for number in range(N_EXACT):
        name = f"exact-{number}{('.png', '.bmp')[number % 2]}"
        grey(clean[number]).save(folder / name)
        kinds[name] = "exact_copies"
    for number in range(N_NEAR):
        image, what = edited(grey(clean[N_EXACT + number]), rng)
        name = f"near-{number}.png"
        image.save(folder / name)
        kinds[name], edits[name] = "near_copies", what
    for kind, save in ODD.items():
        for number in range(N_ODD):
            source = spare[int(rng.integers(len(spare)))]
            image = grey(source).transpose(pillow.Transpose.ROTATE_180)
            save(image, folder / f"{kind}-{number}.x")
            (name,) = [path.name for path in folder.glob(f"{kind}-{number}.*")]
            kinds[name] = kind
    for number, path in enumerate(rng.permutation(np.array(defects, dtype=object))[:N_DEFECTS]):
        name = f"defect-{number}{path.suffix}"
        shutil.copy(path, folder / name)
        kinds[name] = "unlike_others"
    return [path.name for path in clean], kinds, edits


def grey(path):
    """A photograph as 8 bits of grey, as all of these sets have it."""
    return pillow.open(path).convert("L")


def row(name, good, defects, rng, scores):
    """Figures of one set."""
    with tempfile.TemporaryDirectory() as temporary:
        untouched, mixed = Path(temporary) / "untouched", Path(temporary) / "mixed"
        untouched.mkdir()
        mixed.mkdir()
        clean, kinds, edits = planted(good, defects, mixed, rng)
        for path in (one for one in good if one.name in clean):
            shutil.copy(path, untouched)
        before = check_photographs(untouched, scores=scores)
        after = check_photographs(mixed, scores=scores)
    repeats = {n for f in before.findings if f.kind in COPIES for n in f.names}
    found_by_kind = {f.kind: set(f.names) for f in after.findings}
    accused = {name for f in after.findings for name in f.names if f.kind not in COPIES} & set(
        clean
    )
    partners = set()
    for finding in after.findings:
        for group in finding.groups:
            if any(one in kinds for one in group):
                partners |= set(group)
    copied = {n for kind in COPIES for n in found_by_kind.get(kind, ())} & set(clean)
    wrong_copies = copied - partners - repeats
    result = {
        "set": name,
        "untouched": {f.kind: len(f.names) for f in before.findings},
        "repeats": [list(g) for f in before.findings if f.kind in COPIES for g in f.groups],
        "clean_accused": sorted(accused | wrong_copies),
        "share_accused": len(accused | wrong_copies) / len(clean),
        "found": {},
        "missed": {},
    }
    everything = {n for names in found_by_kind.values() for n in names}
    for kind in dict.fromkeys(kinds.values()):
        names = [n for n, one in kinds.items() if one == kind]
        right = found_by_kind.get(kind, set())
        for other in ALSO_RIGHT.get(kind, ()):
            right = right | found_by_kind.get(other, set())
        result["found"][kind] = [len(right & set(names)), len(names)]
        result["missed"][kind] = [
            f"{n} {edits.get(n, '')}{' (found as another kind)' if n in everything else ''}"
            for n in names
            if n not in right
        ]
    return result


def table(rows):
    """Figures as Markdown."""
    kinds = [*rows[0]["found"]]
    head = ["planted", *(r["set"] for r in rows)]
    lines = [f"| {' | '.join(head)} |", f"|---{'|--:' * len(rows)}|"]
    for kind in kinds:
        cells = [f"{r['found'][kind][0]} of {r['found'][kind][1]}" for r in rows]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    cells = [f"{r['share_accused']:.1%}" for r in rows]
    lines.append(f"| clean photographs accused | {' | '.join(cells)} |")
    cells = [str(sum(map(len, r["repeats"]))) for r in rows]
    lines.append(f"| repeats in the set itself | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(result):
    """The page of the figures."""
    machine = result["machine"]
    lines = [
        "# What `patchbank check` finds of planted mistakes",
        "",
        f"Made by `{result['command']}` on {machine['processor']}, {machine['cores']} cores, "
        f"commit {machine['commit']}. {N_CLEAN} good photographs of each set at random, seed "
        f"{SEED}; found of planted.",
        "",
        table(result["sets"]),
        "",
        "**Accused** are clean photographs that a finding names, but for copies of planted ones "
        "and for repeats: pairs that the check names in the untouched folder too. The screws and "
        "twelve groups of tiles, inspected by eye, show the same part in the same place at another "
        "exposure (`check.json` lists all).",
    ]
    for one in result["sets"]:
        missed = [text for kind, names in one["missed"].items() for text in names if names]
        shown = ", ".join(text.strip() for text in missed) or "nothing"
        lines += ["", f"Missed in {one['set']}: {shown}."]
    return "\n".join(lines) + "\n"


def main():
    """Run all sets, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--screw", type=Path, required=True, help="MVTec AD screw")
    parser.add_argument("--tiles", type=Path, required=True, help="magnetic tiles, MVTec layout")
    parser.add_argument("--skip-scores", action="store_true", help="without the quick fit")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    options = parser.parse_args()
    cells, cells_test = solar_cells()
    cells = [*cells, *(s.path for s in cells_test.samples if not s.is_defect)]
    sets = {"solar cells": (cells, [s.path for s in cells_test.samples if s.is_defect])}
    for name, root in (("screw", options.screw), ("magnetic tiles", options.tiles)):
        bad = [p for p in sorted((root / "test").glob("*/*")) if p.parent.name != "good"]
        sets[name] = sorted((root / "train" / "good").iterdir()), bad
    rows = []
    for name, (good, defects) in sets.items():
        rows.append(row(name, good, defects, np.random.default_rng(SEED), not options.skip_scores))
        print(json.dumps(rows[-1], indent=1), flush=True)
    command = f"python {' '.join(sys.argv)}"
    result = {"command": command, "machine": environment(), "sets": rows}
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(page(result))
    print(table(rows))


if __name__ == "__main__":
    main()
