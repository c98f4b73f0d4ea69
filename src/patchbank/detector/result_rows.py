"""Results as rows of a table: the columns of `patchbank predict --csv` and ``--parquet``."""

from __future__ import annotations

from typing import TypeAlias

from patchbank.detector.inspection import FailedInspection, Inspection

TEXT, NUMBER, INTEGER = "text", "number", "integer"
COLUMNS = {
    "image": TEXT,
    "verdict": TEXT,
    "score": NUMBER,
    "threshold": NUMBER,
    "p_value": NUMBER,
    "width": INTEGER,
    "height": INTEGER,
    "regions": INTEGER,
    "worst_left": INTEGER,
    "worst_top": INTEGER,
    "worst_width": INTEGER,
    "worst_height": INTEGER,
    "worst_area": INTEGER,
    "worst_score": NUMBER,
    "error": TEXT,
    "detector_sha256": TEXT,
    "unlike": TEXT,
    "product": TEXT,
}
"""Kind of each column, by its name."""
GOOD, ANOMALOUS, UNREAD, UNKNOWN = "good", "anomalous", "unread", "unknown"

Cell: TypeAlias = str | int | float | None
"""A value; None where nothing is known."""


def row_of(outcome: Inspection | FailedInspection, detector_sha256: str) -> dict[str, Cell]:
    """The row of one photograph, by the names of the columns.

    Args:
        outcome: of the photograph.
        detector_sha256: of the detector; that of a router is in its outcome.
    """
    route = outcome.route
    known: dict[str, Cell] = dict.fromkeys(COLUMNS)
    known |= {
        "image": outcome.image,
        "detector_sha256": detector_sha256 if route is None else route.detector_sha256,
        "product": None if route is None else route.product,
    }
    if isinstance(outcome, FailedInspection):
        return known | {"verdict": UNREAD if route is None else UNKNOWN, "error": outcome.error}
    known |= {
        "verdict": ANOMALOUS if outcome.is_anomalous else GOOD,
        "score": outcome.score,
        "threshold": outcome.threshold,
        "p_value": outcome.p_value,
        "width": outcome.size[0],
        "height": outcome.size[1],
        "regions": len(outcome.regions),
        "unlike": "; ".join(map(str, outcome.unlike)) or None,
    }
    if outcome.regions:
        worst = outcome.regions[0]
        known |= {
            "worst_left": worst.left,
            "worst_top": worst.top,
            "worst_width": worst.width,
            "worst_height": worst.height,
            "worst_area": worst.area,
            "worst_score": worst.score,
        }
    return known
