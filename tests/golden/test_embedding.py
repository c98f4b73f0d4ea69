"""Embeddings of the official code and of anomalib."""

import numpy as np
import pytest

from patchbank.core.spatial import patch_embedding
from tests.golden.inputs import normal

OFFICIAL = {  # case: {layer: (seed, shape)}, (patch size, stride, layer dims, target dims)
    "wr50_square": (
        {"layer2": (0, (2, 512, 28, 28)), "layer3": (1, (2, 1024, 14, 14))},
        (3, 1, 1024, 1024),
    ),
    "wr50_nonsquare": (
        {"layer2": (2, (2, 512, 28, 20)), "layer3": (3, (2, 1024, 14, 10))},
        (3, 1, 1024, 1024),
    ),
    "p5_three_layers": (
        {
            "layer1": (4, (2, 64, 28, 20)),
            "layer2": (5, (2, 128, 14, 10)),
            "layer3": (6, (2, 256, 7, 5)),
        },
        (5, 1, 256, 384),
    ),
    "p3_stride2": (
        {"layer2": (7, (2, 64, 28, 20)), "layer3": (8, (2, 128, 14, 10))},
        (3, 2, 256, 200),
    ),
    "coarse_first": (
        {"layer3": (9, (1, 128, 14, 10)), "layer2": (10, (1, 64, 28, 20))},
        (3, 1, 100, 150),
    ),
    "p4_even": (
        {"layer2": (11, (1, 64, 28, 20)), "layer3": (12, (1, 128, 14, 10))},
        (4, 1, 256, 256),
    ),
    "upsampling_pool": (
        {"layer1": (13, (1, 16, 14, 10)), "layer2": (14, (1, 24, 7, 5))},
        (1, 1, 40, 70),
    ),
}


@pytest.mark.parametrize("case", OFFICIAL)
def test_adaptive_pooling_is_that_of_the_official_code(golden, case):
    layers, (patch_size, stride, layer_dims, target_dims) = OFFICIAL[case]
    maps = [
        normal("official_embedding", f"{case}.{layer}", seed, shape)
        for layer, (seed, shape) in layers.items()
    ]
    expected = golden("official_embedding")

    embedded = np.concatenate(
        [
            patch_embedding.adaptively_pooled(
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
    layer2 = normal("anomalib_scoring", "forward.layer2", 46, (2, 64, 28, 20))
    layer3 = normal("anomalib_scoring", "forward.layer3", 47, (2, 128, 14, 10))
    expected = golden("anomalib_scoring")

    embedded = np.concatenate(
        [
            patch_embedding.concatenated([a, b], 3).reshape(-1, 192)
            for a, b in zip(layer2, layer3, strict=True)
        ]
    )

    rows = embedded[expected["forward/rows"]]
    np.testing.assert_allclose(rows, expected["forward/embedding_rows"], rtol=0, atol=1e-5)
    norms = np.linalg.norm(embedded, axis=1)
    np.testing.assert_allclose(norms, expected["forward/row_l2_all"], rtol=1e-5)
