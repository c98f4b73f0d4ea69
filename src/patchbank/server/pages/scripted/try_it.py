"""Messages that the page of trials shows, by the keys under which its script finds them."""

from __future__ import annotations

WORDS = {
    "ok": "OK",
    "ng": "NG",
    "unread": "UNREAD",
    "busy": "{name} is inspected …",
    "not_inspected": "Not inspected: {reason}",
    "too_large": "{name} has {bytes}; this service accepts {most} at most.",
    "no_file": "There is no file in what was dropped or pasted.",
    "first_of": "{number} files came: only {name} is shown.",
    "share": "score {share} of the threshold",
    "chance": "About {number} of 1,000 good parts look this odd or odder.",
    "no_chance": "Fewer than 1 of 1,000 good parts look this odd.",
    "unknown_chance": "How many good parts look this odd is not known: one photograph was learned.",
    "before": "{share} of the photograph without the map",
    "spot": "Spot {number}",
    "spot_times": "Spot {number}: {times} times as odd as the oddest spot of a good part usually "
    "is",
    "crop_alone": "Spot {number} of this part",
    "no_good": "There is no picture of a good part to compare with: the file of the "
    "detector has no small pictures of its photographs. A detector "
    "that is set up anew has them.",
    "crop": "Spot {number} of this part, next to the most similar spots of good parts",
    "file": "File",
    "bytes": "Size of the file",
    "pixels": "Width and height",
    "kind": "Kind",
    "changed": "Last changed",
    "product": "Product",
    "pixel_size": "{width} \N{MULTIPLICATION SIGN} {height} pixels",
    "recorded": "Recorded as part {number}: {verdict}",
    "not_recorded_now": "Not recorded: {reason}",
}
