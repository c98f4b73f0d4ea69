"""Formats of image files that are read."""

from __future__ import annotations

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
"""Endings of the names of image files, in lower case."""
