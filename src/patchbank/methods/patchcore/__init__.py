"""PatchCore (Roth et al., CVPR 2022): distance to a bank of the patch features of good parts.

`docs/methods/patchcore.md` maps equations to functions and says where implementations differ.
"""

from patchbank.methods.patchcore.method import METHOD, embed
from patchbank.methods.patchcore.settings import PRESETS, PatchCoreSettings

__all__ = ["METHOD", "PRESETS", "PatchCoreSettings", "embed"]
