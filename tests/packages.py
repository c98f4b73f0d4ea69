"""Installed packages with entry points, made by hand."""

from __future__ import annotations

from pathlib import Path


def write_package(folder: Path, name: str, group: str, points: dict[str, str], code: str) -> None:
    """Write a module, and the metadata that an installer would leave beside it."""
    (folder / f"{name.replace('-', '_')}.py").write_text(code)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "\n".join(f"{point} = {target}" for point, target in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
