"""Who changes a detector and why, and what an update learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from patchbank.detector.lineage.entry import Edit
from patchbank.errors import ParameterError
from patchbank.images.source import ImageSource
from patchbank.server.service.tokens import Caller


@dataclass(frozen=True, slots=True)
class Said:
    """Who makes a change, and why."""

    caller: Caller
    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ParameterError("reason: expected why, for the audit, got an empty text")
        Edit("threshold", self.reason, self.caller.name)  # checks the words before the work


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """Photographs that an update learns, and defects that it must not lose."""

    good: Sequence[ImageSource] = ()
    normal: Sequence[Any] = ()
    """Parts of photographs that are normal (`training.update.request.NormalPart`)."""
    taught: Sequence[int] = ()
    """Numbers of the inspections whose photographs these are."""
    must_find: Sequence[ImageSource] = ()
    remember: Sequence[ImageSource] = ()
    limit_rows: int | None = None
    force: bool = False
    expects: str | None = None
    """Digest of the only detector that may learn them, such as that of a preview; None for any."""
