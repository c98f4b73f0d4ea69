"""Retrieval, pixel distances and maps of the published SPADE code, with and without its faults."""

from functools import cache

import numpy as np
import pytest

from patchbank.core.spatial import anomaly_map
from patchbank.methods import SpadeSettings
from patchbank.methods.spade import SpadeModel
from patchbank.methods.spade.gallery import Gallery, ImageFeatures
from patchbank.methods.spade.model import fused, pixel_distances
from tests.golden.inputs import normal
from tests.oracles import spade as oracle

SHAPES = ((16, 28, 20), (24, 14, 10), (32, 7, 5))
SETTINGS = SpadeSettings(n_images=5, image_score="pooled")


@cache
def images(part):
    """[(pooled (c,), [(h, w, d), ...]), ...]."""
    n, seed = (9, 70) if part == "train" else (2, 74)
    of_layers = [
        normal("spade", f"{part}.layer{i + 1}", seed + i, (n, *shape)).transpose(0, 2, 3, 1)
        for i, shape in enumerate(SHAPES)
    ]
    pooled = normal("spade", f"{part}.avgpool", seed + 3, (n, 64, 1, 1)).reshape(n, 64)
    return [(p, list(planes)) for p, *planes in zip(pooled, *of_layers, strict=True)]


def gallery():
    planes = zip(*(planes for _, planes in images("train")), strict=True)
    rows = tuple(np.concatenate([p.reshape(-1, p.shape[2]) for p in plane]) for plane in planes)
    counts = np.array([[h * w for _, h, w in SHAPES]] * 9, np.int32)
    pooled = np.stack([p for p, _ in images("train")])
    return Gallery(pooled, np.arange(9, dtype=np.int32), rows, counts)


def test_the_photographs_found_are_those_of_the_published_code(golden):
    expected = golden("spade")
    for number, (pooled, _) in enumerate(images("test")):
        found, distances = gallery().similar(pooled, 5)
        assert found.tolist() == expected["topk_indices"][number].tolist()
        np.testing.assert_allclose(distances, expected["topk_distances"][number], rtol=1e-5)
        score = distances.mean()
        assert score == pytest.approx(expected["image_scores"][number], rel=1e-5)
        assert score == pytest.approx(expected["image_scores_f64"][number], rel=1e-9)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_pixel_distances_are_those_of_the_definition(golden, layer):
    """With all pixels of the gallery: the published code never uses up to 99 of them."""
    expected = golden("spade")[f"f64/layer{layer + 1}_grid"]
    for number, (pooled, planes) in enumerate(images("test")):
        found, _ = gallery().similar(pooled, 5)
        pixels = gallery().pixels(layer, found)
        assert len(pixels) == 5 * np.prod(SHAPES[layer][1:])
        grid = pixel_distances(planes[layer], pixels, 1)
        np.testing.assert_allclose(grid, expected[number], rtol=1e-5)
        slow = oracle.pixel_grid(planes[layer], pixels)
        np.testing.assert_allclose(slow, expected[number], rtol=1e-9)


def test_maps_are_the_means_of_the_layers_maps(golden):
    """Each layer enlarged by itself, as the published code does; its fault touches layer 3 only."""
    expected, square = golden("spade"), (224, 224)
    for number, (pooled, planes) in enumerate(images("test")):
        found, _ = gallery().similar(pooled, 5)
        grids = [
            pixel_distances(plane, gallery().pixels(layer, found), 1)
            for layer, plane in enumerate(planes)
        ]
        rough = [anomaly_map.anomaly_map(g, square, sigma=0)[::8, ::8] for g in grids]
        of_layers = expected["f64/layer_maps_224_sub8"][number]
        np.testing.assert_allclose(rough, of_layers, rtol=1e-5, atol=1e-5)
        published = expected["layer_maps_224_sub8"][number, :2]
        np.testing.assert_allclose(rough[:2], published, rtol=0, atol=5e-5)
        for size, name in ((square, "map_224"), ((224, 160), "map_nonsquare")):
            smooth = np.mean([anomaly_map.anomaly_map(g, size, sigma=4) for g in grids], axis=0)
            stored = expected[f"f64/{name}_sub8"][number]
            np.testing.assert_allclose(smooth[::8, ::8], stored, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [4, 8])
def test_one_grid_gives_a_map_near_that_of_layers_enlarged_one_by_one(stride, rng):
    """White noise, the worst case, on grids of many shapes; docs/methods/spade.md has figures."""
    largest = []
    for h, w in rng.integers(8, 61, (40, 2)):
        sides = [(-(-h // 2**n), -(-w // 2**n)) for n in range(3)]
        grids = [rng.normal(5, 1, side).astype(np.float32) for side in sides]
        size = (int(h) * stride, int(w) * stride)
        sigma = anomaly_map.scaled_sigma(4.0, size)
        ours = anomaly_map.anomaly_map(fused(grids, grids[0].shape), size, sigma=sigma)
        each = [anomaly_map.anomaly_map(grid, size, sigma=sigma) for grid in grids]
        published = np.mean(each, axis=0)
        largest.append(np.abs(ours - published).max() / np.ptp(published))
        assert np.corrcoef(ours.ravel(), published.ravel())[0, 1] > 0.98
    assert 0.03 < np.median(largest) < 0.09
    assert max(largest) < 0.25


def test_a_model_is_near_the_published_map_though_it_has_one_grid(golden):
    """Ours brings the layers to the first one's grid, and only then to pixels."""
    model, expected = SpadeModel(SETTINGS, gallery()), golden("spade")
    for number, (pooled, planes) in enumerate(images("test")):
        scored = model.score_features(ImageFeatures(pooled, tuple(planes), SHAPES[0][1:]))
        assert scored.image_score == pytest.approx(expected["image_scores"][number], rel=1e-5)
        drawn = anomaly_map.anomaly_map(scored.patch_scores, (224, 160), sigma=4)[::8, ::8]
        stored = expected["f64/map_nonsquare_sub8"][number]
        assert np.abs(drawn - stored).max() < 0.07 * np.ptp(stored)  # on this shape
