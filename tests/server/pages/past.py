"""Inspections of the last days, for pages that show many of them."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime, timedelta, timezone

from patchbank.server.records.entries import Fields, NewInspection
from tests.server.samples import DETECTOR

SIZE = [360, 240]  # width x height
THRESHOLD = 12.0
NICK = (230, 60)
"""Position, from the left and the top, around which most regions are."""


def inspected(
    number: int,
    time: datetime,
    *,
    share: float,
    detector: str = DETECTOR,
    threshold: float = THRESHOLD,
    **fields,
) -> NewInspection:
    """A part of a share of the threshold; one above it has a region near the nick."""
    rng, name = random.Random(number), f"{number:05}.png"
    is_odd = share > 1
    left, top = NICK if rng.random() < 0.7 else (rng.randrange(300), rng.randrange(200))
    region = {"left": left, "top": top, "width": 40, "height": 30, "area": 700, "score": 14.5}
    return NewInspection(
        time=time,
        product="bolts",
        fields=Fields(**fields),
        result={
            "schema_version": 1,
            "version": "0.1.0",
            "detector_sha256": detector,
            "image": name,
            "size": SIZE,
            "score": share * threshold,
            "p_value": 0.01 if is_odd else 0.5,
            "threshold": threshold,
            "anomalous": is_odd,
            "regions": [region] if is_odd else [],
            "unlike": [],
            "error": None,
            "error_type": None,
        },
        photograph_sha256=hashlib.sha256(name.encode()).hexdigest(),
        source="watch",
        by="press-1",
    )


def days(
    number: int, *, until: datetime, each: int = 60, bad_day: int = 3, **more
) -> list[NewInspection]:
    """So many days of parts: a lot a day, three shifts; one day has four times as many NG."""
    rng, found = random.Random(0), []
    for back in range(number - 1, -1, -1):
        day = until - timedelta(days=back, microseconds=1)  # midnight ends the day before
        begin = day.replace(hour=6, minute=0, second=0, microsecond=0)
        rate = 0.24 if back == bad_day else 0.06
        for at in range(each):
            shift = ("early", "late", "night")[3 * at // each]
            share = rng.uniform(1.05, 1.9) if rng.random() < rate else rng.uniform(0.3, 0.95)
            found.append(
                inspected(
                    len(found),
                    begin + timedelta(seconds=at * 3600 * 16 // each),
                    share=share,
                    serial_number=f"{back:02}-{at:04}",
                    lot=f"L{number - back}",
                    shift=shift,
                    station="press 1",
                    **more,
                )
            )
    return [one for one in found if one.time < until]


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(timezone.utc)
