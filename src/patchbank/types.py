"""Names of array types, and the letters of their axes.

b image · c channel · h w patch grid · H W pixels · n patches · m bank rows · d embedding ·
k neighbours.  Height always comes before width; a higher score is always more anomalous.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""A numpy array, or a torch tensor on any device."""
Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) RGB."""
FeatureMap: TypeAlias = NDArray[np.float32]
"""(c, h, w): one image's output of one layer."""
Features: TypeAlias = NDArray[np.float32]
"""(n, d): patch embeddings, one a row."""
PatchGrid: TypeAlias = NDArray[np.float32]
"""(h, w): one number a patch."""
AnomalyMap: TypeAlias = NDArray[np.float32]
"""(H, W): one number a pixel."""
Indices: TypeAlias = NDArray[np.intp]
"""(n,): row numbers."""
Mask: TypeAlias = NDArray[np.bool_]
"""(H, W): True where a pixel belongs to a defect."""
