"""Facts about the machine that this process runs on."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """Name of the processor, as reported by the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((n.split(":")[1].strip() for n in lines if n.startswith("model name")), "unknown")
