"""Facts about what this process runs on: the machine, and the versions of programs."""

from __future__ import annotations

import platform
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


def processor() -> str:
    """Name of the processor, as reported by the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((n.split(":")[1].strip() for n in lines if n.startswith("model name")), "unknown")


def versions() -> dict[str, str]:
    """Versions of this program and of the libraries that compute for it."""
    names = ("patchbank", "numpy", "onnxruntime", "openvino", "torch", "timm")
    return {name: version(name) for name in names if find_spec(name) is not None}
