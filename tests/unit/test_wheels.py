"""Wheels are what they say: wrong ones are refused, and a build says what is left out."""

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from platform import machine

import pytest

from patchbank.core.int8 import binding

pytest.importorskip("lief", reason="pip install 'patchbank[dev]'")
pytest.importorskip("hatchling", reason="pip install 'patchbank[dev]'")
ROOT = Path(__file__).parents[2]
NEEDED = ["pyproject.toml", "README.md", "LICENSE", "NOTICE", "hatch_build.py"]
FILES = {"patchbank/__init__.py", "patchbank/backbones/assets/efficientnet_lite0.onnx"}
compiled = pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux" or machine() not in ("x86_64", "aarch64"),
    reason="a C compiler of Linux makes the libraries",
)


def loaded():
    path = ROOT / "tools" / "build_wheels.py"
    spec = importlib.util.spec_from_file_location("build_wheels", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up there
    spec.loader.exec_module(module)
    return module


WHEELS = loaded()


def platform(start, end):
    return next(p for p in WHEELS.PLATFORMS if p.tag.startswith(start) and p.tag.endswith(end))


def here():
    return platform("manylinux", machine())


def library(folder, *options, source=None):
    """Compile the kernel, or another source.  -> its bytes."""
    path, target = folder / "other.c", folder / "library.so"
    if source is not None:
        path.write_text(source)
    source = path if source is not None else Path(binding.__file__).with_name("kernel.c")
    command = ["cc", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", source, "-o", target]
    subprocess.run([*command, *options, "-lm"], check=True)
    return target.read_bytes()


def wheel(folder, of, content, *, files=FILES, tags=None):
    """A wheel with a library."""
    path = folder / f"patchbank-1-py3-none-{of.tag}.whl"
    lines = [f"Tag: py3-none-{tag}\n" for tag in tags or of.tag.split(".")]
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            archive.writestr(name, "")
        archive.writestr("patchbank-1.dist-info/WHEEL", "".join(lines))
        archive.writestr(WHEELS.KERNEL, content)
    return path


def faults(folder, of, content, **options):
    return list(WHEELS.faults_of(wheel(folder, of, content, **options), of, FILES))


def test_wheels_must_have_the_functions_that_are_loaded():
    loaded = {*binding.SIGNATURES, "int8_interface", "int8_supports", "int8_largest_code"}
    source = Path(binding.__file__).with_name("kernel.c").read_text(encoding="utf-8")
    assert set(WHEELS.EXPORTED.findall(source)) == loaded


@compiled
def test_a_wheel_of_this_system_has_no_fault(tmp_path):
    assert faults(tmp_path, here(), library(tmp_path)) == []


@compiled
def test_a_library_of_another_system_or_processor_is_refused(tmp_path):
    content = bytearray(library(tmp_path))
    (found,) = faults(tmp_path, platform("win", "amd64"), bytes(content))
    assert found == f"expected PE AMD64, got ELF {machine().upper()}"
    struct.pack_into("<H", content, 18, 243)  # RISC-V
    (found,) = faults(tmp_path, here(), bytes(content))
    assert found == f"expected ELF {machine().upper()}, got ELF RISCV"


@compiled
def test_functions_that_are_absent_or_too_many_are_refused(tmp_path):
    one = '__attribute__((visibility("default"))) int int8_interface(void) { return 5; }'
    (found,) = faults(tmp_path, here(), library(tmp_path, source=one))
    assert "expected the functions ['int8_interface', 'int8_largest_code'" in found
    assert found.endswith("got ['int8_interface']")
    kernel = Path(binding.__file__).with_name("kernel.c")
    more = f'#include "{kernel}"\nEXPORT int surplus(void) {{ return 1; }}'
    (found,) = faults(tmp_path, here(), library(tmp_path, source=more))
    assert found.endswith("'surplus']")


@compiled
def test_a_newer_system_and_another_library_are_refused(tmp_path):
    kernel = Path(binding.__file__).with_name("kernel.c")
    other = '__attribute__((visibility("default"))) int other_one(void) { return 1; }'
    (tmp_path / "libother.so").write_bytes(
        library(tmp_path, "-Wl,-soname,libother.so", source=other)
    )
    using = (
        f'#include "{kernel}"\n#include <stdlib.h>\nint other_one(void);\n'
        "int (*kept)(void) = other_one; char *(*also)(const char *) = getenv;"
    )
    content = library(tmp_path, f"-L{tmp_path}", "-lother", source=using)
    (found,) = faults(tmp_path, here(), content)
    assert found == "expected libraries among libc.so.6, libm.so.6, got libother.so"
    old = replace(here(), system=WHEELS.System(("lib*",), "GLIBC_2.2"))
    found = faults(tmp_path, old, content)
    assert found
    assert all(line.startswith("expected GLIBC_2.2 or older, got GLIBC_2.") for line in found)
    musl = replace(platform("musllinux", machine()), system=WHEELS.System(("lib*",)))
    assert "expected no release or older, got GLIBC_2." in faults(tmp_path, musl, content)[0]


def test_a_library_of_a_newer_macos_without_signature_is_refused(tmp_path):
    name = b"kernel.so".ljust(16, b"\0")
    version = struct.pack("<6I", 0x32, 24, 1, 12 << 16, 12 << 16, 0)  # LC_BUILD_VERSION: 12.0
    own = struct.pack("<6I", 0xD, 24 + len(name), 24, 0, 0, 0) + name  # LC_ID_DYLIB
    head = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 6, 2, len(version + own), 0, 0)
    found = faults(tmp_path, platform("macosx", "arm64"), head + version + own)
    assert found[0].endswith("got []")
    assert found[1] == "expected 11.0 or older, got 12.0"
    assert found[2].startswith("expected a signature")


def test_wrong_tags_and_files_that_are_absent_are_refused(tmp_path):
    of = platform("win", "amd64")
    found = faults(tmp_path, of, b"no library", tags=["win32"], files=[])
    assert found[0] == "expected 2 more files, such as patchbank/__init__.py"
    assert "expected the tags py3-none-win_amd64, got py3-none-win32 in patchbank-1" in found[1]
    assert found[2:] == [f"expected a library in {WHEELS.KERNEL}, got none"]


def build(folder, kind="wheel", cwd=None, **variables):
    """Build a distribution.  -> exit status, lines that were printed."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.fixture
def source(tmp_path):
    """What a build reads, and no more: a build removes the kernel that is there."""
    folder = tmp_path / "source"
    own = folder / "src" / "patchbank" / "core"
    shutil.copytree(ROOT / "src/patchbank/core/int8", own / "int8")
    for name in NEEDED:
        shutil.copy(ROOT / name, folder)
    return folder


def test_without_a_compiler_a_build_says_so_in_a_line(source, tmp_path):
    status, lines = build(tmp_path, cwd=source, PATH=str(tmp_path))
    assert status == 0, lines
    (line,) = [line for line in lines if "kernel" in line]
    assert "the native kernel is left out: expected a C compiler" in line
    (made,) = tmp_path.glob("*.whl")
    assert made.name.endswith("-py3-none-any.whl")
    assert WHEELS.KERNEL not in zipfile.ZipFile(made).namelist()


@compiled
def test_a_build_takes_the_compiler_and_the_platform_that_are_asked_for(source, tmp_path):
    asked = {"PATCHBANK_KERNEL_COMPILER": "cc -s", "PATCHBANK_WHEEL_PLATFORM": here().tag}
    status, lines = build(tmp_path, cwd=source, **asked)
    assert status == 0, lines
    (made,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(made).namelist() if "/int8/" in name}
    assert list(WHEELS.faults_of(made, here(), names)) == []


def test_a_compiler_without_a_platform_and_one_that_fails_end_a_build(source, tmp_path):
    status, lines = build(tmp_path, cwd=source, PATCHBANK_KERNEL_COMPILER="cc")
    assert status
    assert "expected both PATCHBANK_KERNEL_COMPILER and PATCHBANK_WHEEL_PLATFORM" in lines[-1]
    asked = {"PATCHBANK_KERNEL_COMPILER": "false", "PATCHBANK_WHEEL_PLATFORM": "win_amd64"}
    status, lines = build(tmp_path, cwd=source, **asked)
    assert status
    assert any("the native kernel for win_amd64 does not compile" in line for line in lines)


def test_the_source_distribution_has_what_a_build_and_the_tests_need(tmp_path):
    status, lines = build(tmp_path, "sdist", cwd=ROOT)
    assert status == 0, lines
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {f"src/{name}" for name in WHEELS.files_of(ROOT)}
    expected = {*NEEDED, "Makefile", "tools/build_wheels.py", "tests/unit/test_wheels.py"}
    assert (tracked | expected) - names == set()
    unwanted = ("kernel.so", ".pyc", ".whl")
    assert [name for name in names if name.endswith(unwanted) or "node_modules" in name] == []
