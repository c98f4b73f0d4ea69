"""Messages of the pages on which a product is set up."""

from __future__ import annotations

STEPS = {
    "copying": "Copying photographs",
    "reading photographs": "Reading photographs",
    "checking photographs": "Reading photographs",
    "reading good images": "Looking closely",
    "reading values of 16 bits": "Reading photographs",
    "choosing settings": "Trying settings",
    "selecting the bank": "Learning",
    "looking for parts": "Learning",
    "learning positions": "Learning",
    "training": "Learning",
    "calibrating": "Finding the threshold",
    "calibrating the maps": "Finding the threshold",
    "saving": "Saving",
    "inspecting": "Inspecting with both",
}
"""Messages by the titles of tasks of the library."""
PROGRESS = {
    **STEPS,
    "waiting": "Waiting for other work to end",
    "starting": "Starting",
    "steps": "{done} of {total}",
    "no_answer": "The service does not answer. It is asked again.",
}
"""Messages about the progress of a job."""
WORDS = {
    **PROGRESS,
    "sending": "Sending: {done} of {total}",
    "added": "{added} added",
    "known": "{known} were there already",
    "refused": "{refused} refused",
    "too_large": "{name}: larger than the service takes",
    "unsent": "Stopped: {done} of {total} were sent. {reason}",
    "photographs": "{learned} photographs to learn from, {left_out} left out",
    "needed": "To tell this rate takes at least {needed} different photographs; there are {there}.",
    "fit_done": "The fit is done: see what it has learned.",
    "now_in_use": "{product} is in use",
    "exists": "{product} exists already: fit a new detector for it?",
    "name_rule": "Letters, digits, dots, hyphens and underscores: try {name}",
    "leave_out": "Leave out",
    "take_in": "Take in again",
    "delete": "Delete",
    "show_large": "Show {name} in full",
    "unreadable": "cannot be read",
    "trying": "The photograph is inspected",
    "ok": "OK",
    "ng": "NG",
    "share": "score {share} of the threshold",
}
