"""Laws of the operators along one axis: a matrix in blocks is the whole matrix."""

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from patchbank.core.spatial import anomaly_map, patch_embedding, resampling

BORDERS = st.sampled_from(["reflect", "mirror"])
INTERPOLATIONS = st.sampled_from(["bilinear", "nearest"])


@contextmanager
def in_blocks(rows):
    """Operators are made in blocks of a few rows; nothing that was made before is used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "WHOLE_SIZE", 0)
        patch.setattr(resampling, "BLOCK_ROWS", rows)
        forget()
        yield
    forget()


def forget():
    for cached in (resampling.window_mean, resampling.window_element, resampling.resize):
        cached.cache_clear()
    anomaly_map._operator.cache_clear()
    anomaly_map._to_input.cache_clear()


def agree(made, rows):
    """`made` gives the same operators whole and in blocks; the last step rounds differently."""
    forget()
    whole = [operator.matrix() for operator in made()]
    with in_blocks(rows):
        blocked = [operator.matrix() for operator in made()]
    for one, other in zip(whole, blocked, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7)


@settings(deadline=None)
@given(
    n=st.integers(1, 40),
    size=st.integers(1, 6),
    stride=st.integers(1, 3),
    rows=st.integers(1, 9),
)
def test_windows_in_blocks_are_the_windows(n, size, stride, rows):
    n = max(n, size)
    agree(
        lambda: [
            resampling.window_mean(n, size, stride),
            *(resampling.window_element(n, size, stride, offset) for offset in range(size)),
        ],
        rows,
    )


@settings(deadline=None)
@given(
    n_patches=st.integers(1, 20),
    stride=st.integers(1, 3),
    n_input=st.integers(1, 90),
    n_pixels=st.integers(1, 90),
    sigma=st.floats(0, 12),
    interpolation=INTERPOLATIONS,
    border=BORDERS,
    rows=st.integers(1, 9),
)
def test_a_map_in_blocks_is_the_map(
    n_patches, stride, n_input, n_pixels, sigma, interpolation, border, rows
):
    n_cells = (n_patches - 1) * stride + 1
    agree(
        lambda: anomaly_map.map_operators(
            (n_patches, n_patches + 2),
            (n_input, n_input + 3),
            (n_pixels, n_pixels + 5),
            sigma=sigma,
            stride=stride,
            cells=(n_cells, n_cells + 2 * stride),
            interpolation=interpolation,
            border=border,
        ),
        rows,
    )


@settings(deadline=None)
@given(
    grid=st.tuples(st.integers(3, 30), st.integers(3, 30)),
    size=st.tuples(st.integers(3, 20), st.integers(3, 20)),
    patch_size=st.integers(1, 3),
    stride=st.integers(1, 3),
    rows=st.integers(1, 9),
)
def test_the_alignment_of_a_layer_in_blocks_is_the_alignment(grid, size, patch_size, stride, rows):
    agree(
        lambda: patch_embedding.layer_operators(size, patch_size, stride, grid, "bilinear"),
        rows,
    )


@settings(deadline=None)
@given(seed=st.integers(0, 99), rows=st.integers(1, 9))
def test_an_operator_in_blocks_is_applied_as_its_matrix(seed, rows):
    planes = np.random.default_rng(seed).random((3, 11, 17)).astype(np.float32)
    with in_blocks(rows):
        down, across = resampling.resize(11, 23), resampling.window_mean(17, 3, 2).scaled(3)
        assert len(down.blocks) == -(-23 // rows)
        made = resampling.apply(down, across, planes)
        np.testing.assert_allclose(
            made, down.matrix() @ planes @ across.matrix().T, rtol=1e-5, atol=1e-6
        )


def test_a_long_side_takes_numbers_in_proportion_and_is_smoothed_as_scipy_does():
    """Two patches by 1,448: a photograph of 8 x 65,500 pixels."""
    grid = np.random.default_rng(0).random((2, 1448)).astype(np.float32)
    _, columns = anomaly_map.map_operators((2, 1448), (16, 11584), (8, 65500), sigma=7.5)
    assert columns.shape == (65500, 1448)
    assert sum(block.matrix.size for block in columns.blocks) < 65500 * 60
    made = anomaly_map.anomaly_map(grid, (16, 11584), (16, 11584), sigma=7.5)
    enlarged = anomaly_map.anomaly_map(grid, (16, 11584), (16, 11584), sigma=0)
    expected = ndimage.gaussian_filter(enlarged.astype(np.float64), 7.5, mode="reflect")
    np.testing.assert_allclose(made, expected, atol=1e-5)
