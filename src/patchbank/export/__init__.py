"""Exports of a whole detector: one graph from photographs to verdicts, and its verification.

An export needs the extra ``export``; a verification does not.
"""

from patchbank.export.exporting import FORMATS, Exported, Format, export_detector
from patchbank.export.page import write_verification
from patchbank.export.precision import EXPORT_PRECISIONS, ExportPrecision
from patchbank.export.running import ENTRIES, Entry, ExportedDetector, Runtime, open_exported
from patchbank.export.verification import Verification
from patchbank.export.verifying import verify

__all__ = [
    "ENTRIES",
    "EXPORT_PRECISIONS",
    "FORMATS",
    "Entry",
    "ExportPrecision",
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
