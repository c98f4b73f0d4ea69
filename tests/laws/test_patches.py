"""Embeddings against the unfolded definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.spatial import patch_embedding
from patchbank.errors import ShapeError
from tests.oracles import patches as oracle


def drawn(seed, layers, sizes):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((c, h, w)).astype(np.float32)
        for c, (h, w) in zip(layers, sizes, strict=True)
    ]


SIDES = st.tuples(st.integers(3, 9), st.integers(3, 9))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    sizes=st.lists(SIDES, min_size=3, max_size=3),
    patch_size=st.integers(1, 4),
    stride=st.integers(1, 2),
)
def test_concatenation_is_the_mean_of_unfolded_neighbourhoods(
    seed, channels, sizes, patch_size, stride
):
    maps = drawn(seed, channels, sizes[: len(channels)])
    fast = patch_embedding.concatenated(maps, patch_size, stride)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, oracle.concatenated(maps, patch_size, stride), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    sizes=st.lists(SIDES, min_size=3, max_size=3),
    patch_size=st.integers(1, 4),
    stride=st.integers(1, 2),
    layer_dims=st.integers(1, 30),
    target_dims=st.integers(1, 40),
)
def test_adaptive_pooling_is_that_of_unfolded_neighbourhoods(
    seed, channels, sizes, patch_size, stride, layer_dims, target_dims
):
    maps = drawn(seed, channels, sizes[: len(channels)])
    dims = {"layer_dims": layer_dims, "target_dims": target_dims}
    fast = patch_embedding.adaptively_pooled(maps, patch_size, stride, **dims)
    slow = oracle.adaptively_pooled(maps, patch_size, stride, layer_dims, target_dims)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_the_official_weights_of_the_centre_are_double():
    """512 channels, 3 x 3, to 1024 and 1024: 0.1 everywhere and 0.2 at the centre."""
    impulse = np.zeros((512, 5, 7), np.float32)
    impulse[3, 2, 4] = 1.0
    other = np.zeros((1024, 3, 4), np.float32)
    embedded = patch_embedding.adaptively_pooled([impulse, other], 3)[..., 3]
    expected = np.zeros((5, 7))
    expected[1:4, 3:6] = 0.1
    expected[2, 4] = 0.2
    np.testing.assert_allclose(embedded, expected, atol=1e-7)


def test_wrong_maps_are_named():
    with pytest.raises(ShapeError, match=r"expected \(c, h, w\), got \(4, 5\)"):
        patch_embedding.concatenated([np.zeros((4, 5), np.float32)])
    with pytest.raises(ShapeError, match="use a larger image_size"):
        patch_embedding.concatenated([np.zeros((4, 1, 1), np.float32)], 4)
