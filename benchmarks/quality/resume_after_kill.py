"""A benchmark killed at ten random moments and resumed, against one that was left alone.

    python benchmarks/quality/resume_after_kill.py

Runs `patchbank benchmark` on drawn plates, once undisturbed; then in another folder, where it is
ended with SIGKILL ten times and started again with the same command.  The accuracy lines of
``tables.csv`` must be the same bytes, no run may stand in the results twice, and no worker may
outlive its parent.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment

SIZE = (88, 120)
OPTIONS = (
    *("--methods", "small=patchcore:fast(image_size=96,bank_limit=300)"),
    *("--methods", "large=patchcore:fast(image_size=128,bank_limit=300,start=random)"),
    *("--shots", "full,1,2", "--seeds", "3", "--device", "cpu"),
)
SHORTEST, LONGEST = 0.02, 0.17  # between two kills, as a share of the undisturbed time
ORPHANS_MAY_TAKE_S = 10.0


def draw_plates(root: Path) -> None:
    """Two categories in MVTec layout, of plates with faint scratches."""
    for number, category in enumerate(("brushed", "rolled")):
        rng = np.random.default_rng(number)
        for folder, count in (("train/good", 8), ("test/good", 10), ("test/scratch", 10)):
            for i in range(count):
                plate = 120 + 20 * np.sin(np.arange(SIZE[1]) / (3 + 2 * number)) + np.zeros(SIZE)
                plate += rng.normal(0, 12, SIZE)
                mask = np.zeros(SIZE, dtype=np.uint8)
                if folder == "test/scratch":
                    top, left = rng.integers(5, SIZE[0] - 5), rng.integers(5, SIZE[1] - 45)
                    mask[top : top + 3, left : left + 40] = 255
                    plate[mask > 0] -= rng.uniform(10, 60)
                    save(root / category / f"ground_truth/scratch/{i:03}_mask.png", mask)
                grey = np.clip(plate, 0, 255).astype(np.uint8)
                save(root / category / folder / f"{i:03}.png", grey)


def save(path: Path, array: np.ndarray) -> None:
    """Write a picture, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def start(root: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the benchmark, or go on with it."""
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "benchmark", str(root), "--out", str(out), *OPTIONS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in path.read_text().split()]
    return found


def kill(process: subprocess.Popen[bytes]) -> float:
    """End it as a power cut would, and wait for its workers.  -> seconds until they were gone."""
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    began = time.perf_counter()
    while any(alive(pid) for pid in workers):
        if time.perf_counter() - began > ORPHANS_MAY_TAKE_S:
            raise SystemExit(f"workers {workers} outlive their parent")
        time.sleep(0.01)
    return time.perf_counter() - began


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def outcome(out: Path) -> tuple[list[str], list[str]]:
    """-> accuracy lines of the table, and the key of each result."""
    lines = (out / "tables.csv").read_text().splitlines()
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return [line for line in lines if line.startswith("accuracy,")], [row["key"] for row in rows]


def compare(root: Path, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Run it both ways."""
    began = time.perf_counter()
    if start(root, folder / "undisturbed").wait() != 0:
        raise SystemExit("the undisturbed benchmark failed")
    seconds = time.perf_counter() - began
    rng = np.random.default_rng(seed)
    waits, gone, done = [], [], []
    while len(waits) < kills:
        wait = float(rng.uniform(SHORTEST, LONGEST) * seconds)
        process = start(root, folder / "killed")
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            waits.append(wait)
            gone.append(kill(process))
            results = folder / "killed" / "results.jsonl"
            done.append(results.read_bytes().count(b"\n") if results.exists() else 0)
        else:
            raise SystemExit(f"it was finished after {len(waits)} kills: take shorter waits")
    if start(root, folder / "killed").wait() != 0:
        raise SystemExit("the killed benchmark failed")
    left_alone, keys = outcome(folder / "undisturbed")
    resumed, resumed_keys = outcome(folder / "killed")
    return {
        "runs": len(keys),
        "seconds_undisturbed": seconds,
        "kills": len(waits),
        "seconds_before_each_kill": waits,
        "results_after_each_kill": done,
        "seconds_until_workers_were_gone": gone,
        "accuracy_lines": len(left_alone),
        "accuracy_lines_identical": resumed == left_alone,
        "results_after_resuming": len(resumed_keys),
        "results_twice": len(resumed_keys) - len(set(resumed_keys)),
        "same_runs": set(resumed_keys) == set(keys),
    }


def main() -> None:
    """Compare, and write resume_after_kill.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_plates(folder / "plates")
        result = compare(folder / "plates", folder, given.kills, given.seed)
    record = {"command": " ".join(sys.argv), "environment": environment(), **result}
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    if not result["accuracy_lines_identical"] or result["results_twice"]:
        raise SystemExit("the two differ")


if __name__ == "__main__":
    main()
