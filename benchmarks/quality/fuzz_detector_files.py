"""Damaged and contradictory detector files, opened one after the other.

    nice python benchmarks/quality/fuzz_detector_files.py       # 100,000 and 2,000 files

Small detectors of each method (`detector_files/seeds.py`) are written; their bytes are mutated, or
one field is changed and the digest set right (`detector_files/mutations.py`).  Each file is opened,
and a photograph is inspected with it.  Right is a `DetectorFileError`, or the same score; where a
field was changed to another sound value, another finite score.  Writes fuzz_detector_files.json
and .md.  Files are drawn by seed and number; an interrupted campaign resumes with the same command.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.environment import environment
from benchmarks.quality.detector_files.mutations import (
    changed_field,
    mutated_bytes,
)
from benchmarks.quality.detector_files.outcome import (
    AT_PREDICT,
    BAD,
    OTHER,
    REFUSED,
    SAME,
    outcome,
)
from benchmarks.quality.detector_files.seeds import photographs, seeds

from patchbank.detector.bundle import bundle_of, to_bytes
from patchbank.detector.detector import detector_from_bytes

HERE = Path(__file__).parent
CHUNK = 2500
MAX_SECONDS, MAX_BYTES = 2.0, 500 * 2**20
CHUNK_TIMEOUT_S = 1800
ADDRESS_SPACE = 8 * 2**30


def main() -> None:
    """Run the campaign, or one chunk of it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=100_000, help="files with mutated bytes")
    parser.add_argument("--fields", type=int, default=2_000, help="files with one field changed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fuzz-detectors")
    parser.add_argument("--chunk", nargs=3, metavar=("KIND", "BEGIN", "END"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.chunk:
        kind, begin, end = options.chunk
        run_chunk(options.work, options.seed, kind, int(begin), int(end))
        return
    _write_seeds(options.work)
    chunks = [
        (kind, begin, min(begin + CHUNK, n))
        for kind, n in (("fields", options.fields), ("bytes", options.bytes))
        for begin in range(0, n, CHUNK)
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda chunk: _in_process(options, *chunk), chunks))
    _report(options, results)


def _write_seeds(work: Path) -> None:
    path = work / "seeds.pickle"  # our own, of this campaign
    if not path.exists():
        made = seeds(str(work / "tiny.onnx"))
        path.write_bytes(pickle.dumps({name: to_bytes(bundle) for name, bundle in made.items()}))


def _in_process(options: argparse.Namespace, kind: str, begin: int, end: int) -> dict[str, Any]:
    result = options.work / f"{options.seed}-{kind}-{begin}-{end}.json"
    if not result.exists():
        command = [sys.executable, __file__, "--work", str(options.work)]
        command += ["--seed", str(options.seed), "--chunk", kind, str(begin), str(end)]
        done = subprocess.run(command, timeout=CHUNK_TIMEOUT_S, check=False)
        if done.returncode:
            at = (options.work / f"at-{kind}-{begin}").read_text()
            return {"kind": kind, "crash": f"file {at}: status {done.returncode}"}
    found: dict[str, Any] = json.loads(result.read_text())
    print(f"{kind} {begin}-{end}: {found['outcomes']}, {found['longest_s']:.2f} s", flush=True)
    return found


def run_chunk(work: Path, seed: int, kind: str, begin: int, end: int) -> None:
    """Open the files of some numbers, and write what came of them."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    contents = pickle.loads((work / "seeds.pickle").read_bytes())
    names, photograph = list(contents), photographs(7)[6]
    scores = {
        n: detector_from_bytes(contents[n], device="cpu").predict(photograph).score for n in names
    }
    bundles = {name: bundle_of(content, name) for name, content in contents.items()}
    outcomes: Counter[str] = Counter()
    by_mutation: dict[str, Counter[str]] = {}
    bad, at_predict, longest = [], [], (0.0, "")
    memory = _peak_memory()
    at = (work / f"at-{kind}-{begin}").open("w")
    for number in range(begin, end):
        at.seek(0)
        at.write(f"{number:09}")
        at.flush()
        rng = np.random.default_rng([seed, kind == "fields", number])
        if kind == "bytes":
            mutation, which, content = mutated_bytes(list(contents.values()), rng)
            name, group = names[which], mutation
        else:
            name = names[int(rng.integers(len(names)))]
            mutation, content = changed_field(bundles[name], rng)
            group = mutation.split(" ")[0].split(".")[0].rstrip(":,")
        began = time.perf_counter()
        came = outcome(content, photograph, scores[name])
        seconds = time.perf_counter() - began
        longest = max(longest, (seconds, f"{number} {name} {mutation}"))
        outcomes[came.kind] += 1
        by_mutation.setdefault(group, Counter())[came.kind] += 1
        is_bad = came.kind == BAD or (kind == "bytes" and came.kind in (OTHER, AT_PREDICT))
        if is_bad:
            bad.append(f"{number} {name} {mutation}: {came.detail}")
        elif came.kind == AT_PREDICT:
            at_predict.append(f"{number} {name} {mutation}: {came.detail}")
    result = {
        "kind": kind,
        "outcomes": dict(outcomes),
        "by_mutation": {group: dict(counts) for group, counts in by_mutation.items()},
        "longest_s": longest[0],
        "longest": longest[1],
        "memory_growth_bytes": _peak_memory() - memory,
        "bad": bad,
        "at_predict": at_predict,
    }
    (work / f"{seed}-{kind}-{begin}-{end}.json").write_text(json.dumps(result))


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _report(options: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    crashes = [result["crash"] for result in results if "crash" in result]
    whole = [result for result in results if "crash" not in result]
    figures: dict[str, Any] = {"seed": options.seed, "crashes": crashes}
    for kind in ("bytes", "fields"):
        of_kind = [result for result in whole if result["kind"] == kind]
        outcomes: Counter[str] = Counter()
        by_mutation: dict[str, Counter[str]] = {}
        for result in of_kind:
            outcomes.update(result["outcomes"])
            for group, counts in result["by_mutation"].items():
                by_mutation.setdefault(group, Counter()).update(counts)
        slowest = max(of_kind, key=lambda result: result["longest_s"], default={})
        figures[kind] = {
            "files": outcomes.total(),
            "outcomes": dict(outcomes),
            "by_mutation": {group: dict(counts) for group, counts in sorted(by_mutation.items())},
            "longest_s": round(slowest.get("longest_s", 0), 3),
            "longest": slowest.get("longest", ""),
            "memory_growth_bytes": max((r["memory_growth_bytes"] for r in of_kind), default=0),
            "bad": [line for result in of_kind for line in result["bad"]],
            "refused_at_predict": [line for result in of_kind for line in result["at_predict"]],
        }
    figures["environment"] = environment()
    target = HERE / "fuzz_detector_files.json"
    target.write_text(json.dumps(figures, indent=1, ensure_ascii=True) + "\n")
    target.with_suffix(".md").write_text(_page(figures))
    failed = crashes + figures["bytes"]["bad"] + figures["fields"]["bad"]
    too_much = any(
        figures[kind]["longest_s"] > MAX_SECONDS or figures[kind]["memory_growth_bytes"] > MAX_BYTES
        for kind in ("bytes", "fields")
    )
    sys.exit(bool(failed or too_much))


def _page(figures: dict[str, Any]) -> str:
    machine = figures["environment"]
    lines = [
        "# Damaged and contradictory detector files",
        "",
        "`nice python benchmarks/quality/fuzz_detector_files.py`, seed "
        f"{figures['seed']}, on {machine['processor']}, {machine['cores']} cores, Python "
        f"{machine['python']}, commit {machine['commit']}.",
        "",
        "Each file is opened, and a photograph is inspected with it. Mutated bytes: flips, cuts, "
        "splices between files, edits of the header. One field: a value of the record, a tensor, "
        "or bytes of the network, with a digest that is right; where the other value is as sound "
        "as the first, the detector is another one and scores otherwise.",
        "",
        f"| | files | {REFUSED} | {SAME} | {OTHER} | {AT_PREDICT} | {BAD} | crashes "
        "| longest | memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, title in (("bytes", "mutated bytes"), ("fields", "one field, digest right")):
        found = figures[kind]
        counts = [found["outcomes"].get(k, 0) for k in (REFUSED, SAME, OTHER, AT_PREDICT, BAD)]
        cells = [title, f"{found['files']:,}", *(f"{n:,}" for n in counts)]
        cells += [str(len(figures["crashes"])), f"{found['longest_s']:.2f} s"]
        cells.append(f"+{found['memory_growth_bytes'] / 2**20:.0f} MB")
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Longest: one file, opened and used. Memory: growth of the process over all its files.",
        "Refused at predict: the photograph counts as not inspected, with one line; these networks "
        "compute numbers that are not finite from finite weights.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
