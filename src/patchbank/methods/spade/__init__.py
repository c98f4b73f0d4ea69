"""SPADE (Cohen and Hoshen, 2020): distances to the pixels of the most similar good photographs.

`docs/methods/spade.md` maps equations to functions and says where implementations differ.
"""

from patchbank.methods.spade.method import METHOD
from patchbank.methods.spade.model import SpadeModel
from patchbank.methods.spade.settings import PRESETS, SpadeSettings

__all__ = ["METHOD", "PRESETS", "SpadeModel", "SpadeSettings"]
