"""Explanations of flagged photographs for people: a picture of each, and a page of all."""

from patchbank.explaining.drawn import Drawn, drawn, drawn_explanation
from patchbank.explaining.page import MOST_ON_PAGE, write_explanations, write_lost_defects

__all__ = [
    "MOST_ON_PAGE",
    "Drawn",
    "drawn",
    "drawn_explanation",
    "write_explanations",
    "write_lost_defects",
]
