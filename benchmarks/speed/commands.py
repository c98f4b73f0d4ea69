"""What do the commands cost as whole processes, and what does the base install weigh?

    python benchmarks/speed/commands.py ../shared/data/screw
    python benchmarks/speed/commands.py ../shared/data/screw --file FILE    # a detector of yours

`predict` of one photograph starts cold: the process, the file, the backbone; what the disk holds
is in the page cache.  Without --file the detector is fitted on the good photographs with the
default settings.  Run it with the Python of an environment that holds the base install alone,
whose size is reported.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from contract import Run, arguments, measured
from processes import PROGRAM, run_process


def size_mb(folder: Path) -> float:
    """Size of all files below a folder, links not followed."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if not p.is_dir()) / 1e6


def main() -> None:
    """Measure and write commands.json."""
    parser = arguments(__doc__)
    parser.add_argument("photographs", type=Path, help="a data set in MVTec layout")
    parser.add_argument("--file", type=Path, help="of a fitted detector")
    parser.add_argument("--repeats", type=int, default=9)
    run = Run(__file__, __doc__, given := parser.parse_args())
    photograph = min((given.photographs / "test/good").iterdir())
    with tempfile.TemporaryDirectory() as name:
        file = given.file or Path(name) / "fitted.patchbank"
        if given.file is None:
            run_process([PROGRAM, "fit", str(given.photographs), "--out", str(file)])
        commands = {
            "--help": [PROGRAM, "--help"],
            "predict, cold": [PROGRAM, "predict", str(file), str(photograph)],
            "import patchbank": [sys.executable, "-c", "import patchbank"],
        }
        results: dict[str, object] = {}
        for title, command in commands.items():
            times, peak_mb = measured(
                lambda command=command: run_process(command), repeats=given.repeats
            )
            results[title] = {**times.to_json(), "peak_memory_mb": peak_mb}
        results["file_mb"] = file.stat().st_size / 1e6
    run.write(results | {"environment_mb": size_mb(Path(sys.prefix))})


if __name__ == "__main__":
    main()
