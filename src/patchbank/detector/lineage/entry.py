"""Entries of the history of a detector, each with the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from patchbank.errors import ParameterError

KINDS = ("fit", "update", "normal", "threshold", "cut", "remember", "undo", "format")
"""Kinds of entries.  A newer program may write others, which are shown as they are.

``fit`` is what the file began with; ``update`` learned further good photographs; ``normal`` learned
what a person said to be normal; ``threshold`` and ``cut`` changed a threshold and the size of the
bank; ``remember`` added defects that later updates have to find; ``undo`` restored an earlier
state; ``format`` is the same detector as another version of the program writes it.
"""
MOST_NAMED = 200
"""Photographs that an entry names at most; all are counted."""
LONGEST_REASON, LONGEST_NAME = 2000, 200
"""Characters of a reason, and of the name of a person."""
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Added:
    """A photograph that a change learned."""

    name: str
    digest: str | None = None
    """`images.digest.pixel_digest` in hexadecimal digits; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Forced:
    """A check that was overridden."""

    reason: str
    """Reason that the person gave."""
    lost: tuple[str, ...] = ()
    """Names of what was lost by it, such as defects that are not found any more."""
    n_lost: int = 0
    """Number of them, of which `lost` may name the first ones only."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a detector that is to be recorded.

    Raises:
        ParameterError: another kind, or a text that is too long.

    >>> Edit("update", reason="new supplier", by="Eva").kind
    'update'
    >>> Edit("update", reason="why" * 999)
    Traceback (most recent call last):
    patchbank.errors.ParameterError: reason: expected at most 2,000 characters, got 2,997
    """

    kind: str
    reason: str = ""
    by: str = ""
    """Person or program that made the change, in words of the user."""
    added: tuple[Added, ...] = ()
    """All photographs that were learned by it."""
    forced: Forced | None = None
    time: str | None = None
    """UTC, as ``2026-11-26T13:08:37Z``; None is now."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS[1:]:
            raise ParameterError(
                f"kind: expected one of {', '.join(KINDS[1:])}, got {self.kind[:60]!r}"
            )
        for name, text, most in (
            ("reason", self.reason, LONGEST_REASON),
            ("by", self.by, LONGEST_NAME),
        ):
            if len(text) > most:
                raise ParameterError(
                    f"{name}: expected at most {most:,} characters, got {len(text):,}"
                )


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of a detector."""

    threshold: float
    pixel_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change of a detector, or the fit that it began with."""

    number: int
    """Place in the history, from 0."""
    time: str | None
    """UTC; None where it is not known, as of the fit of a file that does not say it."""
    kind: str
    by: str = ""
    reason: str = ""
    n_added: int = 0
    """Number of photographs that were learned."""
    added: tuple[Added, ...] = ()
    """The first `MOST_NAMED` of them."""
    before: Limits | None = None
    """Thresholds before; None of a fit."""
    after: Limits
    forced: Forced | None = None
    restored: int | None = None
    """Number of the entry whose state an undo restored."""
    version: str
    """Version of the program."""
    state: str
    """`State.digest` after the change."""
    previous: str | None
    """`Entry.hash` of the entry before; None of the first."""
    further: Mapping[str, Any] = field(default_factory=dict)
    """Keys that a newer program has written."""

    @property
    def position(self) -> int:
        """Number of the entry that made the state: another one only after an undo."""
        return self.number if self.restored is None else self.restored

    @property
    def hash(self) -> str:
        """SHA-256 of the entry as JSON with sorted keys."""
        return hashlib.sha256(canonical(self.to_json()).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The entry as it is stored, and hashed."""
        return {
            **self.further,
            "number": self.number,
            "time": self.time,
            "kind": self.kind,
            "by": self.by,
            "reason": self.reason,
            "n_added": self.n_added,
            "added": [{"name": one.name, "digest": one.digest} for one in self.added],
            "before": _limits_json(self.before),
            "after": _limits_json(self.after),
            "forced": _forced_json(self.forced),
            "restored": self.restored,
            "version": self.version,
            "state": self.state,
            "previous": self.previous,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Entry:
        """The entry of `to_json`, whose keys and types were checked."""
        known = {name: stored[name] for name in PLAIN_KEYS}
        before, after, forced = stored["before"], stored["after"], stored["forced"]
        return cls(
            **known,
            added=tuple(Added(one["name"], one["digest"]) for one in stored["added"]),
            before=None if before is None else Limits(**before),
            after=Limits(**after),
            forced=None
            if forced is None
            else Forced(forced["reason"], tuple(forced["lost"]), forced["n_lost"]),
            further={key: value for key, value in stored.items() if key not in KEYS},
        )


PLAIN_KEYS = (
    *("number", "time", "kind", "by", "reason", "n_added"),
    *("restored", "version", "state", "previous"),
)
KEYS = (*PLAIN_KEYS, "added", "before", "after", "forced")


def now() -> str:
    """The time in UTC, to the second.

    >>> len(now())
    20
    """
    return datetime.now(timezone.utc).strftime(TIME)


def program_version() -> str:
    """Version of this program."""
    return version("patchbank")


def canonical(content: Any) -> str:
    """JSON in ASCII with sorted keys: one text for one content."""
    return json.dumps(content, sort_keys=True)


def _limits_json(limits: Limits | None) -> dict[str, float] | None:
    if limits is None:
        return None
    return {"threshold": limits.threshold, "pixel_threshold": limits.pixel_threshold}


def _forced_json(forced: Forced | None) -> dict[str, Any] | None:
    if forced is None:
        return None
    return {"reason": forced.reason, "lost": list(forced.lost), "n_lost": forced.n_lost}
