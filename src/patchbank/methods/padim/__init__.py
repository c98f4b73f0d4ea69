"""PaDiM (Defard et al., 2020): at each position a Gaussian of the features of good parts.

`docs/methods/padim.md` maps equations to functions and says where implementations differ.
"""

from patchbank.methods.padim.method import METHOD
from patchbank.methods.padim.model import PadimModel
from patchbank.methods.padim.settings import PRESETS, PadimSettings

__all__ = ["METHOD", "PRESETS", "PadimModel", "PadimSettings"]
