"""How long does a fit take, as a whole process?

    python benchmarks/speed/fit.py ../shared/data/mtd

209 photographs of 450 x 450 pixels, as many as the class "bottle" of MVTec AD has: good ones of a
data set, resized into a temporary folder.  Timed is
`patchbank fit FOLDER --image-size 224 --coreset 0.1` from its start to its end.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from contract import Run, arguments, measured
from processes import PROGRAM, run_process

IMAGES = {".jpg", ".jpeg", ".png"}


def resized_copies(root: Path, folder: Path, count: int, side: int) -> None:
    """Write squares of the first `count` good photographs of a data set in MVTec layout."""
    paths = sorted(p for p in (root / "train/good").iterdir() if p.suffix.lower() in IMAGES)
    if len(paths) < count:
        raise SystemExit(f"{root}: expected {count} good photographs, got {len(paths)}")
    for number, path in enumerate(paths[:count]):
        with Image.open(path) as opened:
            opened.convert("RGB").resize((side, side)).save(folder / f"{number:03}.png")


def main() -> None:
    """Measure and write fit.json."""
    parser = arguments(__doc__)
    parser.add_argument("photographs", type=Path, help="a data set in MVTec layout")
    parser.add_argument("--count", type=int, default=209)
    parser.add_argument("--side", type=int, default=450, help="of each photograph, in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    run = Run(__file__, __doc__, given := parser.parse_args())
    with tempfile.TemporaryDirectory() as name:
        good = Path(name) / "good"
        good.mkdir()
        resized_copies(given.photographs, good, given.count, given.side)
        options = ["--image-size", "224", "--coreset", "0.1"]
        out = str(Path(name) / "fitted.patchbank")
        command = [PROGRAM, "fit", str(good), "--out", out, *options]
        times, peak_mb = measured(lambda: run_process(command), repeats=given.repeats)
        file_mb = Path(out).stat().st_size / 1e6
    run.write({"fit": times.to_json(), "peak_memory_mb": peak_mb, "file_mb": file_mb})


if __name__ == "__main__":
    main()
