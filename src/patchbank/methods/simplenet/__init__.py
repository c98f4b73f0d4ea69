"""SimpleNet (Liu et al., CVPR 2023): it separates good patches from noised ones.

`docs/methods/simplenet.md` maps equations to functions and says where we differ.
"""

from patchbank.methods.simplenet.method import METHOD, SimpleNetModel
from patchbank.methods.simplenet.settings import PRESETS, SimpleNetSettings

__all__ = ["METHOD", "PRESETS", "SimpleNetModel", "SimpleNetSettings"]
