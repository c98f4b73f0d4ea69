"""Kept while modules move: settings live in `patchbank.settings`."""

from __future__ import annotations

from patchbank.settings import PatchSettings, Settings
from patchbank.settings.rules import Choice

__all__ = ["PatchSettings", "Settings", "require_choice"]


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ParameterError unless `value` is one of `choices`."""
    Choice(tuple(choices)).check(name, value)
