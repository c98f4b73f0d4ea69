"""A recipe and its detector as an estimator of scikit-learn (extra ``scikit-learn``).

An outlier detector as of scikit-learn: higher scores are more *normal* there, where those of
`Inspection.score` are more anomalous; +1 is a good photograph, -1 an anomalous one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted
from typing_extensions import Self

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import ShapeError
from patchbank.images.source import ImageInput
from patchbank.runtime.arguments import RECIPE, of_kind
from patchbank.settings import settings_of
from patchbank.training.recipes import Learnable, PatchCore, Recipe

GOOD, ANOMALOUS = 1, -1
NESTED = "recipe__"


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns from good photographs, and finds others that are unlike them.

    Args:
        recipe: what it learns by; None for `PatchCore` with its defaults.  Settings of a recipe of
            one method are parameters too: ``recipe__image_size``, ``recipe__bank_rows``, ...

    Attributes:
        detector_: the fitted `Detector`; `Detector.save` writes it.
        offset_: the threshold, negative: ``decision_function = score_samples - offset_``.

    >>> AnomalyDetector(PatchCore(image_size=320)).get_params()["recipe__image_size"]
    320
    """

    def __init__(self, recipe: Learnable | None = None) -> None:
        self.recipe = recipe

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The recipe, and its settings unless `deep` is false."""
        found: dict[str, Any] = {"recipe": self.recipe}
        recipe = self._recipe
        if deep and isinstance(recipe, Recipe):
            names = settings_of(type(recipe))
            found |= {f"{NESTED}{name}": getattr(recipe, name) for name in names}
        return found

    def set_params(self, **params: Any) -> Self:
        """Another recipe, or another of its settings.

        Raises:
            ParameterError: a value that the setting does not take.
            ValueError: no such parameter.
        """
        known = self.get_params() if "recipe" not in params else self._known(params["recipe"])
        for name in params:
            if name not in known:
                raise ValueError(
                    f"{name}: expected one of {', '.join(sorted(known))}, got no parameter of it"
                )
        if "recipe" in params:
            self.recipe = params["recipe"]
        changes = {k.removeprefix(NESTED): v for k, v in params.items() if k != "recipe"}
        recipe = self._recipe
        if changes and isinstance(recipe, Recipe):
            self.recipe = dataclasses.replace(recipe, **changes)
        return self

    def fit(
        self, X: ImageInput | Iterable[ImageInput], y: Sequence[int] | NDArray[Any] | None = None
    ) -> Self:
        """Learn from good photographs.

        Args:
            X: photographs, in any form that `PatchCore.fit` takes: a folder, a list of paths or
                arrays, a stack (N, H, W, C).
            y: None where all are good; otherwise +1 for each that is good and -1 for the others,
                which are left out.

        Raises:
            ShapeError: as many labels as photographs are needed, of +1 and -1.
            ParameterError: `recipe` is none, such as a class in place of an object of it.
            DataError, ImageError: as `PatchCore.fit`.
        """
        recipe = of_kind("recipe", self._recipe, Learnable, RECIPE)
        learned = _listed(X) if y is None else _good_ones(_listed(X), y)
        self.detector_ = recipe.fit(learned)
        return self

    def fit_predict(
        self,
        X: ImageInput | Iterable[ImageInput],
        y: Sequence[int] | NDArray[Any] | None = None,
    ) -> NDArray[np.int64]:
        """(N,) `fit` with these photographs and labels, and `predict` of all of them.

        Raises:
            ShapeError, DataError, ImageError: as `fit`.
        """
        photographs = list(X) if isinstance(X, Iterator) else X  # they are read twice
        return self.fit(photographs, y).predict(photographs)

    def score_samples(self, X: ImageInput | Iterable[ImageInput]) -> NDArray[np.float64]:
        """(N,) how normal each photograph is: its anomaly score, negative.

        Raises:
            NotFittedError: before `fit`.
            ImageError: a photograph that cannot be read; it has no score.
        """
        return np.array([-seen.score for seen in self._inspected(X)], dtype=np.float64)

    def decision_function(self, X: ImageInput | Iterable[ImageInput]) -> NDArray[np.float64]:
        """(N,) how far each photograph is from the threshold: below 0 it is anomalous.

        Raises:
            NotFittedError, ImageError: as `score_samples`.
        """
        samples: NDArray[np.float64] = self.score_samples(X) - self.offset_
        return samples

    def predict(self, X: ImageInput | Iterable[ImageInput]) -> NDArray[np.int64]:
        """(N,) +1 for a good photograph, -1 for an anomalous one.

        A photograph in which no part is found (`Inspection.is_anomalous`) is -1 whatever its score.

        Raises:
            NotFittedError, ImageError: as `score_samples`.
        """
        verdicts = [seen.is_anomalous for seen in self._inspected(X)]
        return np.where(np.array(verdicts, dtype=bool), ANOMALOUS, GOOD).astype(np.int64)

    @property
    def offset_(self) -> float:
        """Threshold of the detector, negative."""
        check_is_fitted(self, "detector_")
        return -float(self.detector_.calibration.threshold)

    @property
    def _recipe(self) -> Learnable:
        return PatchCore() if self.recipe is None else self.recipe

    def _known(self, recipe: Learnable | None) -> dict[str, Any]:
        return type(self)(recipe).get_params()

    def _inspected(self, X: ImageInput | Iterable[ImageInput]) -> list[Inspection]:
        check_is_fitted(self, "detector_")
        found = []
        for seen in self.detector_.predict_each(_listed(X)):
            if isinstance(seen, FailedInspection):
                raise seen.error_class(seen.error)
            found.append(seen)
        return found

    def __sklearn_tags__(self) -> Any:
        """Photographs are no table of numbers, and are read by `fit` itself."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


def _listed(X: Any) -> Any:
    """Photographs as they are given; an array of paths or of images of several sizes, as a list."""
    if not (isinstance(X, np.ndarray) and X.dtype.kind in "OU"):
        return X
    is_column = X.ndim == 2 and X.shape[1] == 1  # what scikit-learn makes of one feature
    return (X[:, 0] if is_column else X).tolist()


def _good_ones(X: Any, y: Sequence[int] | NDArray[Any]) -> list[Any]:
    """Photographs whose label is +1."""
    if isinstance(X, str | os.PathLike):
        raise ShapeError("y: expected labels for a list of photographs, got them for a folder")
    images = list(X)
    labels = np.asarray(y)
    if len(images) != len(labels) or not np.isin(labels, (GOOD, ANOMALOUS)).all():
        raise ShapeError(
            f"y: expected {len(images)} labels of +1 (good) and -1 (anomalous), one for each "
            f"photograph, got {len(labels)} of {sorted(map(str, set(labels.ravel().tolist())))}"
        )
    return [image for image, label in zip(images, labels, strict=True) if label == GOOD]
