"""Build the source distribution, and from it the wheels of all platforms, on one machine.

    python tools/build_wheels.py [--out dist] [--platforms win_amd64 ...]

The kernel knows nothing of Python, so that one wheel serves all versions of a platform.  It is
compiled by zig, which has the headers of every system, and what came of it is checked: the format
and the processor of the library, the functions that it exports, the symbols and the release of the
C library that it asks for.  Wheels are the same to the byte when they are built again.
`make wheels` installs what this needs and runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lief

ROOT = Path(__file__).resolve().parents[1]
KERNEL = "patchbank/core/int8/kernel.so"
EPOCH = "1577836800"
"""Time of all files in archives: 2020-01-01, as of hatchling where nothing else is asked."""
EXPORTED = re.compile(r"^EXPORT [\w ]+?\**(int8_\w+)\(", re.MULTILINE)
OPTIONS = ("-s",)


@dataclass(frozen=True, slots=True)
class Platform:
    """What a wheel runs on."""

    tag: str
    target: str
    """As zig names it, with the oldest release of the system or of its C library."""
    binary: str
    """Format of its libraries, and the processor: as `lief` names them."""
    newest: str = ""
    """Newest release of the C library, or of the system, that may be asked for."""


PLATFORMS = (
    Platform("manylinux_2_17_x86_64.manylinux2014_x86_64", "x86_64-linux-gnu.2.17", "ELF X86_64",
             "GLIBC_2.17"),
    Platform("manylinux_2_17_aarch64.manylinux2014_aarch64", "aarch64-linux-gnu.2.17",
             "ELF AARCH64", "GLIBC_2.17"),
    Platform("musllinux_1_2_x86_64", "x86_64-linux-musl", "ELF X86_64"),
    Platform("musllinux_1_2_aarch64", "aarch64-linux-musl", "ELF AARCH64"),
    Platform("win_amd64", "x86_64-windows-gnu", "PE AMD64"),
    Platform("win_arm64", "aarch64-windows-gnu", "PE ARM64"),
    Platform("macosx_11_0_x86_64", "x86_64-macos.11.0", "MACHO X86_64", "11.0"),
    Platform("macosx_11_0_arm64", "aarch64-macos.11.0", "MACHO ARM64", "11.0"),
)  # fmt: skip


def main() -> int:
    """Build and check; 1 if a library is not what its wheel says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder; default: dist")
    names = [one.tag for one in PLATFORMS]
    parser.add_argument("--platforms", nargs="+", choices=names, default=names, metavar="TAG")
    chosen = parser.parse_args()
    out = chosen.out.resolve()
    with tempfile.TemporaryDirectory(prefix="patchbank-wheels-") as folder:
        archive = hatch("sdist", ROOT, out)
        report(archive)
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
        (source,) = Path(folder).iterdir()
        faults = []
        for one in PLATFORMS:
            if one.tag not in chosen.platforms:
                continue
            wheel = hatch("wheel", source, out, one)
            found = faults_of(wheel, one)
            report(wheel, *found)
            faults += found
    return 1 if faults else 0


def hatch(what: str, source: Path, out: Path, platform: Platform | None = None) -> Path:
    """Build a distribution of a source tree.  -> its file."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    if platform is not None:
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", platform.target, *OPTIONS]
        environment["PATCHBANK_KERNEL_COMPILER"] = shlex.join(zig)
        environment["PATCHBANK_WHEEL_PLATFORM"] = platform.tag
    command = [sys.executable, "-m", "hatchling", "build", "-t", what, "-d", str(out)]
    done = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{what} {platform.tag if platform else ''}: {done.stderr or done.stdout}")
    return out / Path(done.stderr.strip().splitlines()[-1]).name


def faults_of(wheel: Path, platform: Platform) -> list[str]:
    """What is wrong with the library in a wheel; empty if nothing is."""
    if not wheel.name.endswith(f"-py3-none-{platform.tag}.whl"):
        return [f"expected the tag py3-none-{platform.tag}"]
    with zipfile.ZipFile(wheel) as content:
        library = lief.parse(content.read(KERNEL))
    if library is None:
        return [f"expected a library in {KERNEL}"]
    found = []
    binary = f"{library.format.name} {_processor(library)}"
    if binary != platform.binary:
        found.append(f"expected {platform.binary}, got {binary}")
    expected = set(EXPORTED.findall((ROOT / "src" / KERNEL).with_suffix(".c").read_text()))
    exported = {_plain(one.name) for one in library.exported_functions}
    if not expected <= exported:
        found.append(f"expected the functions {sorted(expected)}, got {sorted(exported)}")
    asked = _releases(library)
    if newer := [one for one in asked if _numbers(one) > _numbers(platform.newest)]:
        found.append(f"expected {platform.newest} or older, got {newer}")
    return found


def _processor(library: Any) -> str:
    header = library.header
    if isinstance(library, lief.ELF.Binary):
        return str(header.machine_type.name)
    return str(header.machine.name if isinstance(library, lief.PE.Binary) else header.cpu_type.name)


def _releases(library: Any) -> set[str]:
    """Releases of the C library, or of the system, that a library asks for."""
    if isinstance(library, lief.ELF.Binary):
        needed = library.symbols_version_requirement
        return {str(one.name) for need in needed for one in need.get_auxiliary_symbols()}
    if isinstance(library, lief.MachO.Binary):
        version = library.build_version.minos
        return {".".join(map(str, version[:2]))}
    return set()


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", release)))


def _plain(name: str | bytes) -> str:
    text = name.decode() if isinstance(name, bytes) else name
    return text.removeprefix("_")  # of macOS


def report(file: Path, *faults: str) -> None:
    """Print a line about a file, and one for each of its faults."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    print(f"{digest}  {file.stat().st_size:>10,}  {file.name}", flush=True)
    for fault in faults:
        print(f"    {fault}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
