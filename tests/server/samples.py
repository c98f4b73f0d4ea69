"""Inspections for tests of what follows them: as the service records them, without a detector."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

from patchbank.server.records.entries import Fields, NewInspection

DETECTOR = "9f" * 32
MOMENT = datetime(2026, 3, 1, 8, 30, tzinfo=timezone.utc)
REGION = {"left": 12, "top": 9, "width": 29, "height": 31, "area": 702, "score": 25.4}


def result(image: str, verdict: str) -> dict:
    """The object of `patchbank predict --json`."""
    facts = {
        "good": (7.5, 0.4, 11.84, False, [], None),
        "anomalous": (23.01, 0.0769, 11.84, True, [REGION], None),
        "unread": (None, None, None, None, None, f"{image}: expected an image, got text"),
    }
    score, p_value, threshold, anomalous, regions, error = facts[verdict]
    return {
        "schema_version": 1,
        "version": "0.1.0",
        "detector_sha256": DETECTOR,
        "image": image,
        "size": None if error else [104, 72],
        "score": score,
        "p_value": p_value,
        "threshold": threshold,
        "anomalous": anomalous,
        "regions": regions,
        "unlike": None if error else [],
        "error": error,
        "error_type": "ImageError" if error else None,
    }


def inspection(
    number: int, *, verdict: str = "good", product: str = "bolts", **others
) -> NewInspection:
    """One that has not been recorded yet; its number is its serial number."""
    name = f"{number:05d}.png"
    given = {
        "time": MOMENT,
        "product": product,
        "fields": Fields(serial_number=str(number)),
        "result": result(name, verdict),
        "photograph_sha256": hashlib.sha256(name.encode()).hexdigest(),
        "source": "http",
        "by": "local",
    }
    return NewInspection(**{**given, **others})
