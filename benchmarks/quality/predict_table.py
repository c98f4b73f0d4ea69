"""Is a large predict on a cluster one row a photograph, flat in memory, the same after kills?

    python benchmarks/quality/predict_table.py [--rows 100000] [--rows-killed 6000]
        [--worker-kills 10] [--driver-kills 5] [--seed 0]

A Parquet table names drawn photographs of 64 x 88 pixels many times; three of a hundred cannot be
read, in three ways.  It is inspected on a Ray cluster of this machine, while the memory of the
process that was started (the driver) is measured.  Then a smaller table is inspected undisturbed;
while workers are ended with SIGKILL; and while the driver is, and is started again with the same
command.  Needs the package ray.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow
import pyarrow.parquet as parquet
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import write_results
from patchbank import PatchCore, load

QUESTION = __doc__.splitlines()[0]
HERE = Path(__file__).parent
SIZE = (64, 88)
N_GOOD, N_DISTINCT = 12, 40
UNREAD = {
    "broken/text.png": b"no image",
    "broken/cut.png": None,  # the first half of a photograph
    "broken/missing.png": b"",  # not written
}
SAMPLE_S = 0.5
WORKER = "ray::WorkerActor"
GONE_WITHIN_S = 60.0
COMMAND = (sys.executable, "-c", "from patchbank.cli import main; main()", "predict")


def plate(seed: int) -> np.ndarray:
    """A part; every fifth has a dark spot."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grey = 120 + 25 * np.sin(x / 5) + 15 * np.cos(y / 7) + rng.normal(0, 4, SIZE)
    if seed % 5 == 4:
        grey[np.hypot(y - rng.integers(12, 52), x - rng.integers(12, 76)) < 8] = 10
    return np.clip(grey[..., None] * (1.0, 0.9, 0.8), 0, 255).astype(np.uint8)


def draw(root: Path) -> list[str]:
    """Photographs, those that cannot be read, and a detector; -> names of the former."""
    names = []
    for seed in range(N_DISTINCT):
        names.append(f"in/{seed:03}.png")
        path = root / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(plate(seed)).save(path)
    (root / "broken").mkdir()
    (root / "broken/text.png").write_bytes(b"no image")
    (root / "broken/cut.png").write_bytes((root / names[0]).read_bytes()[:1000])
    recipe = PatchCore(
        backbone="efficientnet_lite0", image_size=64, scales=(1.0,), bank_limit=40,
        false_alarm_rate=0.1,
    )  # fmt: skip
    good = [plate(seed) for seed in range(1000, 1000 + 5 * N_GOOD) if seed % 5 != 4]
    recipe.fit(good).save(root / "plates.patchbank")
    return names


def write_table(path: Path, names: list[str], n_rows: int, seed: int) -> list[str]:
    """A table of so many rows, three of a hundred of which cannot be read; -> its names."""
    rng = np.random.default_rng(seed)
    rows = [names[i] for i in rng.integers(0, len(names), n_rows)]
    for row in rng.choice(n_rows, round(0.03 * n_rows), replace=False):
        rows[row] = list(UNREAD)[row % len(UNREAD)]
    parquet.write_table(pyarrow.table({"path": rows}), path, row_group_size=10_000)
    return rows


def started(root: Path, table: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the command, or go on with it."""
    arguments = [root / "plates.patchbank", table, "--parquet", out, "--cluster", "local"]
    # Ray lets workers give way to all other programs, which on a shared machine means to stand.
    environment = {**os.environ, "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def parts_in(out: Path) -> int:
    """Number of parts that are written."""
    return len(list(out.glob("part-*.parquet")))


def at_its_end(process: subprocess.Popen[bytes]) -> None:
    """Check that it ended as a run ends in which photographs could not be read."""
    if process.wait() != 1:
        raise SystemExit(f"predict ended with status {process.returncode}")


def large(root: Path, names: list[str], n_rows: int, seed: int) -> dict[str, Any]:
    """The large table: rows, errors, memory of the driver."""
    table, out = root / "large.parquet", root / "large"
    rows = write_table(table, names, n_rows, seed)
    began = time.perf_counter()
    process = started(root, table, out)
    driver = psutil.Process(process.pid)
    samples: list[tuple[int, int]] = []
    while process.poll() is None:
        done = parts_in(out)
        if done:
            samples.append((done, driver.memory_info().rss))
        time.sleep(SAMPLE_S)
    at_its_end(process)
    seconds = time.perf_counter() - began
    found = parquet.read_table(out)
    errors = found.column("error").to_pylist()
    unread = {row for row, name in enumerate(rows) if name in UNREAD}
    detector = load(root / "plates.patchbank")
    score = {name: detector.predict(root / name).score for name in names}
    memory = np.array([rss for _, rss in samples]) / 1e6
    middle = float(np.median(memory))
    return {
        "rows": found.num_rows,
        "rows_in_order": found.column("row").to_pylist() == list(range(n_rows)),
        "names_are_those_of_the_table": found.column("image").to_pylist() == rows,
        "unreadable": len(unread),
        "errors_where_unreadable_and_nowhere_else": unread
        == {row for row, error in enumerate(errors) if error is not None},
        "errors_that_name_the_photograph": sum(rows[row] in errors[row] for row in unread),
        "unreadable_with_a_score": sum(
            found.column("score")[row].as_py() is not None for row in unread
        ),
        "scores_unlike_those_of_one_process": sum(
            name not in UNREAD and not np.isclose(score[name], value, rtol=1e-5, atol=1e-6)
            for name, value in zip(rows, found.column("score").to_pylist(), strict=True)
        ),
        "parts": parts_in(out),
        "seconds": seconds,
        "driver_mb": {
            "samples": len(memory),
            "median": middle,
            "lowest": float(memory.min()),
            "highest": float(memory.max()),
            "first_tenth": float(np.median(memory[: max(1, len(memory) // 10)])),
            "last_tenth": float(np.median(memory[-max(1, len(memory) // 10) :])),
        },
    }


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its workers."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            command = child.cmdline()
        except psutil.Error:
            continue
        if command and command[0].startswith(WORKER):
            found.append(child)
    return found


def moments(rng: np.random.Generator, kills: int, n_parts: int) -> Iterator[int]:
    """Numbers of written parts at which to kill, in order."""
    yield from sorted(int(n) for n in rng.choice(np.arange(1, n_parts - 4), kills, replace=False))


def wait_for(parts: int, out: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many parts are written."""
    while parts_in(out) < parts:
        if process.poll() is not None:
            raise SystemExit(f"predict ended with status {process.returncode} before a kill")
        time.sleep(0.02)


def with_workers_killed(
    root: Path, table: Path, out: Path, when: Iterator[int], rng: np.random.Generator
) -> list[int]:
    """Run once, and end a worker at each moment; -> parts that were written then."""
    process, done = started(root, table, out), []
    for parts in when:
        wait_for(parts, out, process)
        while not (workers := workers_of(process)):
            time.sleep(0.02)
        time.sleep(float(rng.uniform(0, 0.2)))
        workers[int(rng.integers(len(workers)))].send_signal(signal.SIGKILL)
        done.append(parts_in(out))
    at_its_end(process)
    return done


def with_driver_killed(
    root: Path, table: Path, out: Path, when: Iterator[int], rng: np.random.Generator
) -> tuple[list[int], list[str]]:
    """Run again and again; -> parts that were written at each kill, processes that outlived it."""
    done: list[int] = []
    outlived: list[str] = []
    for parts in when:
        process = started(root, table, out)
        wait_for(parts, out, process)
        time.sleep(float(rng.uniform(0, 0.2)))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done.append(parts_in(out))
        outlived += names_of(psutil.wait_procs(children, timeout=GONE_WITHIN_S)[1])
    at_its_end(started(root, table, out))
    return done, outlived


def names_of(processes: list[psutil.Process]) -> list[str]:
    """Names of those that run; one that only waits to be collected does not."""
    names = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                names.append(process.name())
        except psutil.Error:
            continue
    return names


def killed(root: Path, names: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """The smaller table, undisturbed and disturbed."""
    table = root / "small.parquet"
    write_table(table, names, given.rows_killed, given.seed + 1)
    at_its_end(started(root, table, root / "undisturbed"))
    one = parquet.read_table(root / "undisturbed")
    n_parts = parts_in(root / "undisturbed")
    rng = np.random.default_rng(given.seed)
    out = root / "workers"
    workers = with_workers_killed(root, table, out, moments(rng, given.worker_kills, n_parts), rng)
    drivers, outlived = with_driver_killed(
        root, table, root / "drivers", moments(rng, given.driver_kills, n_parts), rng
    )
    return {
        "rows": one.num_rows,
        "parts": n_parts,
        "worker_kills_after_parts": workers,
        "same_after_worker_kills": one.equals(parquet.read_table(out)),
        "driver_kills_after_parts": drivers,
        "same_after_driver_kills": one.equals(parquet.read_table(root / "drivers")),
        "processes_that_outlived_a_driver": outlived,
    }


def page(written: dict[str, Any]) -> str:
    """The results as a page."""
    found, of_kills = written["results"]["large"], written["results"]["killed"]
    memory, machine = found["driver_mb"], written["environment"]
    named = found["errors_that_name_the_photograph"]
    rows = [
        (
            "rows in the table, rows of results, all in order",
            f"{written['settings']['rows']:,}, {found['rows']:,}, {found['rows_in_order']}",
        ),
        (
            "photographs that cannot be read, rows with an error, errors that name it",
            f"{found['unreadable']:,}, {found['errors_where_unreadable_and_nowhere_else']}, "
            f"{named:,}",
        ),
        ("of these with a score", f"{found['unreadable_with_a_score']}"),
        ("scores unlike those of one process", f"{found['scores_unlike_those_of_one_process']}"),
        (
            "resident memory of the driver, MB: lowest, median, highest",
            f"{memory['lowest']:.0f}, {memory['median']:.0f}, {memory['highest']:.0f}",
        ),
        (
            "of that the first and the last tenth (medians)",
            f"{memory['first_tenth']:.0f}, {memory['last_tenth']:.0f}",
        ),
        ("seconds", f"{found['seconds']:,.0f}"),
        (
            "workers killed, result equal to the undisturbed one",
            f"{len(of_kills['worker_kills_after_parts'])}, {of_kills['same_after_worker_kills']}",
        ),
        (
            "driver killed, result equal to the undisturbed one",
            f"{len(of_kills['driver_kills_after_parts'])}, {of_kills['same_after_driver_kills']}",
        ),
        (
            "workers that outlived a killed driver by a minute",
            str(sum(n.startswith(WORKER) for n in of_kills["processes_that_outlived_a_driver"])),
        ),
    ]
    lines = "\n".join(f"| {what} | {figure} |" for what, figure in rows)
    return (
        "# A large table on a cluster of one machine\n\n"
        f"`python benchmarks/quality/predict_table.py`: photographs of {SIZE[1]} x {SIZE[0]} "
        f"pixels; kills in a table of {of_kills['rows']:,} rows, {of_kills['parts']} parts.\n\n"
        f"| what | figure |\n|---|---|\n{lines}\n\n"
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}\n"
    )


def main() -> None:
    """Measure, and write predict_table.json and predict_table.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rows-killed", type=int, default=6_000)
    parser.add_argument("--worker-kills", type=int, default=10)
    parser.add_argument("--driver-kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of tables and moments")
    parser.add_argument("--out", type=Path, default=HERE / "predict_table.json")
    given = parser.parse_args()
    settings = {name: value for name, value in vars(given).items() if name != "out"}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        names = draw(root)
        results = {"killed": killed(root, names, given)}
        print(results["killed"])
        results["large"] = large(root, names, given.rows, given.seed)
    write_results(given.out, QUESTION, settings, results, page)
    print(given.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
