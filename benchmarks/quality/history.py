"""The history of a detector file: is each state restored bit for bit, and how large is it?

    nice python benchmarks/quality/history.py ../shared/data/screw

A detector is fitted on some of the good photographs.  ``undo``: 50 updates of two photographs, each
saved to the file and opened again, then 50 undos; after each of them all bytes of the detector, and
scores and anomaly maps of test photographs, are compared with those that it had before the update.
``limit``: 100 updates of one photograph, in a bank that has as many rows as it may; the size of the
file after each.  Writes history.json and history.md.  Times are seconds of all threads (CPU).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank import Detector, PatchCore, load
from patchbank.detector.bundle import to_bytes
from patchbank.detector.lineage.state import state_of
from patchbank.detector.packing import pack

HERE = Path(__file__).parent
N_FIT, N_UPDATES, N_EACH = 60, 50, 2
N_AT_LIMIT = 100
N_TESTED = 4
Result = dict[str, Any]


def main() -> None:
    """Run both parts on a set, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="a set in MVTec layout")
    parser.add_argument("--image-size", type=int, default=256)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    good = sorted((options.root / "train" / "good").iterdir())
    order = np.random.default_rng(0).permutation(len(good))
    good = [good[number] for number in order]
    tested = sorted((options.root / "test").rglob("*.png"))[:: 1 + 150 // N_TESTED][:N_TESTED]
    first = PatchCore(image_size=options.image_size, false_alarm_rate=0.05).fit(good[:N_FIT])
    end = N_FIT + N_UPDATES * N_EACH
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.patchbank"
        result = {
            "set": options.root.name,
            "image_size": options.image_size,
            "good_photographs": N_FIT,
            "undo": _undo(first, good[N_FIT:end], tested, file),
            "limit": _limit(first, good[end : end + N_AT_LIMIT], file),
            "environment": environment(),
        }
    (HERE / "history.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "history.md").write_text(_page(result))


def _undo(present: Detector, good: list[Path], tested: list[Path], file: Path) -> Result:
    """Updates and undos, with what differed and how the file grew."""
    before: list[tuple[str, bytes]] = []
    steps: list[Result] = []
    seconds: dict[str, list[float]] = {"update": [], "save": [], "open": [], "undo": []}
    for number in range(N_UPDATES):
        before.append(_fingerprint(present, tested))
        photographs = good[number * N_EACH : (number + 1) * N_EACH]
        plain = _size(present)
        start = time.process_time()
        present = present.updated(photographs, reason=f"update {number}", force=True)
        seconds["update"].append(time.process_time() - start)
        present = _through(present, file, seconds)
        steps.append(
            {
                "rows": present.members[0].model.summary()["bank_rows"],
                "bytes_before": plain,
                "bytes": _size(present),
                "bytes_with_history": file.stat().st_size,
            }
        )
        print(number, steps[-1], flush=True)
    differing = 0
    for expected in reversed(before):
        start = time.process_time()
        present = present.undone()
        seconds["undo"].append(time.process_time() - start)
        present = _through(present, file, seconds)
        differing += _fingerprint(present, tested) != expected
    return {
        "steps": steps,
        "entries": len(present.lineage.entries) if present.lineage else 0,
        "differing": differing,
        "seconds": {name: float(np.median(times)) for name, times in seconds.items()},
    }


def _limit(present: Detector, good: list[Path], file: Path) -> Result:
    """Updates of a bank that may not grow, with the size of the file after each."""
    rows = present.members[0].model.summary()["bank_rows"]
    sizes, plain, restorable = [], [], []
    for number, photograph in enumerate(good):
        present = present.updated([photograph], limit_rows=rows, force=True)
        present = _through(present, file, {"save": [], "open": []})
        lineage = present.lineage
        sizes.append(file.stat().st_size)
        plain.append(_size(present))
        restorable.append(len(lineage.restorable) if lineage else 0)
        print(number, sizes[-1], plain[-1], restorable[-1], flush=True)
    return {"rows": rows, "bytes_with_history": sizes, "bytes": plain, "restorable": restorable}


def _through(detector: Detector, file: Path, seconds: dict[str, list[float]]) -> Detector:
    """The detector as its file has it."""
    start = time.process_time()
    detector.save(file)
    saved = time.process_time()
    opened = load(file, device="cpu")
    seconds["save"].append(saved - start)
    seconds["open"].append(time.process_time() - saved)
    return opened


def _fingerprint(detector: Detector, tested: list[Path]) -> tuple[str, bytes]:
    """The digest of all that it has learned, and bytes of scores, thresholds and maps."""
    content = pack(replace(detector._parts(), lineage=None), as_onnx=False)
    seen = [detector.predict(path, keep_image=True) for path in tested]
    numbers = [[one.score, one.p_value, one.threshold, one.pixel_threshold] for one in seen]
    maps = b"".join(one.anomaly_map.tobytes() for one in seen)
    return state_of(content).digest, np.array(numbers).tobytes() + maps


def _size(detector: Detector) -> int:
    """Bytes of the file without its history."""
    return len(to_bytes(pack(replace(detector._parts(), lineage=None), as_onnx=True)))


def _page(result: Result) -> str:
    """The results as a page."""
    undo, limit = result["undo"], result["limit"]
    steps = undo["steps"]
    histories = [step["bytes_with_history"] - step["bytes"] for step in steps]
    grown = np.diff([0, *histories]) / [step["bytes"] for step in steps]
    ratio = np.array(limit["bytes_with_history"]) / limit["bytes"]
    seconds = ", ".join(f"{name} {value:.2f}" for name, value in undo["seconds"].items())
    last = steps[-1]
    return f"""# The history of a detector file

Made by `python benchmarks/quality/history.py`: {result["set"]}, {result["good_photographs"]} good
photographs at {result["image_size"]} pixels, PatchCore with its defaults.

| what | figure |
|---|---|
| states that differed in any byte, score or map, of {len(steps)} updates and as many undos | {undo["differing"]} |
| bank, rows | {steps[0]["rows"]:,} after the first update, {last["rows"]:,} after the last |
| file without its history, MB | {steps[0]["bytes_before"] / 1e6:.2f} before, {last["bytes"] / 1e6:.2f} after {len(steps)} updates |
| file with its history, MB | {last["bytes_with_history"] / 1e6:.2f} |
| growth an update beyond the new rows, of the file | {100 * np.median(grown):.2f} % (median), {100 * grown.max():.2f} % (largest) |
| CPU seconds, median | {seconds} |
| file with its history by file without, after 25, 50, 75, 100 updates at the limit of {limit["rows"]:,} rows | {ratio[24]:.2f}, {ratio[49]:.2f}, {ratio[74]:.2f}, {ratio[-1]:.2f} |
| states that can be restored then | {limit["restorable"][24]}, {limit["restorable"][49]}, {limit["restorable"][74]}, {limit["restorable"][-1]} |
"""  # noqa: E501


if __name__ == "__main__":
    main()
