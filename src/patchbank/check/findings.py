"""Findings about a set of photographs, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from patchbank.images.source import ImageSource

FindingKind: TypeAlias = Literal[
    "unreadable",
    "skipped",
    "exact_copies",
    "near_copies",
    "shared_with_test",
    "conflicting_labels",
    "size",
    "mode",
    "bit_depth",
    "format",
    "compression",
    "black",
    "one_colour",
    "saturated",
    "blurred",
    "unlike_others",
    "wrong_part",
]
KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
"""All kinds, in the order in which findings are listed."""
LEAVE_OUT = "leave them out (--exclude NAME), or remove them"
TITLES: Mapping[FindingKind, tuple[str, str]] = {
    "unreadable": (
        "cannot be read",
        "repair or remove them; --skip-unreadable fits without them",
    ),
    "skipped": (
        "skipped: of a kind of file that is not read",
        "convert them to PNG, or remove them",
    ),
    "exact_copies": (
        "the same to the pixel as another one",
        "keep one of each group; a fit leaves copies out together",
    ),
    "near_copies": (
        "edited copies of another one, or the same part in the same place again",
        "keep one of each group; a fit leaves copies out together",
    ),
    "shared_with_test": (
        "in the training set and in the test set",
        "remove them from one of the two: the test would be easier than reality",
    ),
    "conflicting_labels": (
        "good in one place and a defect in another",
        "decide which one is right, and remove the other",
    ),
    "size": ("of another size than most", "photograph them as the others, or leave them out"),
    "mode": ("of another mode than most", "store them as the others, or leave them out"),
    "bit_depth": (
        "of another bit depth than most",
        "store them as the others, or leave them out",
    ),
    "format": ("of another file format than most", "store all as the camera will deliver them"),
    "compression": (
        "compressed unlike most",
        "copy them from the camera again, compressed as the others",
    ),
    "black": ("black, or nearly", LEAVE_OUT),
    "one_colour": ("of one colour", LEAVE_OUT),
    "saturated": ("overexposed", LEAVE_OUT),
    "blurred": ("more blurred than the others", LEAVE_OUT),
    "unlike_others": (
        "unlike the others in a place: probably defects",
        "decide about each: leave a defect out (--exclude NAME), learn more of rare good parts",
    ),
    "wrong_part": (
        "unlike the others as a whole: another part or another camera",
        "decide about each, and leave out what does not belong (--exclude NAME)",
    ),
}
"""Title and advice of each kind."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Photographs with one thing in common that is likely to be a mistake."""

    kind: FindingKind
    details: Mapping[str, str]
    """Name of each photograph, or file -> what is said about it, which may be empty."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Names that belong together: copies."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all photographs."""
        return tuple(self.details)

    @property
    def title(self) -> str:
        """The finding in words, as the end of a sentence."""
        return TITLES[self.kind][0]

    @property
    def advice(self) -> str:
        """The advice for its kind."""
        return TITLES[self.kind][1]

    @classmethod
    def of_groups(cls, kind: FindingKind, groups: Iterable[tuple[str, ...]]) -> Finding:
        """A finding about groups of copies."""
        listed = tuple(groups)
        return cls(kind, {name: "" for group in listed for name in group}, listed)

    def to_json(self) -> dict[str, Any]:
        """The object in the JSON of `patchbank check`."""
        photographs = [{"name": name, "detail": text} for name, text in self.details.items()]
        return {
            "kind": self.kind,
            "title": self.title,
            "advice": self.advice,
            "photographs": photographs,
            "groups": [list(group) for group in self.groups],
        }


@dataclass(frozen=True, slots=True)
class PhotographCheck:
    """Result of `check_photographs`."""

    n_good: int
    """Photographs to learn from, those that cannot be read among them."""
    n_test: int
    """Photographs of the test set; 0 without one."""
    findings: tuple[Finding, ...]
    """In the order of `KINDS`; none of a kind that nothing was found of."""
    notes: tuple[str, ...]
    """Lines that accuse nobody: what the set consists of, what was not checked and why."""
    sources: Mapping[str, ImageSource] = field(repr=False)
    """The photographs by their names, to be drawn."""

    @property
    def accused(self) -> set[str]:
        """Names of all photographs and files that a finding is about."""
        return {name for finding in self.findings for name in finding.names}

    def finding(self, kind: FindingKind) -> Finding | None:
        """The finding of a kind; None if there is none."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def to_json(self) -> dict[str, Any]:
        """The object that `patchbank check --json` writes; no list is cut off."""
        return {
            "schema_version": SCHEMA_VERSION,
            "good_photographs": self.n_good,
            "test_photographs": self.n_test,
            "findings": [finding.to_json() for finding in self.findings],
            "notes": list(self.notes),
        }


SCHEMA_VERSION = 1
"""Version of `docs/schemas/check.schema.json`."""
