"""What the commands cost as whole processes, and what the base install weighs.

    python benchmarks/speed/commands.py FILE PHOTOGRAPH      # a detector file, one photograph

Run it with the Python of an environment that holds the base install alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment


def wall_s(command: list[str], repeats: int) -> list[float]:
    """Seconds of whole processes, after one warm-up."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def size_mb(folder: Path) -> float:
    """Size of all files below a folder, links not followed."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if not p.is_dir()) / 1e6


def main() -> None:
    """Measure and write commands.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    program = str(Path(sys.executable).parent / "patchbank")
    commands = {
        "--help": [program, "--help"],
        "predict, cold": [program, "predict", str(given.file), str(given.photograph)],
        "import patchbank": [sys.executable, "-c", "import patchbank"],
    }
    measured = {name: wall_s(command, given.repeats) for name, command in commands.items()}
    record = {
        "command": " ".join(sys.argv),
        "environment": environment(),
        "median_s": {name: statistics.median(s) for name, s in measured.items()},
        "all_s": measured,
        "environment_mb": size_mb(Path(sys.prefix)),
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({k: v for k, v in record.items() if k != "environment"}, indent=1))


if __name__ == "__main__":
    main()
