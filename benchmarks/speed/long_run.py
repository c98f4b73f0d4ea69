"""Does memory stay flat over ten thousand predictions in one process?

    python benchmarks/speed/long_run.py

Drawn photographs of several sizes, in turn as arrays and as files, with their maps.  The resident
memory is read after every 500 predictions, and flat is: all readings within 20 MB.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from contract import Run, arguments
from patchbank import PatchCore
from patchbank.images.source import ImageInput

SIZES = ((96, 128), (240, 180), (333, 517), (480, 640), (700, 300))
"""(height, width) in pixels."""
FLAT_MB = 20.0


def photographs(folder: Path) -> list[ImageInput]:
    """An array and a file, PNG or JPEG, of every size."""
    rng = np.random.default_rng(0)
    found: list[ImageInput] = []
    for number, size in enumerate(SIZES):
        array = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        path = folder / f"{number}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(array).save(path)
        found += [array, path]
    return found


def resident_mb() -> float:
    """Memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def readings_mb(stream: Iterator[object], every: int) -> Iterator[float]:
    """Resident memory after every so many predictions."""
    for number, seen in enumerate(stream, 1):
        seen.anomaly_map  # type: ignore[attr-defined]  # noqa: B018  (made when asked for)
        if number % every == 0:
            yield resident_mb()


def main() -> None:
    """Measure and write long_run.json."""
    parser = arguments(__doc__)
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=500, help="read the memory so often")
    parser.add_argument("--image-size", type=int, default=128, help="what the network sees")
    run = Run(__file__, __doc__, given := parser.parse_args())
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=given.image_size, bank_limit=1000)
    with tempfile.TemporaryDirectory() as name:
        sources = photographs(Path(name))
        detector = recipe.fit(sources, device="cpu")
        began = time.perf_counter()
        stream = detector.predict(islice(cycle(sources), given.predictions))
        readings = list(readings_mb(stream, given.every))
        seconds = time.perf_counter() - began
    growth_mb = max(readings) - min(readings)
    run.write(
        {
            "resident_mb": readings,
            "largest_less_smallest_mb": growth_mb,
            "last_less_first_mb": readings[-1] - readings[0],
            "flat_within_20_mb": growth_mb <= FLAT_MB,
            "seconds": seconds,
        }
    )


if __name__ == "__main__":
    main()
