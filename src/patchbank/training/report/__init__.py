"""The report of a fit: one HTML page without other files."""

from patchbank.training.report.page import write_fit_report

__all__ = ["write_fit_report"]
