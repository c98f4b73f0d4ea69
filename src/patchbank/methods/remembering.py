"""Patches that are scored again later, without their image: by them a defect is remembered."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from patchbank.methods.base import FeatureMaps
from patchbank.types import Indices


@runtime_checkable
class Remembering(Protocol):
    """A fitted model that scores patches by their features alone; a model offers it or does not."""

    @property
    def n_features(self) -> int:
        """Numbers of each patch: d."""
        ...

    def patch_features(
        self, maps: FeatureMaps, patches: Indices, of_interest: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Features of some patches of one image, (n, d).

        Args:
            maps: of all layers, as `FittedMethod.score` takes them; or those of a tile.
            patches: (n, 2) row and column of each in the patch grid of the maps.
            of_interest: as `FittedMethod.score` takes it.
        """
        ...

    def scores_of(
        self, features: NDArray[np.float32], patches: Indices, grid: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Scores that the patches have by their features, (n,), as the image score is made of them.

        Args:
            features: (n, d), of `patch_features` of this model, or of one that was continued.
            patches: (n, 2) row and column of each in the patch grid of their image.
            grid: (h, w) of that.
        """
        ...
