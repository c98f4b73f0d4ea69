"""Build all wheels twice, compare them to the byte, and use those that this machine can run.

    python tools/test_wheels.py

The kernel of each wheel is compared with plain loops (`try_kernel.c`): of x86-64 here, of ARM under
QEMU, of Windows under Wine.  The wheel of manylinux is installed in a clean environment of each
Python that is here, and runs the demonstration.  The source distribution is built with and without
a compiler.  What cannot be run here is said to be not run.  `make test-wheels` installs what this
needs and runs it, in 20 minutes on two cores, for x86-64 alone.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from build_wheels import KERNEL, OPTIONS, PLATFORMS, ROOT

HERE = ROOT / "tools" / "wheels"
"""What `install_wheel_tools.sh` has put there."""
VERSIONS = range(10, 15)
"""Python 3.10 to 3.14."""
MANYLINUX_X86 = "manylinux_2_17_x86_64.manylinux2014_x86_64"
MANYLINUX_ARM = "manylinux_2_17_aarch64.manylinux2014_aarch64"
ARM_LEVELS = ["NEON dot product", "NEON"]
QEMU_ARM = ("qemu-aarch64-static", "-L")


def levels_here() -> list[str]:
    """Names of the instructions that the kernel should find on this processor."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii").split())
    names = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx2": "AVX2"}
    return [name for flag, name in names.items() if flag in flags]


def trials() -> list[tuple[str, str, tuple[str, ...], list[str]]]:
    """(tag, how, command in front, instructions that must be found) of each trial of a kernel."""
    here = levels_here()
    musl = (*QEMU_ARM, str(HERE / "musl-aarch64"))
    glibc = (*QEMU_ARM, "/usr/aarch64-linux-gnu")
    return [
        (MANYLINUX_X86, "on this processor", (), here),
        (MANYLINUX_X86, "by QEMU without AVX2", ("qemu-x86_64-static", "-cpu", "Nehalem"), []),
        ("musllinux_1_2_x86_64", "on this processor", (), here),
        (MANYLINUX_ARM, "by QEMU", glibc, ARM_LEVELS),
        (MANYLINUX_ARM, "by QEMU, Cortex-A53", (*glibc, "-cpu", "cortex-a53"), ARM_LEVELS[1:]),
        ("musllinux_1_2_aarch64", "by QEMU", musl, ARM_LEVELS),
        ("win_amd64", "by Wine", ("/usr/lib/wine/wine64",), here),
    ]


def main() -> int:
    """Run everything; 1 if something failed."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="patchbank-wheels-") as name:
        folder = Path(name)
        wheels = built_twice(folder, faults)
        for tag, how, command, expected in trials():
            say(
                faults,
                f"kernel of {tag}, {how}",
                tried(folder, wheels[tag], tag, command, expected),
            )
        for tag in {one.tag for one in PLATFORMS} - {tag for tag, *_ in trials()}:
            print(f"kernel of {tag}: not run, its symbols alone were checked")
        for version in VERSIONS:
            say(faults, f"Python 3.{version}", installed(folder, wheels[MANYLINUX_X86], version))
        for has_compiler in (True, False):
            how = "with" if has_compiler else "without"
            say(faults, f"sdist {how} a compiler", from_source(folder, has_compiler))
    print(f"{len(faults)} failed" + "".join(f"\n    {fault}" for fault in faults))
    return 1 if faults else 0


def say(faults: list[str], what: str, outcome: tuple[bool, str]) -> None:
    """Print an outcome, and keep it if it is a fault."""
    is_right, text = outcome
    print(f"{what}: {text}", flush=True)
    if not is_right:
        faults.append(f"{what}: {text}")


def built_twice(folder: Path, faults: list[str]) -> dict[str, Path]:
    """Build here, and from the source distribution elsewhere; compare.  -> wheel by its tag."""
    first, second, again = folder / "first", folder / "second", folder / "again"
    script = ["tools/build_wheels.py", "--out"]
    subprocess.run([sys.executable, *script, str(first)], cwd=ROOT, check=True)
    (archive,) = first.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(again, filter="data")
    (source,) = again.iterdir()
    (source / "PKG-INFO").unlink()  # a checkout has none
    for path in source.rglob("*"):
        path.touch()
    subprocess.run(
        [sys.executable, *script, str(second)],
        cwd=source,
        umask=0o077,
        env={**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    names = sorted(path.name for path in first.iterdir())
    _, other, absent = filecmp.cmpfiles(first, second, names, shallow=False)
    different = other + absent
    is_equal = not different, ", ".join(different) or f"{len(names)} files, equal bytes"
    say(faults, "built in another folder, with other times and rights", is_equal)
    return {one.tag: next(first.glob(f"*-{one.tag}.whl")) for one in PLATFORMS}


def tried(
    folder: Path, wheel: Path, tag: str, command: Sequence[str], expected: Sequence[str]
) -> tuple[bool, str]:
    """Compare the kernel of a wheel with plain loops."""
    if command and shutil.which(command[0]) is None:
        return True, f"not run, there is no {command[0]} here"
    own = folder / tag.partition(".")[0]
    own.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as content:
        (own / "kernel.so").write_bytes(content.read(KERNEL))
    target = next(one.target for one in PLATFORMS if one.tag == tag)
    program = own / "try_kernel.exe"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-O3", *OPTIONS]
    options = ["-dynamic"] if target.endswith("-musl") else []
    source = str(ROOT / "tools" / "try_kernel.c")
    subprocess.run([*compiler, *options, "-Wall", "-Wextra", source, "-o", program], check=True)
    done = subprocess.run(
        [*command, f"./{program.name}", "./kernel.so"],
        cwd=own,
        env={**os.environ, "WINEPREFIX": str(folder / "wine"), "WINEDEBUG": "-all"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.split("\n")
    found = [line.partition(":")[0] for line in lines if "shapes" in line]
    text = "; ".join(line.strip() for line in lines if line) or done.stderr.strip()
    is_right = not done.returncode and found == list(expected)
    return is_right, text if is_right else f"expected {list(expected)}, got: {text}"


def python(version: int) -> tuple[Path, list[str]] | None:
    """(root folder of its system, command) of Python 3.`version`, or None if it is not here."""
    homes = Path.home().glob(f".pyenv/versions/3.{version}.*/bin/python")
    for program in (f"python3.{version}", *map(str, homes)):
        command = [program, "-c", "import ensurepip"]
        if shutil.which(program) and not subprocess.run(command, capture_output=True).returncode:
            return Path("/"), [program]
    root = HERE / f"python3.{version}"
    if (root / "ready").exists() and os.geteuid() == 0:
        inside = ["unshare", "--fork", "--pid", "--mount-proc", "--root", str(root)]
        return root, [*inside, f"python3.{version}"]
    return None


def installed(folder: Path, wheel: Path, version: int) -> tuple[bool, str]:
    """Install a wheel in a clean environment, ask for its kernel, and run the demonstration."""
    found = python(version)
    if found is None:
        return True, "not run, it is not here"
    root, command = found
    own = Path(tempfile.mkdtemp(prefix="patchbank-", dir=root / "tmp"))
    inside = Path("/") / own.relative_to(root)
    prefix = command[:-1]
    for file in (wheel, Path(sys.executable).with_name("uv")):
        shutil.copy(file, own)
    try:
        uv = f"{inside}/uv"
        steps = [[uv, "venv", "--quiet", "--python", command[-1], f"{inside}/venv"]]
        at = f"patchbank[demo] @ file://{inside / wheel.name}"
        options = ["--quiet", "--native-tls", "--python", f"{inside}/venv/bin/python"]
        steps += [[uv, "pip", "install", *options, at]]
        patchbank = f"{inside}/venv/bin/patchbank"
        steps += [[patchbank, "demo", "--out", f"{inside}/demo"], [patchbank, "--version"]]
        text = ""
        for step in steps:
            done = subprocess.run(
                [*prefix, *step], cwd="/", capture_output=True, text=True, check=False
            )
            if done.returncode:
                return False, f"{step[0]} {step[1]}: {done.stderr.strip()[-300:]}"
            text = done.stdout.strip()
        is_right = any(name in text for name in levels_here()) or "not used" in text
        return is_right and (own / "demo" / "index.html").exists(), f"{text}; demo ran"
    finally:
        shutil.rmtree(own)


def from_source(folder: Path, has_compiler: bool) -> tuple[bool, str]:
    """Build a wheel of the source distribution as an installer does."""
    (archive,) = (folder / "first").glob("*.tar.gz")
    own = Path(tempfile.mkdtemp(dir=folder))
    bin_folder = own / "venv" / "bin"
    uv, python = str(Path(sys.executable).with_name("uv")), str(bin_folder / "python")
    wheel = next((folder / "first").glob(f"*-{MANYLINUX_X86}.whl"))
    subprocess.run([uv, "venv", "--quiet", "--seed", str(own / "venv")], check=True)
    options = ["--quiet", "--native-tls", "--python", python]  # the wheel brings what it needs
    subprocess.run([uv, "pip", "install", *options, str(wheel)], check=True)
    environment = {**os.environ}
    if not has_compiler:
        environment["PATH"] = str(bin_folder)
    install = [python, "-m", "pip", "install", "--force-reinstall", "--no-deps", "--verbose"]
    install += [str(archive)]
    done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return False, done.stderr.strip()[-300:]
    said = (done.stdout + done.stderr).splitlines()
    lines = [line.strip() for line in said if "the native kernel is left out" in line][:1]
    ask = [str(bin_folder / "patchbank"), "--version"]
    version = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    is_right = ("not used" in version) != has_compiler and len(lines) == (not has_compiler)
    return is_right, "; ".join([*lines, version])


if __name__ == "__main__":
    sys.exit(main())
