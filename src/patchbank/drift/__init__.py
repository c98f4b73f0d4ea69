"""Results of many inspections: whether good parts have changed, and which lots have false ones."""

from patchbank.drift.follow import Drift, follow, one_of_each
from patchbank.drift.lines import InspectedPart, LineReader
from patchbank.drift.page import write_drift_report

__all__ = ["Drift", "InspectedPart", "LineReader", "follow", "one_of_each", "write_drift_report"]
