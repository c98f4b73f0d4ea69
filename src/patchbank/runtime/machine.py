"""Facts about what this process runs on: the machine, and the versions of programs."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


def processor() -> str:
    """Name of the processor as reported by the system, with its family and model where it has them.

    Names alone may say little: that of a virtual machine is often ``AMD EPYC``.
    """
    try:
        return _processor(Path("/proc/cpuinfo").read_text())
    except OSError:
        return platform.processor() or "unknown"


def _processor(facts: str) -> str:
    r"""The processor in the text of Linux's ``/proc/cpuinfo``.

    >>> _processor("cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n")
    'AMD EPYC (family 25, model 17)'
    """
    found: dict[str, str] = dict(re.findall(r"^([\w ]+?)\s*: (.+)$", facts, re.MULTILINE))
    name = found.get("model name", "unknown").strip()
    if "cpu family" not in found or "model" not in found:
        return name
    return f"{name} (family {found['cpu family'].strip()}, model {found['model'].strip()})"


def versions() -> dict[str, str]:
    """Versions of this program and of the libraries that compute for it."""
    names = ("patchbank", "numpy", "onnxruntime", "openvino", "torch", "timm")
    return {name: version(name) for name in names if find_spec(name) is not None}
