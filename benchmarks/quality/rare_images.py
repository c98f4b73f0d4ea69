"""Read image files in rare modes, and compare them with what other readers show.

    pip install opencv-python-headless imageio
    python benchmarks/quality/rare_images.py [--files 2000]

Files are made by Pillow, tifffile, OpenCV, imageio and by hand (`tests/rare_images.py`).  Each is
read as it is shown elsewhere, or refused.  Writes rare_images.json and .md next to this file; exit
status 1 if one is read as another picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tests.rare_images import MAKERS, made

from environment import environment
from patchbank.errors import ImageError
from patchbank.images.source import read_image

HERE = Path(__file__).parent
OUTCOMES = ("equal", "refused", "another picture")
LIBRARIES = ("pillow", "tifffile", "opencv-python-headless", "imageio")


def main() -> int:
    """Run, write both files, and say whether all was as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    n_files = parser.parse_args().files
    makers = tuple(MAKERS)
    counts: Counter[tuple[str, str]] = Counter()
    refusals: Counter[str] = Counter()
    wrong = []
    for seed in range(n_files):
        maker, file = makers[seed % len(makers)], made(seed, makers)
        try:
            read = read_image(file.content)
        except ImageError as error:
            counts[maker, "refused"] += 1
            refusals[str(error).rsplit("got ", 1)[-1].split(", compression")[0]] += 1
            continue
        same = read.shape == file.shown.shape
        if same and np.abs(read.astype(int) - file.shown).max() <= file.tolerance:
            counts[maker, "equal"] += 1
        else:
            counts[maker, "another picture"] += 1
            wrong.append({"seed": seed, "kind": file.kind})
    command = f"python benchmarks/quality/rare_images.py --files {n_files}"
    table = {maker: {o: counts[maker, o] for o in OUTCOMES} for maker in makers}
    record = {
        "command": command,
        "environment": environment(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "outcomes": table,
        "wrong": wrong,
        "refused": dict(refusals.most_common()),
    }
    (HERE / "rare_images.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = [
        "# Image files in rare modes",
        "",
        f"    {command}",
        "",
        f"{n_files} files in the modes that five makers can write, compared with the picture that "
        "was written (Pillow, tifffile, by hand) or with the maker's own reader (OpenCV, imageio); "
        "JPEG to 3 grey levels, everything else exactly.",
        "",
        f"| made by | {' | '.join(OUTCOMES)} |",
        "|---|" + "---:|" * len(OUTCOMES),
        *(f"| {m} | {' | '.join(str(table[m][o]) for o in OUTCOMES)} |" for m in makers),
        "",
        "Refused:",
        "",
        *(f"- {kind} ({count})" for kind, count in refusals.most_common()),
    ]
    (HERE / "rare_images.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
