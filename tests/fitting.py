"""Fit a method on features that are there already."""

from collections.abc import Iterable
from typing import Any

from patchbank.methods import Fit, Method, TrainingImage
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.progress import NullProgress, Progress
from patchbank.types import Indices


def fit_on_features(
    method: Method,
    parameters: Any,
    images: Iterable[TrainingImage],
    n_images: int,
    progress: Progress | None = None,
    device: Device = HOST,
    groups: Indices | None = None,
) -> Fit:
    """Fit on each photograph followed by its copies; `n_images` counts the copies too."""
    learner = method.learner(parameters, n_images, progress or NullProgress(), device)
    for image in images:
        learner.add(image)
    return learner.fit(groups)
