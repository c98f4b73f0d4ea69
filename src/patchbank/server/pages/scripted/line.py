"""Messages that the operator's screen shows, by the keys under which its script finds them."""

from __future__ import annotations

WORDS = {
    "ok": "OK",
    "ng": "NG",
    "unread": "UNREAD",
    "not_live": "NOT LIVE",
    "waiting": "READY",
    "first_part": "Waiting for the first part",
    "share": "score {share} of the threshold",
    "could_not_be_read": "Could not be inspected: not a good part",
    "no_number": "no serial number",
    "since": "No connection since {time}. It is tried again by itself.",
    "not_recorded": "The service does not record since {time}.",
    "last_part": "Last part: {part}, {time}",
    "yesterday": "yesterday {time}",
    "earlier": "Earlier part",
    "missed": "While the screen was not live",
    "false_alarm": "False alarm",
    "confirmed_defect": "Confirmed defect",
    "unsure": "Unsure",
    "defect": "This is a defect",
    "counts": "{inspected} parts · {ng} NG ({share}) · {unread} unread",
    "today": "Today",
    "shift": "Shift {name}",
    "live": "live",
    "connecting": "connecting",
    "no_picture": "The photograph is not kept.",
    "no_good": "There is no picture of a good part to compare with: the file of the "
    "detector has no small pictures of its photographs. A detector "
    "that is set up anew has them.",
    "reviewed": "{part}: {decision}",
    "withdrawn": "{part}: review withdrawn",
    "failed": "Not recorded: {reason}",
    "sound_waits": "Sound is on: touch the screen once, so that the browser allows it.",
    "next": "Next: {number} more",
    "acknowledge": "Acknowledge",
    "just_came": "A new part has just come: press again.",
}
