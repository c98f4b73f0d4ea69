"""Distances, image scores and maps of the official code, anomalib, hcw-00, and equation 7."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank.core import neighbours
from patchbank.core.scores import image_score
from patchbank.core.spatial import anomaly_map
from patchbank.core.spatial.box import Box
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.methods import METHODS, PatchCoreSettings
from patchbank.methods.patchcore import PRESETS
from patchbank.runtime.devices import HOST
from tests.golden.inputs import normal

OFFICIAL = {"square": (20, 21, (28, 28), (224, 224)), "nonsquare": (22, 23, (28, 20), (224, 160))}
ANOMALIB = {"square": (42, 43, (28, 28), (224, 224)), "nonsquare": (44, 45, (28, 20), (224, 160))}
HCW = {"small_scale": (50, 51, 0.5), "unit_scale": (52, 53, 1.0), "large_scale": (54, 55, 1.5)}


def equation_7(bank, query, b):
    """The image score of one image's patches by equation 7."""
    index = neighbours.ExactIndex(bank)
    distances, rows = index.nearest(query, 1)
    worst = distances[:, 0].argmax()
    nearest = bank[rows[worst, 0]]
    _, around = index.nearest(nearest[None], b)
    support = np.linalg.norm(bank[around[0]] - query[worst], axis=1)
    return image_score.reweighted(float(distances[worst, 0]), support)


@pytest.mark.parametrize("case", OFFICIAL)
@pytest.mark.parametrize("k", [1, 3])
def test_scores_and_maps_are_those_of_the_official_code(golden, case, k):
    bank_seed, query_seed, grid, size = OFFICIAL[case]
    expected = golden("official_scoring")
    bank = normal("official_scoring", f"{case}.bank", bank_seed, (500, 64))
    query = normal("official_scoring", f"{case}.query", query_seed, (3 * grid[0] * grid[1], 64))

    distances, rows = neighbours.ExactIndex(bank).nearest(query, k)
    scores = image_score.patch_scores(distances, "squared").reshape(3, *grid)
    enlarged = np.stack([anomaly_map.anomaly_map(s, size, sigma=4.0) for s in scores])

    name = f"{case}/k{k}"
    np.testing.assert_allclose(scores, expected[f"{name}/patch_scores"], rtol=0, atol=1e-4)
    images = [image_score.largest(s) for s in scores]
    np.testing.assert_allclose(images, expected[f"{name}/image_scores"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        enlarged[:, ::8, ::8], expected[f"{name}/maps_sub8"], rtol=0, atol=1e-4
    )
    summary = [(m.min(), m.max(), m.mean()) for m in enlarged]
    np.testing.assert_allclose(summary, expected[f"{name}/maps_minmaxmean"], rtol=0, atol=1e-4)
    if k == 3:
        assert (rows == expected[f"{case}/nn_indices_k3"].reshape(rows.shape)).all()


@pytest.mark.parametrize("case", ANOMALIB)
def test_scores_and_maps_are_those_of_anomalib(golden, case):
    bank_seed, query_seed, grid, size = ANOMALIB[case]
    expected = golden("anomalib_scoring")
    bank = normal("anomalib_scoring", f"{case}.bank", bank_seed, (500, 64))
    query = normal("anomalib_scoring", f"{case}.query", query_seed, (3 * grid[0] * grid[1], 64))

    distances, rows = neighbours.ExactIndex(bank).nearest(query, 9)
    scores = distances[:, 0].reshape(3, *grid)
    enlarged = np.stack(
        [
            anomaly_map.anomaly_map(s, size, sigma=4.0, interpolation="nearest", border="mirror")
            for s in scores
        ]
    )
    per_image = query.reshape(3, -1, 64)

    np.testing.assert_allclose(scores, expected[f"{case}/patch_scores"], rtol=0, atol=2e-5)
    assert (rows[:, 0].reshape(scores.shape) == expected[f"{case}/locations"]).all()
    assert (rows[:50] == expected[f"{case}/nn9_idx_first50"]).all()
    np.testing.assert_allclose(distances[:50], expected[f"{case}/nn9_dist_first50"], atol=2e-5)
    np.testing.assert_allclose(
        [image_score.largest(s) for s in scores], expected[f"{case}/image_score_b1"], atol=2e-5
    )
    for b in (3, 9):
        ours = [equation_7(bank, q, b) for q in per_image]
        np.testing.assert_allclose(ours, expected[f"{case}/image_score_b{b}"], atol=2e-5)
        np.testing.assert_allclose(ours, expected[f"{case}/image_score_b{b}_eq7_f64"], rtol=1e-5)
    np.testing.assert_allclose(enlarged[:, ::8, ::8], expected[f"{case}/maps_sub8"], atol=1e-4)
    summary = [(m.min(), m.max(), m.mean()) for m in enlarged]
    np.testing.assert_allclose(summary, expected[f"{case}/maps_minmaxmean"], atol=1e-4)


@pytest.mark.parametrize("case", HCW)
def test_equation_7_holds_where_hcw_overflows(golden, case):
    bank_seed, query_seed, scale = HCW[case]
    expected = golden("hcw_reweight")
    bank = normal("hcw_reweight", f"{case}.bank", bank_seed, (500, 64), scale)
    query = normal("hcw_reweight", f"{case}.query", query_seed, (2352, 64), scale)
    query = query.reshape(3, 784, 64)

    for b in (3, 9):
        ours = [equation_7(bank, q, b) for q in query]
        np.testing.assert_allclose(ours, expected[f"{case}/eq7_b{b}"], rtol=1e-5)
    largest = [neighbours.ExactIndex(bank).nearest(q)[0].max() for q in query]
    np.testing.assert_allclose(largest, expected[f"{case}/s_star"], rtol=1e-5)
    finite = np.isfinite(expected[f"{case}/hcw_image_score"])
    assert finite.all() == (case == "small_scale")  # the reference overflows; we never do


def test_the_map_of_hcw_is_ours(golden):
    bank = normal("hcw_reweight", "small_scale.bank", 50, (500, 64), 0.5)
    query = normal("hcw_reweight", "small_scale.query", 51, (2352, 64), 0.5)
    squared = neighbours.ExactIndex(bank).nearest(query)[0] ** 2
    enlarged = [anomaly_map.anomaly_map(s, (224, 224)) for s in squared.reshape(3, 28, 28)]
    expected = golden("hcw_reweight")["small_scale/hcw_map_sub8"]
    np.testing.assert_allclose(np.stack(enlarged)[:, ::8, ::8], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", HCW)
def test_the_re_weighting_of_hcw_is_its_own_without_the_overflow(golden, case):
    bank_seed, query_seed, scale = HCW[case]
    expected = golden("hcw_reweight")
    bank = normal("hcw_reweight", f"{case}.bank", bank_seed, (500, 64), scale)
    query = normal("hcw_reweight", f"{case}.query", query_seed, (2352, 64), scale)
    index = neighbours.ExactIndex(bank)

    ours = []
    for image in query.reshape(3, 784, 64):
        distances, rows = index.nearest(image, 9)
        worst = distances[:, 0].argmax()
        differences = bank[rows[worst]].astype(np.float64) - image[worst]
        ours.append(image_score.hcw_reweighted(np.linalg.norm(differences, axis=1)))

    np.testing.assert_allclose(ours, expected[f"{case}/hcw_formula_f64_stable"], rtol=1e-5)
    theirs = expected[f"{case}/hcw_image_score"]
    finite = np.isfinite(theirs)
    np.testing.assert_allclose(np.array(ours)[finite], theirs[finite], rtol=1e-5)


def model_of(settings, bank):
    """A fitted PatchCore with a given bank."""
    tensors = {
        "bank": bank,
        "bank_origins": np.zeros((len(bank), 3), np.int32),
        "bank_radii": np.zeros(0, np.float32),
        "index_recall": np.ones(1),
    }
    return METHODS["patchcore"].restore(settings, tensors, HOST)


def test_a_whole_image_scores_what_anomalib_says(golden):
    """Feature maps to embedding, image score and map with the settings of the preset."""
    layers = [
        normal("anomalib_scoring", "forward.layer2", 46, (2, 64, 28, 20)),
        normal("anomalib_scoring", "forward.layer3", 47, (2, 128, 14, 10)),
    ]
    bank = normal("anomalib_scoring", "forward.bank", 48, (300, 192), 0.35)
    expected = golden("anomalib_scoring")
    settings = PatchCoreSettings.from_mapping(PRESETS["anomalib"])
    model = model_of(settings, bank)

    scored = [model.score([layer[image] for layer in layers]) for image in range(2)]

    scores = [s.image_score for s in scored]
    np.testing.assert_allclose(scores, expected["forward/pred_score"].ravel(), atol=2e-5)
    size, cells = (224, 160), (28, 20)
    view = ImageGeometry(size, Box(0, 0, *size), size, cells, replace(settings, smoothing=SIGMA_4))
    drawn = np.stack([view.anomaly_map(s) for s in scored])
    np.testing.assert_allclose(
        drawn[:, ::8, ::8],
        expected["forward/anomaly_map_sub8"].reshape(2, 28, 20),
        atol=1e-4,
    )


SIGMA_4 = 4 * 224 / (224 * 160) ** 0.5  # what is 4 pixels of this input, said for 224 x 224


def test_a_whole_image_scores_what_the_official_code_says(golden):
    expected = golden("official_scoring")
    bank = normal("official_scoring", "nonsquare.bank", 22, (500, 64))
    query = normal("official_scoring", "nonsquare.query", 23, (1680, 64))
    settings = PatchCoreSettings.from_mapping(
        {**PRESETS["official"], "target_dims": None, "layer_dims": None, "patch_size": 1}
    )
    model = model_of(settings, bank)
    maps = query.reshape(3, 28, 20, 64).transpose(0, 3, 1, 2)

    scored = [model.score([np.ascontiguousarray(m)]) for m in maps]

    grids = np.stack([s.patch_scores for s in scored])
    np.testing.assert_allclose(grids, expected["nonsquare/k1/patch_scores"], atol=1e-4)
    scores = [s.image_score for s in scored]
    np.testing.assert_allclose(scores, expected["nonsquare/k1/image_scores"], atol=1e-4)
