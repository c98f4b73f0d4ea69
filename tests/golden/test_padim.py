"""Statistics, Mahalanobis distances and maps of the published PaDiM code."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from patchbank.core.gaussians import scatters
from patchbank.core.spatial import anomaly_map, patch_embedding
from patchbank.core.spatial.box import Box
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.methods import METHODS, PadimSettings
from patchbank.methods.base import TrainingImage
from patchbank.methods.padim import PRESETS
from patchbank.methods.padim.model import channels_kept
from patchbank.runtime.devices import HOST
from tests.fitting import fit_on_features
from tests.golden.inputs import normal

GRID = (56, 40)
SHAPES = ((16, 56, 40), (24, 28, 20), (40, 14, 10))
SETTINGS = replace(PadimSettings.from_mapping(PRESETS["paper"]), dims=20)
SIZES = {"sq224": (224, 224), "nonsq": (224, 160)}


@cache
def layers(part):
    """[(c, h, w), ...] of each image."""
    n, seed = (12, 60) if part == "train" else (2, 63)
    of_layers = [
        normal("padim", f"{part}.layer{i + 1}", seed + i, (n, *shape))
        for i, shape in enumerate(SHAPES)
    ]
    return [list(image) for image in zip(*of_layers, strict=True)]


@cache
def embeddings(part):
    """(n, h * w, d) of the channels drawn."""
    channels = channels_kept(SETTINGS, 80)
    return np.stack(
        [
            patch_embedding.concatenated(m, 1, alignment="nearest")[..., channels].reshape(-1, 20)
            for m in layers(part)
        ]
    )


@cache
def learned():
    samples = embeddings("train").swapaxes(0, 1)
    return scatters(samples, np.ones(samples.shape[:2], bool)).gaussians(SETTINGS.ridge)


def distances(part="test"):
    """(n, h, w) in float64."""
    return np.stack([learned().distances(e.astype(np.float64)) for e in embeddings(part)]).reshape(
        -1, *GRID
    )


def test_the_channels_are_those_of_the_published_code(golden):
    expected = golden("padim")
    for dims, n_channels, name in (
        (20, 80, "channel_idx"),
        (100, 448, "channel_idx_resnet18_448_100"),
        (550, 1792, "channel_idx_wrn50_1792_550"),
    ):
        drawn = channels_kept(replace(SETTINGS, dims=dims), n_channels)
        assert drawn.tolist() == expected[name].tolist()


def test_means_and_covariances_are_those_of_the_published_code(golden):
    expected = golden("padim")
    positions = expected["positions"]
    test = embeddings("test")[:, positions].swapaxes(1, 2)
    np.testing.assert_allclose(test, expected["test_embedding_at_positions"], rtol=0, atol=1e-6)
    means = learned().means[positions].T
    np.testing.assert_allclose(means, expected["mean_at_positions"], rtol=0, atol=1e-6)
    for place, position in enumerate(positions):
        basis, rest = learned().bases[position], learned().rests[position]
        excess = np.diag(learned().variances[position] - rest)
        covariance = basis @ excess @ basis.T + rest * np.eye(20)
        stored = expected["cov_at_positions"][:, :, place]
        np.testing.assert_allclose(covariance, stored, rtol=0, atol=1e-5)


def test_distances_are_those_of_the_published_code(golden):
    expected, grids = golden("padim"), distances()
    some = grids[:, ::2, ::2]
    np.testing.assert_allclose(some, expected["dist_grid_f64_oracle"], rtol=1e-9)
    np.testing.assert_allclose(some, expected["dist_grid"], rtol=2e-5)
    summary = [(g.min(), g.max(), g.mean()) for g in grids]
    np.testing.assert_allclose(summary, expected["dist_grid_minmaxmean"], rtol=2e-5)


@pytest.mark.parametrize("case", SIZES)
def test_maps_are_those_of_the_published_code(golden, case):
    expected, grids, size = golden("padim"), distances(), SIZES[case]
    rough = np.stack([anomaly_map.anomaly_map(g, size, sigma=0) for g in grids])
    smooth = np.stack([anomaly_map.anomaly_map(g, size, sigma=4) for g in grids])
    before, after = (f"{case}/map_{when}_smoothing" for when in ("before", "after"))
    np.testing.assert_allclose(rough[:, ::8, ::8], expected[f"{before}_sub8"], rtol=0, atol=2e-4)
    np.testing.assert_allclose(smooth[:, ::8, ::8], expected[f"{after}_sub8"], rtol=0, atol=2e-4)
    oracle = expected[f"{after}_f64_oracle_sub8"]
    np.testing.assert_allclose(smooth[:, ::8, ::8], oracle, rtol=0, atol=2e-4)
    summary = [(m.min(), m.max(), m.mean()) for m in smooth]
    np.testing.assert_allclose(summary, expected[f"{case}/map_after_minmaxmean"], atol=2e-4)
    scores = [m.max() for m in smooth]
    np.testing.assert_allclose(scores, expected[f"{case}/image_scores_raw_max"], atol=2e-4)
    low, high = smooth.min(), smooth.max()
    scaled = (np.array(scores) - low) / (high - low)
    np.testing.assert_allclose(scaled, expected[f"{case}/image_scores_testset_minmax"], atol=1e-5)


def test_a_detector_of_the_preset_draws_the_published_map(golden):
    """Feature maps to fitted model, float32 tensors and map."""
    examples = (TrainingImage(m, number) for number, m in enumerate(layers("train")))
    fitted = fit_on_features(METHODS["padim"], SETTINGS, examples, 12).model
    model = METHODS["padim"].restore(SETTINGS, fitted.tensors(), HOST)
    expected, size = golden("padim"), (224, 160)

    scored = [model.score(m) for m in layers("test")]

    grids = np.stack([s.patch_scores for s in scored])
    np.testing.assert_allclose(grids[:, ::2, ::2], expected["dist_grid_f64_oracle"], rtol=2e-5)
    sigma_4 = 4 * 224 / (224 * 160) ** 0.5  # what is 4 pixels of this input, said for 224 x 224
    view = ImageGeometry(size, Box(0, 0, *size), size, GRID, replace(SETTINGS, smoothing=sigma_4))
    drawn = np.stack([view.anomaly_map(s) for s in scored])
    stored = expected["nonsq/map_after_smoothing_sub8"]
    np.testing.assert_allclose(drawn[:, ::8, ::8], stored, rtol=0, atol=2e-4)
