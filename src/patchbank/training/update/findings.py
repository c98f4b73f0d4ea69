"""Findings of the guard of an update, in words: which defects would be lost, and by what."""

from __future__ import annotations

from dataclasses import dataclass, field

from patchbank.detector.explanation.explained import Explanation
from patchbank.detector.inspection import Inspection
from patchbank.images.folders import few

SHOWN = 5
"""Defects that a line names at most."""


@dataclass(frozen=True, slots=True)
class LostDefect:
    """A defect that was found before the update, and would not be found after it."""

    name: str
    before: tuple[float, float]
    """Score and threshold."""
    after: tuple[float, float]
    """Score and threshold after the update; of a remembered defect a bound of the score."""
    cause: str = ""
    """Reason why it would be lost, as far as that is known."""
    inspection: Inspection | None = None
    """The inspection before; None of a remembered defect, whose photograph is not at hand."""
    explanation: Explanation | None = None
    """The odd spots, and the patches nearest to them after the update: of the new photographs
    alone where some are; None where it cannot be explained."""

    @property
    def line(self) -> str:
        """The defect with its scores, and what hides it."""
        return f"{self.name}: {self.text}"

    @property
    def text(self) -> str:
        """The line without the name."""
        (score, threshold), (new_score, new_threshold) = self.before, self.after
        cause = f"; {self.cause}" if self.cause else ""
        return (
            f"score {score:.4g} above {threshold:.4g} before, {new_score:.4g} not above "
            f"{new_threshold:.4g} after{cause}"
        )


@dataclass(slots=True)
class GuardFindings:
    """Findings of the guard, for its caller to show."""

    n_checked: int = 0
    """Defects that were found before the update, and looked for after it."""
    lost: list[LostDefect] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Names of defects that were not found before the update either."""
    unread: list[str] = field(default_factory=list)
    """Errors of photographs that could not be inspected."""

    @property
    def is_passed(self) -> bool:
        """Whether every defect could be looked for, and none would be lost."""
        return not self.lost and not self.unread

    @property
    def line(self) -> str:
        """Sentence about what was looked for; empty where that was nothing."""
        if not self.n_checked:
            return ""
        if self.lost:
            return f"{len(self.lost)} of {self.n_checked:,} defects found before are lost (forced)"
        if self.n_checked == 1:
            return "the defect found before is still found"
        return f"all {self.n_checked:,} defects found before are still found"

    @property
    def missed_line(self) -> str:
        """Sentence about the defects that were not found before; empty where all were."""
        if not self.missed:
            return ""
        verb = "was" if len(self.missed) == 1 else "were"
        names = few(self.missed, "defect", SHOWN)
        return f"{names} {verb} not found before the update either, and cannot be lost by it"

    @property
    def lines(self) -> list[str]:
        """Sentences about what may surprise."""
        found = [self.missed_line] if self.missed else []
        if not self.is_passed:
            found.append(f"forced: {self.refusal}")
        return found

    @property
    def refusal(self) -> str:
        """Why the update is refused: the defects first, then photographs that were not read."""
        said = []
        if self.lost:
            lines = [f"({number}) {one.line}" for number, one in enumerate(self.lost[:SHOWN], 1)]
            more = f"; and {len(self.lost) - SHOWN} more" if len(self.lost) > SHOWN else ""
            said.append(
                f"expected all defects to be found after the update, got {len(self.lost)} of "
                f"{self.n_checked:,} lost: {'; '.join(lines)}{more}"
            )
        if self.unread:
            errors = "; ".join(self.unread[:SHOWN])
            more = f" and {len(self.unread) - SHOWN} more" if len(self.unread) > SHOWN else ""
            said.append(f"expected defects that can be inspected, got: {errors}{more}")
        return f"must_find: {'; '.join(said)}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that a forced update loses sight of, for its history."""
        return (*(one.name for one in self.lost), *(f"not read: {e}" for e in self.unread))
