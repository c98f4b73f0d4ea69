"""Embeddings of the official code and of anomalib."""

import numpy as np
import pytest

from patchbank.core import patches

OFFICIAL = {  # case: [(seed, sum, shape), ...], patch size, stride, layer dims, target dims
    "wr50_square": (
        [(0, 772.779638796666, (2, 512, 28, 28)), (1, -1153.1253818758114, (2, 1024, 14, 14))],
        (3, 1, 1024, 1024),
    ),
    "wr50_nonsquare": (
        [(2, None, (2, 512, 28, 20)), (3, None, (2, 1024, 14, 10))],
        (3, 1, 1024, 1024),
    ),
    "p5_three_layers": (
        [(4, None, (2, 64, 28, 20)), (5, None, (2, 128, 14, 10)), (6, None, (2, 256, 7, 5))],
        (5, 1, 256, 384),
    ),
    "p3_stride2": ([(7, None, (2, 64, 28, 20)), (8, None, (2, 128, 14, 10))], (3, 2, 256, 200)),
    "coarse_first": ([(9, None, (1, 128, 14, 10)), (10, None, (1, 64, 28, 20))], (3, 1, 100, 150)),
    "p4_even": ([(11, None, (1, 64, 28, 20)), (12, None, (1, 128, 14, 10))], (4, 1, 256, 256)),
    "upsampling_pool": ([(13, None, (1, 16, 14, 10)), (14, None, (1, 24, 7, 5))], (1, 1, 40, 70)),
}


def batch(seed, total, shape):
    maps = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    if total is not None:
        assert maps.astype(np.float64).sum() == pytest.approx(total)
    return maps


@pytest.mark.parametrize("case", OFFICIAL)
def test_adaptive_pooling_is_that_of_the_official_code(golden, case):
    layers, (patch_size, stride, layer_dims, target_dims) = OFFICIAL[case]
    maps = [batch(*layer) for layer in layers]
    expected = golden("official_embedding")

    embedded = np.concatenate(
        [
            patches.adaptively_pooled(
                [m[image] for m in maps],
                patch_size,
                stride,
                layer_dims=layer_dims,
                target_dims=target_dims,
            ).reshape(-1, target_dims)
            for image in range(len(maps[0]))
        ]
    )

    rows = embedded[expected[f"{case}/rows"]]
    np.testing.assert_allclose(rows, expected[f"{case}/embedding_rows"], rtol=0, atol=1e-5)
    means, norms = embedded.mean(axis=1, dtype=np.float64), np.linalg.norm(embedded, axis=1)
    np.testing.assert_allclose(means, expected[f"{case}/row_mean_all"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norms, expected[f"{case}/row_l2_all"], rtol=1e-5)


def test_concatenation_is_that_of_anomalib(golden):
    layer2, layer3 = batch(46, None, (2, 64, 28, 20)), batch(47, None, (2, 128, 14, 10))
    expected = golden("anomalib_scoring")

    embedded = np.concatenate(
        [
            patches.concatenated([a, b], 3).reshape(-1, 192)
            for a, b in zip(layer2, layer3, strict=True)
        ]
    )

    rows = embedded[expected["forward/rows"]]
    np.testing.assert_allclose(rows, expected["forward/embedding_rows"], rtol=0, atol=1e-5)
    norms = np.linalg.norm(embedded, axis=1)
    np.testing.assert_allclose(norms, expected["forward/row_l2_all"], rtol=1e-5)
