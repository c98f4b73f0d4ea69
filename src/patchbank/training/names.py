"""Names of good photographs in a detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchbank.images.distinct_names import distinct_names
from patchbank.images.source import ImageSource


def names_of(sources: Sequence[ImageSource]) -> list[str]:
    """Names of good images in the detector, no two of which are the same.

    They are the shortest ends of paths that differ; what has no file has its kind and its number.
    """
    paths = [source.content for source in sources if isinstance(source.content, Path)]
    of_files = iter(distinct_names(paths))
    return [
        next(of_files) if isinstance(source.content, Path) else _name(source, number)
        for number, source in enumerate(sources)
    ]


def _name(source: ImageSource, number: int) -> str:
    """Name of a good image that has no path: its own if it has one, or its kind and its number."""
    is_kind = source.name in ("array", "bytes", "file", "image")
    return f"{source.name} {number}" if is_kind else Path(source.name).name
