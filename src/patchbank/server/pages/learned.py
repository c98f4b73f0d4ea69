"""States that a detector had since its fit, as the page of its product lists them."""

from __future__ import annotations

from typing import Any

from patchbank.detector.lineage.chain import Lineage


def states(lineage: Lineage) -> list[dict[str, Any]]:
    """Entries of a history, newest first, each with what can be done about its state.

    ``is_now`` marks the state that is in use.  An undo makes no state of its own: its entry has
    the number of the restored one as ``same_as``.  ``restorable`` says whether the file still has
    the state, whichever entry brought it about.
    """
    possible, present = set(lineage.restorable), lineage.position
    return [
        {
            **entry.to_json(),
            "is_now": entry.number == present,
            "same_as": entry.position if entry.position != entry.number else None,
            "restorable": entry.position in possible and entry.position != present,
            "is_lost": entry.position not in possible and entry.position != present,
        }
        for entry in reversed(lineage.entries)
    ]


def last_change(lineage: Lineage) -> dict[str, Any] | None:
    """The entry of the change that an undo takes back; None where there is none."""
    for delta in reversed(lineage.deltas):
        entry = lineage.entries[delta.later]
        if entry.kind != "format":
            return entry.to_json()
    return None
