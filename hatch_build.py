"""Compile the native kernel where there is a C compiler; without it the BLAS does the work."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/patchbank/core/native")


class NativeKernel(BuildHookInterface):
    """Builds a library that knows nothing of Python: one serves every version of it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before a wheel or an editable install is made."""
        compiler = next((c for c in map(shutil.which, ("cc", "gcc", "clang")) if c), None)
        if platform.machine().lower() not in ("x86_64", "amd64") or compiler is None:
            return
        library = FOLDER / ("screen.dll" if sys.platform == "win32" else "screen.so")
        command = [compiler, "-O3", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden"]
        command += [str(FOLDER / "screen.c"), "-o", str(library), "-lm"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode:
            self.app.display_warning(f"the native kernel is left out: {done.stderr.strip()}")
            return
        build_data["artifacts"].append(f"/{library.as_posix()}")
        build_data["pure_python"] = False
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{tag}"
