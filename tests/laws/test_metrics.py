"""Metrics against trying every threshold, and against scikit-learn."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from patchbank.errors import ShapeError
from patchbank.evaluation.metrics import (
    PixelCounter,
    auroc,
    average_precision,
    count_images,
    f1_max,
    roc,
)
from tests.oracles import metrics as oracle

CASES = {"n": st.integers(2, 40), "levels": st.integers(1, 12), "seed": st.integers(0, 9999)}


def drawn(n, levels, seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.5
    labels[:2] = [True, False]
    return rng.integers(0, levels, n).astype(np.float32), labels


@settings(deadline=None)
@given(**CASES)
def test_image_metrics_are_those_of_every_threshold(n, levels, seed):
    scores, labels = drawn(n, levels, seed)
    counts = count_images(scores, labels)
    assert auroc(counts) == pytest.approx(oracle.auroc(scores, labels))
    assert average_precision(counts) == pytest.approx(oracle.average_precision(scores, labels))
    assert f1_max(counts) == pytest.approx(oracle.f1_max(scores, labels))


@settings(deadline=None)
@given(**CASES)
def test_image_metrics_are_those_of_scikit_learn(n, levels, seed):
    scores, labels = drawn(n, levels, seed)
    counts = count_images(scores, labels)
    assert auroc(counts) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))
    expected = sklearn_metrics.average_precision_score(labels, scores)
    assert average_precision(counts) == pytest.approx(expected)
    assert np.trapezoid(*roc(counts)[::-1]) == pytest.approx(auroc(counts))


@settings(max_examples=60, deadline=None)
@given(levels=st.integers(1, 8), seed=st.integers(0, 9999), limit=st.sampled_from([0.05, 0.3, 1.0]))
def test_pixel_metrics_are_those_of_every_threshold(levels, seed, limit):
    rng = np.random.default_rng(seed)
    maps = [rng.integers(0, levels, (5, 7)).astype(np.float32) for _ in range(3)]
    masks = [rng.random((5, 7)) < share for share in (0.3, 0.0, 0.1)]
    masks[0][1, 2], masks[0][0, 0] = True, False
    ours = PixelCounter(lambda: zip(maps, masks, strict=True)).metrics(limit)
    scores, labels = np.concatenate(maps).ravel(), np.concatenate(masks).ravel()
    assert ours.auroc == pytest.approx(oracle.auroc(scores, labels))
    assert ours.average_precision == pytest.approx(oracle.average_precision(scores, labels))
    assert ours.f1_max == pytest.approx(oracle.f1_max(scores, labels)[0])
    assert ours.aupro == pytest.approx(oracle.aupro(maps, masks, limit))


@settings(max_examples=60, deadline=None)
@given(
    levels=st.integers(1, 30),
    seed=st.integers(0, 9999),
    scores_at_once=st.integers(1, 5),
    pixels_at_once=st.integers(1, 20),
)
def test_pixel_metrics_do_not_depend_on_what_is_done_at_once(
    levels, seed, scores_at_once, pixels_at_once
):
    rng = np.random.default_rng(seed)
    maps = [rng.integers(-levels, levels, (5, 7)).astype(np.float32) / 3 for _ in range(4)]
    masks = [rng.random((5, 7)) < share for share in (0.3, 0.0, 0.9, 0.1)]
    masks[0][1, 2], masks[0][0, 0] = True, False

    def images():
        return zip(maps, masks, strict=True)

    whole = PixelCounter(images).metrics()
    parallel_ranges = PixelCounter(
        images, scores_at_once=scores_at_once, pixels_at_once=pixels_at_once
    ).metrics()
    assert parallel_ranges.f1_max == whole.f1_max
    assert parallel_ranges.auroc == pytest.approx(whole.auroc, rel=1e-12)
    assert parallel_ranges.average_precision == pytest.approx(whole.average_precision, rel=1e-12)
    assert parallel_ranges.aupro == pytest.approx(whole.aupro, rel=1e-12)
    assert whole.aupro == pytest.approx(oracle.aupro(maps, masks, 0.3))


@pytest.mark.parametrize("n_images", [4, 24])
def test_memory_of_pixel_metrics_does_not_grow_with_the_images(n_images):
    shape, at_once = (96, 128), 2**14

    def images():
        for seed in range(n_images):
            rng = np.random.default_rng(seed)
            yield rng.random(shape, dtype=np.float32), rng.random(shape) < 0.5

    tracemalloc.start()
    PixelCounter(images, scores_at_once=at_once, pixels_at_once=at_once).metrics()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    of_one_image = 40 * shape[0] * shape[1]
    assert peak < 160 * at_once + 2 * of_one_image
    assert peak > 36 * at_once


def test_what_cannot_be_ranked_is_named():
    with pytest.raises(ShapeError, match="one class only"):
        count_images(np.zeros(3), np.zeros(3, bool))
    with pytest.raises(ShapeError, match="NaN"):
        count_images(np.array([1.0, np.nan]), np.array([True, False]))
    with pytest.raises(ShapeError, match=r"expected \(n,\) both"):
        count_images(np.zeros(3), np.zeros(2, bool))
    one = np.ones((2, 3), np.float32)
    with pytest.raises(ShapeError, match="at least one defect pixel"):
        PixelCounter(lambda: [(one, one < 0)]).metrics()
    with pytest.raises(ShapeError, match="at least one good pixel"):
        PixelCounter(lambda: [(one, one > 0)]).metrics()
    with pytest.raises(ShapeError, match="map: expected finite numbers"):
        PixelCounter(lambda: [(one * np.nan, one > 0)]).metrics()
    with pytest.raises(ShapeError, match="as its map"):
        PixelCounter(lambda: [(one, np.ones((3, 2), bool))]).metrics()
