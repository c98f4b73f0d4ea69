"""Words of the table that is exported from the history, by the keys of its columns and values."""

from __future__ import annotations

WORDS = {
    "time": "Time ({zone})",
    "product": "Product",
    "serial_number": "Serial number",
    "lot": "Lot",
    "shift": "Shift",
    "station": "Station",
    "verdict": "Verdict",
    "score": "Score (% of the threshold)",
    "p_value": "p-value",
    "review": "Reviewed as",
    "reviewer": "Reviewed by",
    "note": "Note",
    "number": "Number on record",
    "good": "OK",
    "anomalous": "NG",
    "unread": "UNREAD",
    "confirmed_defect": "Confirmed defect",
    "false_alarm": "False alarm",
    "unsure": "Unsure",
}
