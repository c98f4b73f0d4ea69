"""Metrics of scikit-learn, and AUPRO from its definition."""

import json

import numpy as np
import pytest

from patchbank.evaluation.metrics import (
    PixelCounter,
    auroc,
    average_precision,
    count_images,
    f1_max,
)
from tests.conftest import GOLDEN

RESULTS = json.loads((GOLDEN / "metrics.json").read_text())["results"]


def image_case(name):
    labels = np.random.default_rng(100).random(40) < 0.4
    z = np.random.default_rng(101).standard_normal(40) + labels
    scores = {
        "image_unit": np.round(1 / (1 + np.exp(-z)), 2),
        "image_raw": np.round(30 + 4 * z, 0),
        "image_neg": np.round(z, 1),
    }
    return scores[name].astype(np.float32), labels


def pixel_masks():
    rng, masks = np.random.default_rng(102), np.zeros((4, 64, 48), bool)
    for i in (1, 2, 3):
        for _ in range(rng.integers(2, 5)):
            y, x = rng.integers(10, 64 - 8), rng.integers(0, 48 - 8)
            h, w = rng.integers(3, 12), rng.integers(3, 12)
            masks[i, y : y + h, x : x + w] = True
    masks[1, 1:4, 1:4] = masks[1, 4:7, 4:7] = True
    return masks


def pixel_case(name):
    masks = pixel_masks()
    z = np.random.default_rng(103).standard_normal((4, 64, 48)) + 1.5 * masks
    unit = 1 / (1 + np.exp(-z))
    maps = {
        "pixel_unit_ties": np.round(unit, 2),
        "pixel_noties": z,
        "pixel_unit_noties": unit,
        "pixel_raw_ties": np.round(30 + 4 * z, 0),
        "pixel_heavy_ties": np.clip(np.round(z / 2), 0, 3) / 4,
        "pixel_constant": np.full(masks.shape, 0.5),
    }
    return maps[name].astype(np.float32), masks


@pytest.mark.parametrize("name", ["image_unit", "image_raw", "image_neg"])
def test_image_metrics_are_those_of_scikit_learn(name):
    counts = count_images(*image_case(name))
    expected = RESULTS[name]
    best, threshold = f1_max(counts)
    assert auroc(counts) == pytest.approx(expected["sklearn_auroc"], abs=1e-9)
    assert average_precision(counts) == pytest.approx(expected["sklearn_ap"], abs=1e-9)
    assert best == pytest.approx(expected["f1max_sklearn"], abs=1e-9)
    assert threshold == pytest.approx(expected["f1max_threshold_sklearn"], abs=1e-6)


def test_the_masks_are_those_of_the_reference(golden):
    stored = golden("metrics")
    masks = np.unpackbits(stored["masks_packed"])[: 4 * 64 * 48].reshape(4, 64, 48)
    assert (masks.astype(bool) == pixel_masks()).all()


@pytest.mark.parametrize("name", [n for n in RESULTS if n.startswith("pixel")])
def test_pixel_metrics_are_those_of_scikit_learn_and_the_definition(name):
    maps, masks = pixel_case(name)
    counter = PixelCounter(lambda: zip(maps, masks, strict=True))
    expected, ours = RESULTS[name], counter.metrics()
    assert ours.auroc == pytest.approx(expected["sklearn_auroc"], abs=1e-9)
    assert ours.average_precision == pytest.approx(expected["sklearn_ap"], abs=1e-9)
    assert ours.f1_max == pytest.approx(expected["f1max_sklearn"], abs=1e-9)
    for limit in (0.05, 0.3, 1.0):
        value = counter.metrics(limit).aupro
        assert value == pytest.approx(expected[f"aupro_f64_8conn_{limit}"], abs=1e-9)
