"""The evaluation report: one page that needs nothing beside it."""

from patchbank.evaluation.report.page import write_report

__all__ = ["write_report"]
