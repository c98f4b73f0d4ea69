"""Build the source distribution, and from it the wheels of all platforms, on one machine.

    python tools/build_wheels.py [--out dist] [--platforms win_amd64 ...]

The kernel knows nothing of Python, so that one wheel serves all versions of a platform.  It is
compiled by zig, which has the headers of every system, and what came of it is checked: the tags and
the files, and of the library its format, its processor, the functions that it exports, and the
libraries and the release of the system that it asks for.  Wheels are the same to the byte when they
are built again.  `make wheels` installs what this needs and runs it.
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
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import lief

lief.logging.disable()
ROOT = Path(__file__).resolve().parents[1]
KERNEL = "patchbank/core/int8/kernel.so"
EPOCH = "1577836800"
"""Time of all files in archives: 2020-01-01, as of hatchling where nothing else is asked."""
EXPORTED = re.compile(r"^EXPORT [\w ]+?\**(int8_\w+)\(", re.MULTILINE)
OPTIONS = ("-s",)


@dataclass(frozen=True, slots=True)
class System:
    """What libraries may ask for."""

    libraries: tuple[str, ...]
    """Patterns of the names of other libraries."""
    newest: str = ""
    """Newest release of the C library, or of the system; empty where libraries name none."""


GLIBC = System(("libc.so.6", "libm.so.6"), "GLIBC_2.17")
MUSL = System(("libc.so",))
WINDOWS = System(("kernel32.dll", "api-ms-win-crt-*.dll"))
MACOS = System(("/usr/lib/libsystem.b.dylib",), "11.0")


@dataclass(frozen=True, slots=True)
class Platform:
    """What a wheel runs on."""

    tag: str
    target: str
    """As zig names it, with the oldest release of the system or of its C library."""
    binary: str
    """Format of its libraries, and the processor: as `lief` names them."""
    system: System


PLATFORMS = (
    Platform(
        "manylinux_2_17_x86_64.manylinux2014_x86_64", "x86_64-linux-gnu.2.17", "ELF X86_64", GLIBC
    ),
    Platform(
        "manylinux_2_17_aarch64.manylinux2014_aarch64",
        "aarch64-linux-gnu.2.17",
        "ELF AARCH64",
        GLIBC,
    ),
    Platform("musllinux_1_2_x86_64", "x86_64-linux-musl", "ELF X86_64", MUSL),
    Platform("musllinux_1_2_aarch64", "aarch64-linux-musl", "ELF AARCH64", MUSL),
    Platform("win_amd64", "x86_64-windows-gnu", "PE AMD64", WINDOWS),
    Platform("win_arm64", "aarch64-windows-gnu", "PE ARM64", WINDOWS),
    Platform("macosx_11_0_x86_64", "x86_64-macos.11.0", "MACHO X86_64", MACOS),
    Platform("macosx_11_0_arm64", "aarch64-macos.11.0", "MACHO ARM64", MACOS),
)


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
            found = list(faults_of(wheel, one, files_of(source)))
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


def files_of(source: Path) -> set[str]:
    """Names in a wheel of the files of the package that a source tree has."""
    package = source / "src" / "patchbank"
    found = {path.relative_to(source / "src").as_posix() for path in package.rglob("*.*")}
    return {name for name in found if not name.endswith((".pyc", ".so"))}


def faults_of(wheel: Path, platform: Platform, files: set[str]) -> Iterator[str]:
    """Yield what is wrong with a wheel, a line each.

    Args:
        wheel: its file.
        platform: that it says it is for.
        files: that it must have, beside the kernel.
    """
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        if absent := sorted((files | {KERNEL}) - names):
            yield f"expected {len(absent)} more files, such as {absent[0]}"
        (described,) = (name for name in names if name.endswith(".dist-info/WHEEL"))
        tags = re.findall(r"^Tag: (.*)$", content.read(described).decode(), re.MULTILINE)
        library = lief.parse(content.read(KERNEL)) if KERNEL in names else None
    expected = sorted(f"py3-none-{tag}" for tag in platform.tag.split("."))
    if not wheel.name.endswith(f"-py3-none-{platform.tag}.whl") or sorted(tags) != expected:
        yield f"expected the tags {', '.join(expected)}, got {', '.join(tags)} in {wheel.name}"
    if library is None:
        yield f"expected a library in {KERNEL}, got none"
    else:
        yield from _faults_of_library(library, platform)


def _faults_of_library(library: Any, platform: Platform) -> Iterator[str]:
    binary = f"{library.format.name} {_processor(library)}"
    if binary != platform.binary:
        yield f"expected {platform.binary}, got {binary}"
        return
    expected = set(EXPORTED.findall((ROOT / "src" / KERNEL).with_suffix(".c").read_text()))
    # Names of macOS have one underscore more; with two, they are the linker's own.
    plain = {_text(one.name).removeprefix("_") for one in library.exported_functions}
    exported = {name for name in plain if not name.startswith("_")}
    if exported != expected:
        yield f"expected the functions {sorted(expected)}, got {sorted(exported)}"
    for name in _needed(library):
        if not any(fnmatch(name.lower(), pattern) for pattern in platform.system.libraries):
            yield f"expected libraries among {', '.join(platform.system.libraries)}, got {name}"
    newest = platform.system.newest
    for release in sorted(_releases(library)):
        if _numbers(release) > _numbers(newest):
            yield f"expected {newest or 'no release'} or older, got {release}"
    if binary == "MACHO ARM64" and not library.has_code_signature:
        yield "expected a signature, which these processors ask for, got none"


def _processor(library: Any) -> str:
    header = library.header
    if isinstance(library, lief.ELF.Binary):
        return str(header.machine_type.name)
    return str(header.machine.name if isinstance(library, lief.PE.Binary) else header.cpu_type.name)


def _needed(library: Any) -> list[str]:
    """Names of the libraries that one loads."""
    if isinstance(library, lief.MachO.Binary):  # the first is its own name
        own = lief.MachO.LoadCommand.TYPE.ID_DYLIB
        return [_text(one.name) for one in library.libraries if one.command != own]
    return [_text(name) for name in library.libraries]


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


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def report(file: Path, *faults: str) -> None:
    """Print a line about a file, and one for each of its faults."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    print(f"{digest}  {file.stat().st_size:>10,}  {file.name}", flush=True)
    for fault in faults:
        print(f"    {fault}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
