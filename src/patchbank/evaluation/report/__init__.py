"""The evaluation report: one HTML page without other files."""

from patchbank.evaluation.report.page import write_report

__all__ = ["write_report"]
