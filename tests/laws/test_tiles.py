"""A photograph in tiles is the photograph seen whole: its features, its bank, its scores."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patchbank import ParameterError, PatchCore
from patchbank.backbones import open_backbone
from patchbank.core.spatial.tiles import Span, Tile, parts_of
from patchbank.detector.preprocessing import extract
from patchbank.detector.tiling import Tiling
from patchbank.images.resize import resized
from patchbank.images.roi.region import RegionOfInterest
from patchbank.methods import METHODS, PatchCoreSettings, TrainingImage
from patchbank.methods.patchcore import embed
from patchbank.settings import part_of
from tests.fitting import fit_on_features
from tests.onnx_files import write_onnx

METHOD = METHODS["patchcore"]
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A network whose receptive field is one cell of the deepest layer."""
    path = write_onnx(tmp_path_factory.mktemp("networks") / "small.onnx")
    return open_backbone(path, None, normalisation=HALF)


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def stitched(extractor, chosen, image, part=None, **layout):
    """The patch grid of all tiles, (h, w, d), each patch of which must come from one tile.

    Patches that no tile has are NaN: of a region of interest some tiles are left out.
    """
    tiling = Tiling.of(extractor, chosen, image.shape[:2], part, **layout)
    stride, grid = chosen.patch_stride, None
    for number in range(len(tiling.tiles)):
        tile = tiling.tile(number)
        features = embed(part_of(chosen, METHOD.parameters), tiling.features(image, number))
        if grid is None:
            grid = np.full((*tile.patch_grid(stride), features.shape[2]), np.nan, np.float32)
        own = tile.own_patches(stride)
        assert np.isnan(grid[own]).all()
        grid[own] = features[tile.in_maps(stride)]
    assert grid is not None
    assert part is not None or not np.isnan(grid).any()
    return grid, tiling


def seen_whole(extractor, chosen, image, size):
    """The patch grid of an image continued to `size` by its mirror image, seen in one piece."""
    beyond = [(0, n - side) for n, side in zip(size, image.shape[:2], strict=True)]
    padded = np.pad(image, (*beyond, (0, 0)), mode="symmetric")
    maps = []
    for scale in chosen.scales:
        shape = int(size[0] * scale), int(size[1] * scale)
        narrow = resized(padded, (size[0], shape[1]))  # one side first: Pillow rounds in between
        maps += extractor(np.ascontiguousarray(resized(narrow, shape)))
    return embed(part_of(chosen, METHOD.parameters), maps)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(33, 420), st.integers(33, 420)),
    tile_px=st.sampled_from([64, 96, 160]),
    scales=st.sampled_from([(1.0,), (1.0, 0.5), (0.5,), (0.5, 1.0), (0.75, 0.25)]),
    patch_size=st.sampled_from([1, 3, 5]),
    patch_stride=st.sampled_from([1, 2, 3]),
)
def test_patches_of_tiles_are_those_of_the_photograph_seen_whole(
    small, size, tile_px, scales, patch_size, patch_stride
):
    chosen = PatchCoreSettings(
        backbone="small",
        tiles=True,
        scales=scales,
        patch_size=patch_size,
        patch_stride=patch_stride,
    )
    image = noise(size)
    grid, tiling = stitched(small, chosen, image, tile_px=tile_px)
    whole = seen_whole(small, chosen, image, tiling.size)
    # Patches below and to the right of the photograph are left out.
    np.testing.assert_allclose(grid, whole[: grid.shape[0], : grid.shape[1]], rtol=1e-4, atol=1e-3)
    cells = [-int(-side * scales[0] // 4) for side in size]
    assert grid.shape[:2] == tuple(-(-n // patch_stride) for n in cells)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(33, 300), st.integers(33, 300)),
    corners=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=3),
    sides=st.tuples(st.integers(2, 90), st.integers(2, 90)),
    scales=st.sampled_from([(1.0,), (1.0, 0.5), (0.5,)]),
    patch_stride=st.sampled_from([1, 2, 3]),
)
def test_tiles_of_a_region_are_those_of_its_box_and_have_all_of_its_patches(
    small, size, corners, sides, scales, patch_stride
):
    mask = np.zeros(size, dtype=bool)
    for down, across in corners:
        top, left = int(down * (size[0] - 2)), int(across * (size[1] - 2))
        mask[top : top + sides[0], left : left + sides[1]] = True
    part, image = RegionOfInterest(mask).on(size), noise(size)
    chosen = PatchCoreSettings(
        backbone="small", tiles=True, scales=scales, patch_stride=patch_stride
    )
    grid, tiling = stitched(small, chosen, image, part, tile_px=64)
    cut, _ = stitched(small, chosen, np.ascontiguousarray(part.box.of(image)), tile_px=64)
    assert grid.shape == cut.shape
    is_seen = ~np.isnan(grid).any(axis=2)
    np.testing.assert_array_equal(grid[is_seen], cut[is_seen])
    cells = tiling.geometry.cells
    if cells is None:
        assert is_seen.all()
    else:
        assert is_seen[cells[::patch_stride, ::patch_stride]].all()
        tiles = [tiling.tile(number) for number in range(len(tiling.tiles))]
        assert all(tile.own(cells, 1).any() for tile in tiles)  # no other one is made


def test_the_margin_in_use_leaves_no_seam_and_a_narrow_one_does():
    """Two layers of an embedded backbone, whose receptive field ends within 192 pixels."""
    extractor = open_backbone("efficientnet_lite0", None)
    chosen = PatchCore(backbone="efficientnet_lite0", tiles=True, patch_size=3)
    image = resized(noise((128, 192), seed=3), (512, 768))
    seen = chosen.with_changes(tiles=False, image_size=(512, 768))
    whole = embed(part_of(chosen, METHOD.parameters), extract(extractor, seen, image)[0])
    spread = np.linalg.norm(whole - whole.mean(axis=(0, 1)), axis=2).mean()

    def difference(margin_px):
        grid, tiling = stitched(extractor, chosen, image, tile_px=256, margin_px=margin_px)
        assert len(tiling.tiles) == 6
        return np.linalg.norm(grid - whole, axis=2) / spread

    assert difference(None).max() < 1e-4
    seams = difference(32)
    assert seams[31:33].max() > 0.1  # at the border between rows of tiles, 256 pixels down
    assert seams[:8, :16].max() < 1e-4  # not where tiles have the border of the photograph


def tiles_of(grid, rows, columns):
    """Tiles that see nothing but themselves."""
    return [
        Tile(grid, down, across, down, across, down.begin == across.begin == 0)
        for down in parts_of(grid[0], rows, 1)
        for across in parts_of(grid[1], columns, 1)
    ]


def in_tiles(image, rows, columns):
    """The images that `image` comes in."""
    (planes,) = image.maps
    return [
        TrainingImage(
            [planes[:, slice(*tile.rows), slice(*tile.columns)]],
            image.photograph,
            image.inside,
            tile=tile,
        )
        for tile in tiles_of(planes.shape[1:], rows, columns)
    ]


@settings(max_examples=30, deadline=None)
@given(
    grids=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 9)), min_size=3, max_size=6),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    chosen=st.sampled_from(
        [{}, {"n_neighbours": 2}, {"selection": "all"}, {"image_score": "reweighted"}]
    ),
    grouped=st.booleans(),
)
@example(grids=[(1, 1)] * 3, rows=1, columns=1, chosen={"n_neighbours": 2}, grouped=True)
def test_a_bank_of_tiles_is_that_of_whole_photographs_and_leaves_out_all_tiles_of_a_group(
    grids, rows, columns, chosen, grouped
):
    rng = np.random.default_rng(0)
    examples = []
    for number, grid in enumerate(grids):
        examples.append(TrainingImage([rng.standard_normal((4, *grid), np.float32)], number))
        if number % 2:
            inside = rng.random(grid) < 0.7
            planes = rng.standard_normal((4, *grid), np.float32)
            examples.append(TrainingImage([planes], number, inside))
    parameters = METHOD.parameters(patch_size=1, patch_stride=1, banks="joint", **chosen)
    groups = np.arange(len(grids)) // 2 if grouped else None
    parts = [part for image in examples for part in in_tiles(image, rows, columns)]

    def fitted(images):
        return fit_on_features(METHOD, parameters, images, len(examples), groups=groups)

    try:
        whole = fitted(examples)
    except ParameterError as error:  # too few patches for two neighbours in other photographs
        with pytest.raises(ParameterError, match=re.escape(str(error))):
            fitted(parts)
        return
    tiled = fitted(parts)
    order = slice(None)
    if "selection" in chosen:  # the rows are in the order of the tiles
        order = np.lexsort(tiled.model.origins.T[[2, 1, 3, 0]])
    assert (whole.model.bank == tiled.model.bank[order]).all()
    assert (whole.model.origins == tiled.model.origins[order]).all()
    for one, other in zip(whole.left_out, tiled.left_out, strict=True):
        np.testing.assert_allclose(one.patch_scores, other.patch_scores, rtol=1e-6)
        assert one.image_score == pytest.approx(other.image_score, rel=1e-6)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    stride=st.integers(1, 4),
)
def test_every_patch_belongs_to_one_tile(size, rows, columns, stride):
    unit = (rows * stride, columns * stride)
    padded = [-(-side // stride) * stride for side in size]
    numbers = []
    for down in parts_of(padded[0], unit[0], stride):
        for across in parts_of(padded[1], unit[1], stride):
            own = [
                Span(span.begin, min(span.end, side))
                for span, side in zip((down, across), size, strict=True)
            ]
            numbers.append(Tile(size, down, across, *own, is_first=not numbers).cells(stride))
    found = np.concatenate(numbers)
    h, w = (-(-side // stride) for side in size)
    assert sorted(found.tolist()) == list(range(h * w))
