"""Greedy selections of the official code and of anomalib: the same rows in the same order."""

import numpy as np
import pytest

from patchbank.core import coreset
from patchbank.core.coreset import greedy_coreset
from tests.golden.inputs import normal


def test_greedy_centres_are_those_of_the_official_code(golden):
    features = normal("official_greedy", "g800.features", 30, (800, 32))
    expected = golden("official_greedy")
    # The official start: the row whose distances to all others have the largest norm.
    points = features.astype(np.float64)
    total = ((points[:, None] - points[None]) ** 2).sum(axis=(1, 2))
    start = int(total.argmax())

    chosen = greedy_coreset(features, 80, start=start)

    assert chosen.centres.tolist() == expected["g800/greedy_idx"].tolist()
    assert chosen.radii[-1] == pytest.approx(
        float(expected["g800/greedy_cover_radius_f64"]), rel=1e-6
    )


def test_greedy_centres_on_a_projection_are_those_of_the_official_code(golden):
    features = normal("official_greedy", "g800.features", 30, (800, 32))
    uniform = np.random.default_rng(32).random((16, 32)) * 2 - 1
    projected = features @ (uniform / np.sqrt(32)).astype(np.float32).T
    points = projected.astype(np.float64)
    start = int(((points[:, None] - points[None]) ** 2).sum(axis=(1, 2)).argmax())

    chosen = greedy_coreset(projected, 80, start=start)

    expected = golden("official_greedy")["g800/greedy_projected_idx"]
    assert chosen.centres.tolist() == expected.tolist()


def test_greedy_centres_are_those_of_anomalib(golden):
    features = normal("anomalib_kcenter", "k800.features", 40, (800, 32))
    expected = golden("anomalib_kcenter")

    chosen = greedy_coreset(features, 80, start=123)

    assert chosen.centres.tolist() == expected["k800/idx"].tolist()
    assert chosen.radii[-1] == pytest.approx(float(expected["k800/cover_radius_f64"]), rel=1e-6)


def test_approximate_centres_are_those_of_the_official_code(golden):
    features = normal("official_greedy", "g800.features", 30, (800, 32))
    expected = golden("official_greedy")
    initial = coreset.mean_distances(features, expected["g800/start_points"])

    chosen = greedy_coreset(features, 80, start=coreset.InitialDistances(initial))

    assert chosen.centres.tolist() == expected["g800/approx_idx"].tolist()
    assert chosen.radii is None  # the mean that stays in the minimum is no covering radius
    found = radius_of(features, chosen.centres)
    assert found == pytest.approx(float(expected["g800/approx_cover_radius_f64"]), rel=1e-6)


def test_the_official_start_is_the_row_farthest_from_the_mean(golden):
    features = normal("official_greedy", "g800.features", 30, (800, 32))
    start = coreset.row_farthest_from_mean(features)
    assert start == golden("official_greedy")["g800/greedy_idx"][0]


def radius_of(features, rows):
    """Largest distance of any row to the nearest of `rows`, in float64."""
    points = features.astype(np.float64)
    return max(np.linalg.norm(points[rows] - point, axis=1).min() for point in points)
