"""Can a bank be selected from features that memory cannot hold?

    python benchmarks/speed/out_of_core.py               # 5,000,000 x 152 (3 GB), 10,000 centres

The features lie in a file, which `--folder` takes on a disk.  The selection is a process of its
own, whose memory is limited to `--limit-bytes`: by a control group where one can be made (then the
pages of the file that the system keeps for it count too), and by RLIMIT_DATA.  On the first
`--check-rows` rows the centres must be the same as in memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from contract import Run, arguments
from memory import drawn_in_place
from patchbank.core.coreset import greedy_coreset
from patchbank.runtime.scratch import scratch_folder

CONTROL_GROUPS = {  # of the second and the first kind: folder -> name of the limit
    Path("/sys/fs/cgroup/patchbank-benchmark"): "memory.max",
    Path("/sys/fs/cgroup/memory/patchbank-benchmark"): "memory.limit_in_bytes",
}
BLOCK_ROWS = 100_000


def write_features(path: Path, rows: int, dims: int) -> None:
    """Draw features block by block; each block has a mixing of its own, as images have."""
    with path.open("wb") as file:
        for begin in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - begin)
            block = drawn_in_place(count, dims, seed=begin)
            block.tofile(file)
        file.flush()
        os.fsync(file.fileno())
        # Whoever reads it next has to answer for the memory of its pages.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def enter_control_group(limit_bytes: int) -> Path | None:
    """Put this process into a group of limited memory, where the system lets it."""
    for group, name in CONTROL_GROUPS.items():
        if not (group.parent / "cgroup.procs").exists():
            continue
        with suppress(OSError):
            group.mkdir(exist_ok=True)
            (group / name).write_text(str(limit_bytes))
            (group / "cgroup.procs").write_text(str(os.getpid()))
            return group
    return None


def selection(path: Path, rows: int, dims: int, picks: int, limit_bytes: int) -> None:
    """Select in this process, within the limit, and print what was found as JSON."""
    group = enter_control_group(limit_bytes)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    features = np.memmap(path, dtype=np.float32, mode="r", shape=(rows, dims))
    passes: list[int] = []
    began = time.perf_counter()
    picked = greedy_coreset(features, picks, on_progress=passes.append)
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "control_group": None if group is None else str(group.parent),
                "seconds": seconds,
                "passes": len(passes) - 1,  # the first is that of the first centre
                "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "rows": picked.centres.tolist(),
            }
        )
    )


def limited(path: Path, rows: int, dims: int, picks: int, limit_bytes: int) -> dict:
    """The same in a process of its own."""
    numbers = map(str, (rows, dims, picks, limit_bytes))
    command = [sys.executable, __file__, "--select", str(path), *numbers]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and write out_of_core.json."""
    if sys.argv[1:2] == ["--select"]:
        path, *numbers = sys.argv[2:]
        selection(Path(path), *map(int, numbers))
        return
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--dims", type=int, default=152)
    parser.add_argument("--picks", type=int, default=10_000)
    parser.add_argument("--limit-bytes", type=int, default=1_500_000_000)
    parser.add_argument("--check-rows", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, default=scratch_folder(), help="for the features")
    run = Run(__file__, __doc__, given := parser.parse_args())
    path = given.folder / "patchbank-benchmark.float32"
    try:
        write_features(path, given.rows, given.dims)
        shape = given.dims, given.picks, given.limit_bytes
        whole = limited(path, given.rows, *shape)
        part = limited(path, given.check_rows, *shape)
        in_memory = np.fromfile(path, np.float32, given.check_rows * given.dims)
        picked = greedy_coreset(in_memory.reshape(-1, given.dims), given.picks)
    finally:
        path.unlink(missing_ok=True)
    same = part.pop("rows") == picked.centres.tolist()
    del whole["rows"]
    run.write(
        {
            "features_bytes": given.rows * given.dims * 4,
            "whole": whole,
            "first_rows": part,
            "first_rows_picked_as_in_memory": same,
        }
    )


if __name__ == "__main__":
    main()
