"""Compile the native int8 kernel if there is a C compiler; without it the BLAS does the work.

`tools/build_wheels.py` compiles it for other machines by two variables of the environment, which
go together: KERNEL_COMPILER, the words of a command, and WHEEL_PLATFORM, the tag of the wheel.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/patchbank/core/int8")
COMPILER, PLATFORM = "PATCHBANK_KERNEL_COMPILER", "PATCHBANK_WHEEL_PLATFORM"
OPTIONS = ("-O3", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden")


class NativeKernel(BuildHookInterface):
    """Build a library that does not link to Python, so that one wheel serves every version."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before a wheel or an editable install is made."""
        library = FOLDER / "kernel.so"
        asked = [os.environ.get(name, "") for name in (COMPILER, PLATFORM)]
        if any(asked) and not all(asked):
            raise ValueError(f"expected both {COMPILER} and {PLATFORM}, or none, got one")
        compiler = shlex.split(asked[0]) or _compiler_here()
        if not compiler:
            (Path(self.root) / library).unlink(missing_ok=True)  # it may be of an older source
            self.app.display_warning(
                "the native kernel is left out: expected a C compiler (cc, gcc or clang) on x86-64 "
                "or ARM of 64 bits, not on Windows, got none; selection and search take longer"
            )
            return
        error = self._compile(compiler, Path(self.root) / library)
        if error and asked[0]:
            raise RuntimeError(f"the native kernel for {asked[1]} does not compile: {error}")
        if error:
            self.app.display_warning(f"the native kernel is left out: {error.strip()}")
            return
        build_data["artifacts"].append(f"/{library.as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{asked[1] or _platform_here()}"

    def _compile(self, compiler: list[str], library: Path) -> str:
        """Compile to `library`, and return the error; it appears whole, as programs may use it."""
        with tempfile.TemporaryDirectory(dir=library.parent, prefix=".kernel-") as folder:
            # No path of this machine is given: some linkers write what they are given to the file.
            command = [*compiler, *OPTIONS, "../kernel.c", "-o", library.name, "-lm"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if not done.returncode:
                (Path(folder) / library.name).replace(library)
                return ""
        library.unlink(missing_ok=True)  # it is of an older source
        return done.stderr or f"status {done.returncode}"


def _compiler_here() -> list[str]:
    """The command of a compiler for this machine; empty where there is none that will do."""
    is_known = platform.machine().lower() in ("x86_64", "aarch64", "arm64") and sys.maxsize > 2**32
    # gcc for Windows does not align the stack as vectors of 256 and 512 bits need it.
    if sys.platform == "win32" or not is_known:
        return []
    return next(([c] for c in map(shutil.which, ("cc", "gcc", "clang")) if c), [])


def _platform_here() -> str:
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return tag.replace("universal2", platform.machine().lower())
