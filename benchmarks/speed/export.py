"""How long does an exported graph take next to its detector, and how much memory?

    python benchmarks/speed/export.py PHOTOGRAPHS [--sizes 448 512] [--bank-rows 7000 20000]
        [--rounds 15] [--out FILE]

PHOTOGRAPHS is a data set with good photographs to learn.  Detector and graph inspect the same
photograph by turns, from its pixels, on all cores.  Peak memory is that of a process that has
nothing but ONNX Runtime, numpy and the graph, without what they take before it is opened.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from contract import Run, arguments, measured, summary
from patchbank import PatchCore
from patchbank.datasets import find_dataset
from patchbank.export import export_detector, open_exported
from patchbank.images.source import image_source

ALONE = """
import json, sys
import numpy as np, onnxruntime
lines = lambda: open("/proc/self/status").read().splitlines()
peak_mb = lambda: next(int(line.split()[1]) for line in lines() if line.startswith("VmHWM")) / 1024
before = peak_mb()
session = onnxruntime.InferenceSession(sys.argv[1])
opened = peak_mb()
pixels = np.load(sys.argv[2])
for _ in range(3):
    session.run(None, {"photographs": pixels[None]})
print(json.dumps({"before_mb": before, "opened_mb": opened, "peak_mb": peak_mb()}))
"""


def compared(root: Path, size: int, rows: int, rounds: int) -> dict[str, Any]:
    """Times and memory of one detector and its graph."""
    detector = PatchCore(image_size=size, bank_rows=rows).fit(root)
    photographs = [image_source(sample.path).read() for sample in find_dataset(root).samples[:8]]
    with tempfile.TemporaryDirectory() as folder:
        file, pixels = Path(folder) / "detector.onnx", Path(folder) / "pixels.npy"
        export_detector(detector, file)
        graph = open_exported(file)
        own, exported = [], []
        for number in range(rounds):
            image = photographs[number % len(photographs)]
            one, _ = measured(
                lambda image=image: detector.predict(image, keep_image=True), repeats=1
            )
            other, _ = measured(lambda image=image: graph.inspect(image), repeats=1)
            own += one.all_s
            exported += other.all_s
        np.save(pixels, photographs[0])
        command = [sys.executable, "-c", ALONE, str(file), str(pixels)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        file_mb = file.stat().st_size / 1e6
    ratios = [b / a for a, b in zip(own, exported, strict=True)]
    return {
        "image_size": size,
        "bank_rows": rows,
        "photograph": list(photographs[0].shape),
        "file_mb": file_mb,
        "detector": summary(own, "_s"),
        "graph": summary(exported, "_s"),
        "graph_by_detector": summary(ratios),
        "memory": json.loads(done.stdout),
    }


def main() -> None:
    """Measure."""
    parser = arguments(__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[448, 512])
    parser.add_argument("--bank-rows", type=int, nargs="+", default=[7000, 20000])
    parser.add_argument("--rounds", type=int, default=15)
    run = Run(__file__, __doc__, given := parser.parse_args())
    results = []
    for size, rows in zip(given.sizes, given.bank_rows, strict=True):
        results.append(one := compared(given.photographs, size, rows, given.rounds))
        print(
            f"{size} px, {rows} rows: detector {one['detector']['median_s']:.3f} s, graph "
            f"{one['graph']['median_s']:.3f} s, ratio {one['graph_by_detector']['median']:.2f}, "
            f"{one['memory']['peak_mb']:.0f} MB",
            flush=True,
        )
    run.write({"graphs": results})


if __name__ == "__main__":
    main()
