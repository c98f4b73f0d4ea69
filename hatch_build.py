"""Compile the native int8 kernel if there is a C compiler; without it the BLAS does the work."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/patchbank/core/int8")


class NativeKernel(BuildHookInterface):
    """Build a library that does not link to Python, so that one wheel serves every version."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before a wheel or an editable install is made."""
        library = FOLDER / "kernel.so"
        (Path(self.root) / library).unlink(missing_ok=True)  # it may be of an older source
        compiler = next((c for c in map(shutil.which, ("cc", "gcc", "clang")) if c), None)
        machine = platform.machine().lower()
        is_known = machine in ("x86_64", "aarch64", "arm64") and sys.maxsize > 2**32
        # MinGW does not align the stack as vectors of 256 and 512 bits need it.
        if sys.platform == "win32" or not is_known or compiler is None:
            return
        command = [compiler, "-O3", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden"]
        command += [str(FOLDER / "kernel.c"), "-o", str(library), "-lm"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode:
            self.app.display_warning(f"the native kernel is left out: {done.stderr.strip()}")
            return
        build_data["artifacts"].append(f"/{library.as_posix()}")
        build_data["pure_python"] = False
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        tag = tag.replace("universal2", machine)
        build_data["tag"] = f"py3-none-{tag}"
