"""Run the native kernel under AddressSanitizer and UndefinedBehaviorSanitizer.

    python tools/sanitize_kernel.py [--seconds 10]

The kernel is compiled with both (gcc), as it is installed and with an emulation of VNNI by AVX2,
each with and without optimisation; all instructions run that this processor has.  Functions of
`core.int8` are called with random shapes, of one row, one column and more threads than rows, with
numbers at the ends of the range, and with NaN and infinity.  The first fault ends a run with its
report.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core import int8
from patchbank.core.int8 import binding

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src/patchbank/core/int8/kernel.c"
CHECKS = "-fsanitize=address,undefined,float-cast-overflow"
VARIANTS = {
    "emulated": ["-O1", "-DEMULATE_VNNI"],
    "emulated, optimised": ["-O3", "-DEMULATE_VNNI"],
    "native": ["-O1"],
    "native, optimised": ["-O3"],
}


def main() -> int:
    """Compile each variant and run it; 1 if one has a fault or none can run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8, help="of each variant")
    parser.add_argument("--library", help=argparse.SUPPRESS)  # a compiled variant: run it here
    chosen = parser.parse_args()
    if chosen.library is not None:
        return _run(Path(chosen.library), chosen.seconds)
    n_clean = 0
    with tempfile.TemporaryDirectory(prefix="patchbank-kernel-") as folder:
        for number, (name, options) in enumerate(VARIANTS.items()):
            library = Path(folder) / f"{number}.so"
            command = ["gcc", "-g", CHECKS, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
            command += [*options, "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-lm"]
            subprocess.run(command, check=True)
            status = _in_a_process(library, chosen.seconds)
            print(f"{name}: {NAMES.get(status, f'fault (status {status})')}", flush=True)
            if status not in NAMES:
                return 1
            n_clean += status == CLEAN
    return 0 if n_clean else 1


CLEAN, NOT_HERE = 0, 77
NAMES = {CLEAN: "clean", NOT_HERE: "not run: this processor has none of the instructions"}


def _in_a_process(library: Path, seconds: float) -> int:
    """Run a variant in a process that loads the sanitizers first.  -> its exit status."""
    found = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # so that each array has a fence of its own
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, __file__, "--library", str(library), "--seconds", str(seconds)]
    return subprocess.run(command, env=environment, check=False).returncode


def _run(library: Path, seconds: float) -> int:
    """Call the functions of a compiled kernel with random input, until the time is over."""
    opened = binding.open_library(library)
    levels = [level for level in binding.LEVELS if opened.int8_supports(level)]
    if not levels:
        return NOT_HERE
    patched: Any = binding
    patched.library = lambda: opened
    np.seterr(all="ignore")
    rng = np.random.default_rng(0)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for level in levels:
            patched.level = lambda level=level: level
            patched.PART_ROWS = int(rng.choice([1, 5, 2048]))  # rows of a thread
            _search_and_select(rng)
        count += 1
    print(f"{count} random calls", end=", ")
    return CLEAN


def _search_and_select(rng: np.random.Generator) -> None:
    n, m, k = (int(rng.choice([1, 2, 7, 33, 130, 300])) for _ in range(3))
    d, k = int(rng.choice([1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 64, 100, 304, 4096])), min(k, m, 9)
    if d == 4096:
        n, m, k = min(n, 33), min(m, 33), min(k, 33)
    queries, bank = (_rows(rng, rows, d) for rows in (n, m))
    quantization = int8.Quantization.fit(bank)
    quantized, of_bank = quantization.quantize(queries), quantization.quantize(bank)
    distances, nearest = np.full((n, k), np.inf), np.zeros((n, k), np.int64)
    exclude = rng.random(m) < 0.3 if rng.random() < 0.5 else None
    packed = int8.PackedRows(of_bank)
    int8.update_nearest(quantized, packed, distances, nearest=nearest, exclude=exclude)
    groups = int8.OtherGroups(
        rng.integers(0, 3, n).astype(np.int32),
        rng.integers(0, 3, m).astype(np.int32),
        np.full(n, np.inf),
    )
    int8.update_nearest(quantized, packed, np.full(n, np.inf), groups=groups)
    to_point = int8.squared_distances_to(bank, bank[m // 2].copy())
    n_max = int(rng.integers(1, m + 1))
    taken = of_bank.take(np.sort(rng.choice(m, m, replace=False)))
    int8.select_centres(taken, to_point, n_max, outside=-1.0, stop=-1.0)
    assert ((nearest >= 0) & (nearest < m)).all()


def _rows(rng: np.random.Generator, n: int, d: int) -> NDArray[np.float32]:
    """Rows of one of many sizes of numbers, some with NaN and infinity."""
    rows = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-44, 38)
    if rng.random() < 0.3:
        rows *= 10.0 ** rng.uniform(-40, 40, (n, 1))
    rows = rows.astype(np.float32)
    if rng.random() < 0.3:
        rows[rng.random((n, d)) < 0.2] = rng.choice([np.nan, np.inf, -np.inf, -0.0, 3.4e38])
    if rng.random() < 0.1:
        rows[:] = rng.choice([np.nan, np.inf, 0.0, 3.4e38])
    return np.asarray(rows)


if __name__ == "__main__":
    sys.exit(main())
