"""Explanations of flagged photographs for people: a picture of each, and a page of all."""

from patchbank.explaining.drawn import Drawn, drawn
from patchbank.explaining.page import MOST_ON_PAGE, write_explanations

__all__ = ["MOST_ON_PAGE", "Drawn", "drawn", "write_explanations"]
