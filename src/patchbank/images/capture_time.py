"""The time of a photograph, as its camera wrote it into the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from patchbank.images.opening import opened
from patchbank.images.source import ImageSource

EXIF_IFD = 0x8769
ORIGINAL, FRACTION, CHANGED = 0x9003, 0x9291, 0x0132
"""Tags of EXIF: DateTimeOriginal, SubSecTimeOriginal, DateTime."""
_TIME = re.compile(r"[12]\d{3}:\d\d:\d\d \d\d:\d\d:\d\d")


def capture_times(sources: list[ImageSource]) -> list[str] | None:
    """Times that sort photographs from the oldest to the newest; None unless every file has one.

    Cameras write seconds, some of them with a fraction: photographs of one second may share a time.
    """
    found = []
    for source in sources:  # a loop: most sets have none, which the first file shows
        time = _capture_time(source)
        if time is None:
            return None
        found.append(time)
    return found


def _capture_time(source: ImageSource) -> str | None:
    content = source.content
    if not isinstance(content, (Path, bytes)):
        return None
    try:
        with opened(source.name, content) as image:
            # Pillow would decode a PNG in search of EXIF data that follow its pixels.
            if image.format == "PNG" and "exif" not in image.info:
                return None
            tags = image.getexif()
            details = tags.get_ifd(EXIF_IFD)
            return _time(details.get(ORIGINAL) or tags.get(CHANGED), details.get(FRACTION))
    except Exception:  # parsers raise many types on damaged data
        return None


def _time(time: Any, fraction: Any) -> str | None:
    """Join seconds and their fraction.

    >>> _time("2026:03:01 09:30:05", "25"), _time("0000:00:00 00:00:00", None)
    ('2026:03:01 09:30:05.25', None)
    """
    if not isinstance(time, str) or not _TIME.match(time):
        return None
    digits = fraction.strip("\0 ") if isinstance(fraction, str) else ""
    return f"{time[:19]}.{digits if digits.isdigit() else '0'}"
