"""Errors of the records."""

from __future__ import annotations

from patchbank.errors import PatchbankError


class NotRecorded(PatchbankError):
    """The database or the disk took no record, so there is no verdict."""


class KeyReused(PatchbankError):
    """One idempotency key was given to two different photographs."""


class NoSuchInspection(PatchbankError):
    """The records have no inspection of a number."""


class NotClaimed(PatchbankError):
    """A reviewer decides about an inspection that another one has, or has decided about."""
