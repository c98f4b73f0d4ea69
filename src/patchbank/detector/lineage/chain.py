"""The history of a detector: a chain of entries, and the ways back to earlier states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from patchbank.detector.lineage.delta import Delta, delta_of, restored
from patchbank.detector.lineage.entry import (
    MOST_NAMED,
    Added,
    Edit,
    Entry,
    Limits,
    canonical,
    now,
    program_version,
)
from patchbank.detector.lineage.state import State
from patchbank.errors import DetectorFileError, ParameterError

BUDGET = 0.5
"""Size of all ways back together, as a multiple of the rest of the file: the oldest go first, so
that a file stays flat however often it is changed.  The newest one always stays."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Entries from the fit on, and the deltas that lead back from the last state.

    Entries are only ever added.  An undo adds one too, and uses up the deltas that it goes back by.
    """

    entries: tuple[Entry, ...]
    deltas: tuple[Delta, ...] = ()
    """Oldest first; the last one leads back from the present state."""
    opened: State | None = None
    """The state as it was read, where this version of the program writes the same detector in
    another form, with keys of its own; None where both are equal."""

    @property
    def head(self) -> str:
        """Hash of the last entry: whoever notes it elsewhere can recognise the history again."""
        return self.entries[-1].hash

    @property
    def position(self) -> int:
        """Number of the entry that made the present state."""
        return self.entries[-1].position

    @property
    def restorable(self) -> tuple[int, ...]:
        """Numbers of the entries whose states can be restored, oldest first."""
        return tuple(delta.earlier for delta in self.deltas)

    def settled(self, state: State) -> Lineage:
        """The history of the present state, given as this version of the program writes it."""
        if self.opened is None:
            return self
        last = self.entries[-1]
        edit = Edit("format")
        entry = self._next(edit, (last.after, last.after), state)
        delta = delta_of(self.opened, state, (self.position, entry.number))
        return Lineage((*self.entries, entry), (*self.deltas, delta))

    def of_state(self, state: State) -> Lineage:
        """The history as it is saved together with a state.

        Raises:
            ParameterError: the last entry made another state.
        """
        settled = self.settled(state)
        if not state.is_of(settled.entries[-1].state):
            raise ParameterError(
                "lineage: expected the state that the last entry made, got a detector that was "
                "changed without an entry; call `recorded`"
            )
        return settled

    def read_as(self, read: State, written: State) -> Lineage:
        """The history of a state that was read, with what this version of the program writes."""
        return replace(self, opened=None if read.is_same(written) else read)

    def appended(
        self,
        edit: Edit,
        limits: tuple[Limits, Limits],
        states: tuple[State, State],
        budget_bytes: float,
    ) -> Lineage:
        """The history with one more change.

        Args:
            edit: that was made.
            limits: thresholds before and after.
            states: before and after; the first one is that of this history.
            budget_bytes: size of all deltas but the newest that fits.
        """
        entry = self._next(edit, limits, states[1])
        entries = (*self.entries, entry)
        if edit.kind == "cut":  # the smaller file would hold all that was cut away
            return Lineage(entries)
        delta = delta_of(*states, (self.position, entry.number))
        return Lineage(entries, _within((*self.deltas, delta), budget_bytes))

    def _next(self, edit: Edit, limits: tuple[Limits, Limits], state: State) -> Entry:
        return Entry(
            number=len(self.entries),
            time=edit.time or now(),
            kind=edit.kind,
            by=edit.by,
            reason=edit.reason,
            n_added=len(edit.added),
            added=edit.added[:MOST_NAMED],
            before=limits[0],
            after=limits[1],
            forced=edit.forced,
            version=program_version(),
            state=state.digest,
            previous=self.head,
        )

    def target(self, to: int | None) -> int:
        """Number of the entry whose state an undo restores.

        Args:
            to: number of an entry; None for the state before the last change.

        Raises:
            ParameterError: there is no such entry, its state is the present one, or it cannot be
                restored any more.
        """
        possible = self.restorable
        if to is None:
            for delta in reversed(self.deltas):
                if self.entries[delta.later].kind != "format":
                    return delta.earlier
            raise ParameterError(f"to: expected an earlier state, got none; {self._why_none()}")
        if not 0 <= to < len(self.entries):
            raise ParameterError(
                f"to: expected an entry from 0 to {len(self.entries) - 1}, got {to}; "
                "`patchbank history` lists them"
            )
        number = self.entries[to].position
        if number == self.position:
            raise ParameterError(f"to: expected an earlier state, got {to}, the present one")
        if number not in possible:
            found = f"one of {', '.join(map(str, possible))}" if possible else "none"
            raise ParameterError(
                f"to: expected an entry whose state the file still has ({found}), got {to}; "
                "open a copy of the file from that time"
            )
        return number

    def _why_none(self) -> str:
        if self.position == 0:
            return "the detector is as it was fitted"
        return "the file has no older state any more; open a copy of the file from that time"

    def state_at(self, number: int, present: State) -> State:
        """An earlier state, which is compared with the digest in its entry.

        Args:
            number: that `target` returned.
            present: the present state, as it was read or written.

        Raises:
            DetectorFileError: a delta was altered.
        """
        state = present
        for delta in reversed(self.deltas):
            state = restored(delta, state)
            if not state.is_of(self.entries[delta.earlier].state):
                raise DetectorFileError(
                    f"lineage: expected the state after entry {delta.earlier}, got another one; "
                    "the history was altered: open a copy of the file from before"
                )
            if delta.earlier == number:
                return state
        raise ParameterError(f"to: expected one of {self.restorable}, got {number}")

    def undone(self, number: int, edit: Edit, before: Limits) -> Lineage:
        """The history after an undo, whose entry has the state and thresholds of the restored one.

        Args:
            number: that `target` returned.
            edit: of kind ``undo``.
            before: thresholds before the undo.
        """
        aim = self.entries[number]
        entry = Entry(
            number=len(self.entries),
            time=edit.time or now(),
            kind=edit.kind,
            by=edit.by,
            reason=edit.reason,
            before=before,
            after=aim.after,
            forced=edit.forced,
            restored=number,
            version=program_version(),
            state=aim.state,
            previous=self.head,
        )
        kept = tuple(delta for delta in self.deltas if delta.later <= number)
        return Lineage((*self.entries, entry), kept)

    def summary(self) -> dict[str, Any]:
        """The history as `patchbank info` has it."""
        return {"entries": len(self.entries), "position": self.position, "head": self.head}

    def to_json(self) -> dict[str, Any]:
        """The history as `patchbank history --json` prints it, without the ways back."""
        possible = set(self.restorable)
        return {
            "position": self.position,
            "head": self.head,
            "entries": [
                {**entry.to_json(), "hash": entry.hash, "restorable": entry.number in possible}
                for entry in self.entries
            ],
        }


def begun(
    fitted_on: Sequence[str],
    digests: Sequence[str] | None,
    limits: Limits,
    state: State,
    version: str,
) -> Lineage:
    """The history of a detector that was never changed since its fit: the entry of the fit.

    Args:
        fitted_on: names of the photographs.
        digests: of each photograph; None where they are not known.
        limits: its thresholds.
        state: what it has learned.
        version: of the program that fitted it.
    """
    known: Sequence[str | None] = digests if digests is not None else [None] * len(fitted_on)
    added = tuple(Added(*pair) for pair in zip(fitted_on, known, strict=True))
    entry = Entry(
        number=0,
        time=None,
        kind="fit",
        n_added=len(added),
        added=added[:MOST_NAMED],
        after=limits,
        version=version,
        state=state.digest,
        previous=None,
    )
    return Lineage((entry,))


def _within(deltas: tuple[Delta, ...], budget_bytes: float) -> tuple[Delta, ...]:
    """The newest deltas that are together no larger than the budget, and the last one anyway."""
    total = 0
    for number in range(len(deltas) - 1, -1, -1):
        total += deltas[number].n_bytes
        if total > budget_bytes and number < len(deltas) - 1:
            return deltas[number + 1 :]
    return deltas


def size_of(tensors: Mapping[str, Any], record: Mapping[str, Any]) -> int:
    """Size of the content of a file without its history, in bytes."""
    n_bytes: int = sum(tensor.nbytes for tensor in tensors.values())
    return n_bytes + len(canonical(record))
