"""GraphCore (Xie et al., ICLR 2023): a memory bank of graph features of patches, for few shots.

`docs/methods/graphcore.md` says what the paper leaves open and what was chosen.
"""

from patchbank.methods.graphcore.method import METHOD, embed
from patchbank.methods.graphcore.settings import PRESETS, GraphCoreSettings

__all__ = ["METHOD", "PRESETS", "GraphCoreSettings", "embed"]
