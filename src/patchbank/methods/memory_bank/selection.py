"""Selection of the patches that the bank keeps."""

from __future__ import annotations

import numpy as np

from patchbank.core import coreset
from patchbank.core.array_api import to_device_if_fits
from patchbank.core.coreset import Coreset, random_projection
from patchbank.core.coreset.elsewhere import FeaturesElsewhere
from patchbank.errors import ParameterError
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Array, Features, Indices


def select(
    settings: BankParameters,
    features: Features | FeaturesElsewhere,
    groups: Indices,
    progress: Progress,
    device: Device,
) -> Coreset:
    """Select the rows of the bank from all patches of the fit.

    Args:
        settings: of the selection.
        features: (n, d) of the patches.
        groups: (n,) group of the photograph of each patch: the distance of each patch to the
            nearest row of another group is part of the result where the selection knows it.
        progress: shows the rows.
        device: where it computes.
    """
    n = len(features)
    n_keep = settings.rows_to_keep(n)
    rng = np.random.default_rng(settings.seed)
    if settings.selection == "all":
        return Coreset(np.arange(n))
    if settings.selection == "random":
        return Coreset(coreset.random_coreset(n, n_keep, rng=rng))
    projected = settings.projection != "none"
    space: Array | FeaturesElsewhere = features
    if not isinstance(features, FeaturesElsewhere):
        space = _projected(settings, features, rng, device)
    # The selection knows the nearest row of another group, but not the second nearest.
    is_known = not projected and settings.n_neighbours == 1
    total = None if settings.covering_radius is not None else n_keep
    start = _start(settings, space, rng, device)
    # With a radius, the number of rows is not known before the end.
    any_size = [2**e for e in range(3, n_keep.bit_length())]
    sizes = any_size if total is None else sizes_to_calibrate(n_keep)
    with progress.task("selecting the bank", total) as advance:
        if settings.selection == "composable" and isinstance(features, FeaturesElsewhere):
            assert not isinstance(start, coreset.InitialDistances | coreset.ExistingCentres)
            return features.composed(n_keep, start=start, groups=groups, on_progress=advance)
        selected = coreset.greedy_coreset(
            space,
            n_keep,
            start=start,
            radius=settings.covering_radius,
            groups=groups if is_known else None,
            sizes=sizes,
            device=device,
            on_progress=advance,
        )
    if projected:  # distances in the projected space are not those of the features
        return Coreset(selected.centres)
    return selected


def check_selects_in_shards(settings: BankParameters) -> None:
    """Raise a ParameterError where the settings need all features in one place."""
    needed: dict[str, tuple[object, ...]] = {
        "selection": ("greedy", "composable"),
        "projection": ("none",),
        "start": ("mean", "random", "first"),
        "n_neighbours": (1,),
    }
    for name, possible in needed.items():
        value = getattr(settings, name)
        if value not in possible:
            expected = " or ".join(map(repr, possible))
            raise ParameterError(
                f"{name}: expected {expected} on a cluster, got {value!r}, which needs all patches "
                "in one place; fit without a cluster, or with other settings"
            )


def sizes_to_calibrate(n_rows: int) -> list[int]:
    """Sizes of smaller banks that a fit calibrates: powers of two, down to a thirtieth.

    >>> sizes_to_calibrate(7000)
    [256, 512, 1024, 2048, 4096]
    """
    exponents = range(3, n_rows.bit_length())
    return [2**e for e in exponents if n_rows / 30 <= 2**e < n_rows]


def _projected(
    settings: BankParameters, features: Features, rng: np.random.Generator, device: Device
) -> Array:
    """The features to select in, projected if asked for, on the device if they fit."""
    if settings.projection == "none":
        return to_device_if_fits(features, device)
    d = features.shape[1]
    n_dims = settings.projection_dims or random_projection.johnson_lindenstrauss_dims(len(features))
    matrix = random_projection.projection_matrix(settings.projection, d, n_dims, rng=rng)
    return to_device_if_fits(random_projection.project(features, matrix, device=device), device)


def _start(
    settings: BankParameters,
    space: Array | FeaturesElsewhere,
    rng: np.random.Generator,
    device: Device,
) -> coreset.Start:
    """The first centre that the settings ask for, or the distances before it."""
    n = len(space)
    if settings.start == "random":
        return int(rng.integers(n))
    if settings.start == "first":
        return 0
    if settings.start == "farthest":
        return coreset.row_farthest_from_mean(space, device=device)
    if settings.start == "starting_points":
        points = rng.choice(n, min(settings.n_starting_points, n), replace=False)
        return coreset.InitialDistances(coreset.mean_distances(space, points, device=device))
    return None
