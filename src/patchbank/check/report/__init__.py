"""Report of a check of photographs as an HTML page."""

from patchbank.check.report.page import write_check_report

__all__ = ["write_check_report"]
