"""Messages that the page of a threshold shows, by the keys under which its script finds them."""

from __future__ import annotations

WORDS = {
    "failed": "This did not work: {reason}",
    "left_out_scores": "Learned good photographs: {number}",
    "recent": "Latest parts: {number}",
    "confirmed_defect": "Confirmed defect",
    "false_alarm": "False alarm",
    "undecided": "NG, not reviewed",
    "good": "OK",
    "more": "and above",
    "not_comparable": "Left out: {number} that another detector inspected.",
    "unread": "Left out: {number} that could not be read.",
    "of_present": "{share} of the present threshold, {present}.",
    "shifts": "Parts in a shift: the median of the last {days} days, by the shifts that parts name "
    "({number}).",
    "hours": "Parts in a shift: eight times the median hour of the last {days} days (hours with "
    "parts: {number}).",
    "nothing": "Parts in a shift: no part came in the last {days} days; enter your own number.",
    "flagged": "Flagged",
    "found": "Confirmed defects found",
    "alarms": "Known false alarms",
    "open": "Not reviewed",
    "missed": "Confirmed defects missed",
    "expected": "Good parts expected to be flagged",
    "of_all": "{parts} of {all}",
    "unknown": "not known",
    "less_than": "less than {share}",
    "summary": "Threshold {threshold}, false alarms expected {rate}; in a shift {flagged} flagged, "
    "{found} defects found, {missed} missed.",
    "extrapolated": "Beyond what the learned photographs can tell: {number} independent ones show "
    "false-alarm rates down to {share}. The rate here is extrapolated from the spread of their "
    "scores.",
    "rate_unknown": "One photograph was learned: how many good parts are flagged is not known.",
    "few_reviews": "Few reviews: {number} of the latest parts are confirmed as defects or false "
    "alarms. Review more of them before you rely on found and missed.",
    "no_defects": "None of the latest parts is a confirmed defect: what would be missed is not "
    "known.",
    "no_parts": "None of the latest parts can be compared.",
    "by_hand": "Set by hand, to {threshold}: expected {share}, no bound.",
    "by_rate": "Expected {share}, at most {most} on average.",
    "by_rate_alone": "Expected {share}.",
    "proved": "Threshold {threshold}. At most {most} of good parts are flagged on average, "
    "whatever they look like.",
    "about": "Threshold {threshold}. About {most} of good parts are flagged at most on average, "
    "whatever they look like (proved for one memory bank only).",
    "no_bound": "Threshold {threshold}. What is expected follows from the scores of the learned "
    "good photographs; no bound is promised for a threshold that is set by hand.",
    "present_bound": "Threshold {threshold}. What is expected follows from the scores of the "
    "learned good photographs.",
    "unchanged": "The present threshold: expected {share}.",
    "applied": "Applied: the threshold is {threshold}.",
    "undone": "Undone: the threshold is {threshold}.",
    "served": "began with",
    "uploaded": "detector uploaded",
    "activated": "detector activated",
    "tuned": "threshold changed",
    "updated": "learned more",
    "restored": "change undone",
    "replaced": "file replaced",
}
