"""Messages of the pages of products and their detectors."""

from __future__ import annotations

from patchbank.server.pages.scripted import setup

WORDS = {
    **setup.STEPS,
    **{
        key: setup.WORDS[key]
        for key in ("waiting", "starting", "steps", "cancelled", "failed", "no_answer")
    },
    "activated": "In use: the detector of {time}. Threshold {threshold}.",
    "undone": "Undone. Threshold {threshold}.",
    "uploaded": "In use: the detector that was sent. Threshold {threshold}.",
    "unchanged": "Nothing has changed: it was in use already.",
}
