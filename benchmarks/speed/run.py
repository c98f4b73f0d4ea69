"""Run the speed benchmarks one after another, each as a process of its own.

    python benchmarks/speed/run.py ../shared/data                       # ours: an hour
    python benchmarks/speed/run.py ../shared/data --peers .venv-peers/bin/python

With --peers only those that compare with others, ours and theirs in the same run.  What needs a
data set that is not below the folder is left out, with a line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Script:
    """One benchmark, and the data set that it uses."""

    name: str
    needs: str | None = None
    """A data set without which it is left out."""
    takes: str | None = None
    """A data set that it uses too, where there is one."""
    beside_peers: bool = False
    """Whether it compares with peers."""


SCRIPTS = (
    Script("selection", beside_peers=True),
    Script("large_selection", takes="mtd"),
    Script("search", takes="screw", beside_peers=True),
    Script("features"),
    Script("fit", needs="mtd"),
    Script("predict", needs="screw", beside_peers=True),
    Script("commands", needs="screw"),
    Script("memory"),
    Script("out_of_core"),
    Script("long_run"),
    Script("growth", needs="screw"),
    Script("pixel_metrics"),
)


def run(script: Script, data: Path, peers: str | None) -> bool:
    """Run one script, or say why not.  -> whether it failed."""
    command = [sys.executable, str(HERE / f"{script.name}.py")]
    if script.needs is not None:
        if not (data / script.needs).is_dir():
            print(f"{script.name}: left out, as there is no {data / script.needs}", flush=True)
            return False
        command.append(str(data / script.needs))
    if script.takes is not None and (data / script.takes).is_dir():
        command += ["--photographs", str(data / script.takes)]
    elif script.takes is not None:
        print(f"{script.name}: drawn points only, as there is no {data / script.takes}", flush=True)
    if peers is not None:
        command += ["--peers", peers]
    began = time.perf_counter()
    failed = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0
    how = "FAILED after" if failed else "done in"
    print(f"{script.name}: {how} {time.perf_counter() - began:.0f} s", flush=True)
    return failed


def main() -> None:
    """Run all of ours, or those that compare with peers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder that holds the data sets mtd and screw")
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with the peers")
    given = parser.parse_args()
    scripts = [s for s in SCRIPTS if s.beside_peers or given.peers is None]
    failed = [s.name for s in scripts if run(s, given.data, given.peers)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
