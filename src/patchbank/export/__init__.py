"""Exports of a whole detector: one graph from photographs to verdicts, and its verification.

Needs the extra ``export``.
"""

from patchbank.export.exporting import FORMATS, Exported, Format, export_detector
from patchbank.export.model import ENTRIES, Entry
from patchbank.export.page import write_verification
from patchbank.export.running import ExportedDetector, Runtime, open_exported
from patchbank.export.verification import Verification
from patchbank.export.verifying import verify

__all__ = [
    "ENTRIES",
    "FORMATS",
    "Entry",
    "Exported",
    "ExportedDetector",
    "Format",
    "Runtime",
    "Verification",
    "export_detector",
    "open_exported",
    "verify",
    "write_verification",
]
