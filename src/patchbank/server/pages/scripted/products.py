"""Messages of the pages of products and their detectors."""

from __future__ import annotations

from patchbank.server.pages.scripted import setup

WORDS = {
    **setup.PROGRESS,
    "cancelled": "Cancelled.",
    "failed": "This did not work: {reason}",
    "activated": "In use: the detector of {time}. Threshold {threshold}.",
    "undone": "Undone. Threshold {threshold}.",
    "uploaded": "In use: the detector that was sent. Threshold {threshold}.",
    "undo_of": "Undo: {what}",
    "go_back": "Go back to No. {n}: {what}",
    "one_photograph": "1 photograph",
    "n_photographs": "{n} photographs",
    "unchanged": "Nothing has changed: it was in use already.",
}
