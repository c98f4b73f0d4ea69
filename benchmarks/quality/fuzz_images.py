"""Read damaged image files: each is read or refused, and no process dies, hangs or grows.

    python benchmarks/quality/fuzz_images.py [--files 5000] [--seconds 10] [--gigabytes 4]

Seeded damage (`tests/image_mutations.py`) to PNG, JPEG, TIFF, BMP, WebP and GIF files.  A worker
process reads each as a photograph, as a mask and for its size, with limits on time and address
space.  Writes fuzz_images.json and .md next to this file; exit status 1 if one is not as it should
be.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tests.image_mutations import mutated

from environment import environment

HERE = Path(__file__).parent
ODD = ("died", "hung", "another error")
"""Outcomes that must not be."""


def outcome_of(path: Path) -> tuple[str, str]:
    """What becomes of one file: (outcome, detail)."""
    import numpy as np

    from patchbank.errors import ImageError
    from patchbank.images.masks import image_size, shows_anything
    from patchbank.images.source import image_source, n_pixels

    outcome = "read", ""
    for read in (shows_anything, image_size, n_pixels, lambda p: image_source(p).read()):
        try:
            found = read(path)
        except ImageError as error:
            text = str(error).removeprefix(f"{path}: ")
            if "\n" in text or not text.startswith("expected "):
                return "another error", text
            outcome = "refused", text
        except MemoryError:
            outcome = "refused", "too little memory"
        except Exception as error:
            return "another error", f"{type(error).__name__}: {error}"
        else:
            outcome = "read", ""
            is_image = isinstance(found, np.ndarray)
            if is_image and (found.dtype != np.uint8 or found.shape[2:] != (3,)):
                return "another error", f"an image {found.shape} of {found.dtype}"
    return outcome


def work(connection: Connection, folder: str, gigabytes: float) -> None:
    """Answer seeds with outcomes, in a process with limited memory."""
    warnings.simplefilter("ignore")
    limit = int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while (seed := connection.recv()) is not None:
        format, content = mutated(seed)
        path = Path(folder, f"{seed}.{format.lower()}")
        path.write_bytes(content)
        begin = time.perf_counter()
        outcome, detail = outcome_of(path)
        seconds = time.perf_counter() - begin
        path.unlink()
        connection.send((format, outcome, detail, seconds))


def run(n_files: int, seconds: float, gigabytes: float) -> tuple[Counter, list, Counter, float]:
    """Outcomes of all seeds -> counts by (format, outcome), odd ones, refusals, slowest."""
    context = multiprocessing.get_context("spawn")
    counts: Counter[tuple[str, str]] = Counter()
    refusals: Counter[str] = Counter()
    odd, slowest, worker = [], 0.0, None
    with TemporaryDirectory() as folder:
        for seed in range(n_files):
            if worker is None:
                ours, theirs = context.Pipe()
                worker = context.Process(target=work, args=(theirs, folder, gigabytes))
                worker.start()
                theirs.close()
                ours.send(0)  # what is imported first is not timed
                ours.recv()
            ours.send(seed)
            try:
                arrived = ours.poll(seconds)
                format, outcome, detail, took = ours.recv() if arrived else ("", "hung", "", 0.0)
            except EOFError:
                format, outcome, detail, took = "", "died", "", 0.0
            if outcome in ("hung", "died"):
                worker.kill()
                worker.join()
                format, worker = mutated(seed)[0], None
            counts[format, outcome] += 1
            slowest = max(slowest, took)
            if outcome in ODD:
                odd.append({"seed": seed, "format": format, "outcome": outcome, "detail": detail})
            elif outcome == "refused":
                refusals[detail.split("got", 1)[-1].strip(": ")[:40]] += 1
        if worker is not None:
            ours.send(None)
            worker.join()
    return counts, odd, refusals, slowest


def main() -> int:
    """Run, write both files, and say whether all was as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--gigabytes", type=float, default=4)
    given = parser.parse_args()
    counts, odd, refusals, slowest = run(given.files, given.seconds, given.gigabytes)
    formats = sorted({format for format, _ in counts})
    outcomes = ("read", "refused", *ODD)
    table = {f: {o: counts[f, o] for o in outcomes} for f in formats}
    command = f"python benchmarks/quality/fuzz_images.py --files {given.files}"
    record = {
        "command": command,
        "environment": environment(),
        "limits": {"seconds": given.seconds, "gigabytes": given.gigabytes},
        "slowest_seconds": round(slowest, 3),
        "outcomes": table,
        "odd": odd,
        "refusals": dict(refusals.most_common(40)),
    }
    (HERE / "fuzz_images.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = [
        "# Damaged image files",
        "",
        f"    {command}",
        "",
        f"{given.files} files with seeded damage, each read as a photograph, as a mask and for its "
        f"size, at most {given.seconds:g} s and {given.gigabytes:g} GB of address space; the "
        f"slowest took {slowest:.2f} s.",
        "",
        f"| format | {' | '.join(outcomes)} |",
        "|---|" + "---:|" * len(outcomes),
        *(f"| {f} | {' | '.join(str(table[f][o]) for o in outcomes)} |" for f in formats),
    ]
    (HERE / "fuzz_images.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[6:]))
    for each in odd:
        print(each)
    return int(bool(odd))


if __name__ == "__main__":
    sys.exit(main())
