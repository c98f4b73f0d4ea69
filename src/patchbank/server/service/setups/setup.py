"""A set-up: what is known of it, in a file of its folder."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.printable import json_text

Task = Literal["copy", "check", "fit"]
End = Literal["cancelled", "interrupted", "failed"]
FACTS = "setup.json"


@dataclass(slots=True, kw_only=True)
class SetupFacts:
    """Facts of a set-up that survive a restart."""

    product: str
    by: str
    """Who has begun it."""
    begun: str
    """Time in UTC."""
    changed: str
    """Time of the last change."""
    left_out: list[str] = field(default_factory=list)
    """Names of photographs that are not learned."""
    task: Task | None = None
    """Work that is under way, or waits."""
    job: str | None = None
    """Id of its job, or of the last one."""
    ended: End | None = None
    """End of the last work, if it has no result."""
    error: str | None = None
    """Line that says why it failed."""
    preset: str | None = None
    """Preset that was asked for last."""
    false_alarm_rate: float | None = None
    """The rate that was asked for with it."""
    activated: str | None = None
    """Time at which its detector came into use."""


@dataclass(slots=True)
class Setup:
    """A set-up with its folder."""

    id: str
    folder: Path
    facts: SetupFacts

    @property
    def good(self) -> Path:
        """Folder of the photographs."""
        return self.folder / "good"

    @property
    def small(self) -> Path:
        """Folder of their small pictures."""
        return self.folder / "small"

    @property
    def fit(self) -> Path:
        """Folder of the fit: its detector, its facts, its pictures and its page."""
        return self.folder / "fit"

    @property
    def fitting(self) -> Path:
        """Folder of a fit that is under way."""
        return self.folder / "fitting"

    @property
    def checked(self) -> dict[str, Any] | None:
        """Result of the last check; None before that."""
        return read_json(self.folder / "check.json")

    @property
    def fitted(self) -> dict[str, Any] | None:
        """Facts of the last fit; None before that."""
        return read_json(self.fit / "facts.json")

    @property
    def tried(self) -> Path:
        """Folder of the photograph that was tried last, and of its picture with marks."""
        return self.folder / "tried"

    @property
    def detector(self) -> Path:
        """File of the fitted detector."""
        return self.fit / "detector.patchbank"

    def save(self) -> None:
        """Write the facts.

        Raises:
            OSError: they cannot be written.
        """
        replace_file(self.folder / FACTS, json_text(asdict(self.facts)).encode())

    @classmethod
    def read(cls, folder: Path) -> Setup | None:
        """The set-up in a folder; None where there is none."""
        content = read_json(folder / FACTS)
        if content is None:
            return None
        with suppress(TypeError):  # keys of another version
            return cls(folder.name, folder, SetupFacts(**content))
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
