"""TIFF files are read as the picture that was written, or refused."""

import io
from itertools import product

import numpy as np
import pytest
import tifffile
from PIL import Image

from patchbank.errors import ImageError
from patchbank.images.masks import image_size, read_mask
from patchbank.images.source import image_source, read_image
from tests.photographs import part
from tests.tiff_files import ORIENTATIONS, tiff_bytes

COLOUR = part(3, size=(37, 53))
GREY = COLOUR[..., 1]
DEEP = GREY.astype(np.uint16) * 257


def grey_as_rgb(grey):
    return np.stack([grey] * 3, axis=2)


def written(pixels, **options):
    """A TIFF file by tifffile."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(("bits", "order"), [(8, "<"), (16, "<"), (16, ">")])
@pytest.mark.parametrize("deflate", [False, True])
def test_every_orientation_is_shown_upright(orientation, bits, order, deflate):
    pixels = GREY if bits == 8 else DEEP
    content = tiff_bytes(pixels, bits, order=order, deflate=deflate, tags={274: [orientation]})
    expected = grey_as_rgb(ORIENTATIONS[orientation](GREY))
    assert (read_image(content) == expected).all()
    source = image_source(content)
    assert source.header[:2] == expected.shape[:2]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("planar", [False, True])
def test_every_orientation_of_colours_of_16_bits_is_shown_upright(orientation, planar):
    deep = COLOUR.astype(np.uint16) * 257
    content = tiff_bytes(deep, 16, planar=planar, tags={274: [orientation]})
    assert (read_image(content) == ORIENTATIONS[orientation](COLOUR)).all()


@pytest.mark.parametrize("orientation", [3, 6])
def test_pillow_images_of_turned_files_are_upright_too(orientation, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_bytes(GREY, 8, tags={274: [orientation]}))
    with Image.open(path) as opened:
        read = read_image(opened)
    assert (read == grey_as_rgb(ORIENTATIONS[orientation](GREY))).all()


@pytest.mark.parametrize(
    ("planar", "order", "deflate", "tile"),
    list(product([False, True], "<>", [False, True], [None, (16, 32)])),
)
@pytest.mark.parametrize("bits", [8, 16])
def test_planes_strips_and_tiles_of_both_byte_orders_are_read(bits, planar, order, deflate, tile):
    pixels = COLOUR if bits == 8 else COLOUR.astype(np.uint16) * 257
    content = tiff_bytes(pixels, bits, order=order, planar=planar, deflate=deflate, tile=tile)
    assert (read_image(content) == COLOUR).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_zero_is_black_or_white_as_the_file_says(bits, order, photometric):
    top = 2**bits - 1
    shown = GREY.astype(int) * top // 255
    stored = top - shown if photometric == 0 else shown
    read = read_image(tiff_bytes(stored, bits, order=order, tags={262: [photometric]}))
    expected = shown * 255 // top if bits <= 8 else shown >> 8
    assert (read == grey_as_rgb(expected)).all()


def test_12_bits_are_read_as_their_upper_eight():
    values = GREY.astype(int) * 4095 // 255
    assert (read_image(tiff_bytes(values, 12)) == grey_as_rgb(values >> 4)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib", "predictor": True},
        {"rowsperstrip": 5},
        {"tile": (16, 16), "compression": "zlib"},
        {"bigtiff": True},
        {"byteorder": ">", "predictor": True, "compression": "zlib"},
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3])
def test_files_of_tifffile_are_read_as_it_reads_them(options, dtype, samples):
    pixels = (GREY if samples == 1 else COLOUR).astype(dtype)
    pixels = pixels * dtype(257) if dtype is np.uint16 else pixels
    photometric = "minisblack" if samples == 1 else "rgb"
    content = written(pixels, photometric=photometric, **options)
    expected = tifffile.imread(io.BytesIO(content)) >> (8 * (dtype is np.uint16))
    assert (read_image(content) == (grey_as_rgb(expected) if samples == 1 else expected)).all()


def test_a_small_file_with_thousands_of_channels_is_refused():
    content = written(
        np.zeros((16, 24, 3000), np.uint8),
        photometric="minisblack",
        planarconfig="contig",
        compression="zlib",
    )
    with pytest.raises(ImageError, match="expected grey, RGB, palette or CMYK pixels"):
        read_image(content)


def test_a_tile_that_is_larger_than_any_image_is_refused(monkeypatch):
    content = written(np.zeros((16, 24), np.uint8), tile=(64, 64), compression="zlib")
    assert read_image(content).shape == (16, 24, 3)
    monkeypatch.setenv("PATCHBANK_MAX_PIXELS", "4095")
    with pytest.raises(ImageError, match="expected grey, RGB, palette or CMYK pixels"):
        read_image(content)


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "CMYK", "P"])
def test_files_of_pillow_with_codecs_that_tifffile_lacks_are_read(mode, compression):
    if compression == "group4" and mode != "1":
        pytest.skip("a codec of one bit")
    image = Image.fromarray(DEEP) if mode == "I;16" else Image.fromarray(COLOUR).convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    expected = grey_as_rgb(GREY) if mode == "I;16" else np.asarray(image.convert("RGB"))
    assert (read_image(file.getvalue()) == expected).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("samples", [2, 4])
def test_transparent_pixels_are_black(dtype, planar, compression, samples):
    scale = dtype(257) if dtype is np.uint16 else dtype(1)
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[:9, :20] = 0
    colours = GREY[..., None] if samples == 2 else COLOUR
    pixels = np.dstack([colours, alpha]).astype(dtype) * scale
    content = written(
        pixels if planar == "contig" else np.ascontiguousarray(np.moveaxis(pixels, -1, 0)),
        photometric="minisblack" if samples == 2 else "rgb",
        planarconfig=planar,
        extrasamples=["unassalpha"],
        compression=compression,
    )
    read = read_image(content)
    assert (read[:9, :20] == 0).all()
    assert (read[9:] == colours[9:]).all()


def test_colours_that_are_multiplied_by_alpha_are_not_multiplied_again():
    alpha = np.full(GREY.shape, 65535, np.uint16)
    alpha[:, 20:] = 32768
    multiplied = (COLOUR.astype(np.uint32) * 257 * alpha[..., None] // 65535).astype(np.uint16)
    content = written(
        np.dstack([multiplied, alpha]), photometric="rgb", extrasamples=["assocalpha"]
    )
    assert (read_image(content) == multiplied >> 8).all()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (lambda: written(DEEP.astype(np.uint32)), "32-bit (or signed )?integer numbers"),
        (lambda: written(GREY / np.float32(255)), "floating-point numbers"),
        (lambda: written(GREY / np.float16(255)), "16-bit floating-point"),
        (lambda: written(DEEP.astype(np.int16)), "signed integer numbers"),
        (lambda: written(GREY.astype(np.int8)), "8-bit signed numbers"),
        (lambda: written(COLOUR.astype(np.uint32), photometric="rgb"), "32-bit integer numbers"),
        (lambda: written(COLOUR / 255.0, photometric="rgb"), "64-bit floating-point numbers"),
        (lambda: tiff_bytes(GREY, 8, tags={254: [1]}), "reduced copy"),
        (lambda: tiff_bytes(GREY, 8, tags={259: [6]}), "compression 6"),
        (lambda: tiff_bytes(COLOUR, 8, tags={262: [6]}), "YCbCr"),
        (lambda: tiff_bytes(GREY, 8, tags={262: [32803]}), "camera raw"),
        (lambda: tiff_bytes(GREY, 10), "10-bit numbers"),
        (lambda: tiff_bytes(GREY, 8, tile=(16, 32), tags={324: [300, 0, 300, 0, 0, 0]}), "8-bit"),
        (lambda: tiff_bytes(GREY, 8, tags={278: [9]}), "8-bit"),
    ],
)
def test_what_is_not_read_faithfully_is_refused_with_its_kind(content, what):
    with pytest.raises(ImageError, match=what) as caught:
        read_image(content())
    assert "convert it" in str(caught.value)


def test_the_first_of_several_pages_is_read():
    content = written(np.stack([GREY, GREY[::-1]]), photometric="minisblack")
    assert (read_image(content) == grey_as_rgb(GREY)).all()
    assert image_source(content).read_with_facts()[1].has_more
    assert not image_source(written(GREY, photometric="minisblack")).read_with_facts()[1].has_more


@pytest.mark.parametrize("n_pages", [1, 2])
def test_further_pages_of_files_that_pillow_does_not_open_are_known(n_pages):
    with_alpha = np.stack([DEEP, np.full_like(DEEP, 65535)], axis=2)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(n_pages):
            writer.write(with_alpha, photometric="minisblack", extrasamples=[2])
    source = image_source(file.getvalue())
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(file.getvalue()))
    assert source.header[:2] == GREY.shape
    assert source.header.has_more == (n_pages > 1)
    assert source.read_with_facts()[1].has_more == (n_pages > 1)


def test_lab_is_converted_as_its_formula_says():
    lab = np.empty((20, 30, 3), np.uint8)
    lab[:] = (150, 20, 250)  # L 58.8, a 20, b -6
    read = read_image(written(lab, photometric="cielab"))
    # Lab -> XYZ under D50 -> linear sRGB (Bradford) -> sRGB
    fy = (150 / 255 * 100 + 16) / 116
    xyz = np.array([0.9642, 1, 0.8249]) * np.array([fy + 20 / 500, fy, fy + 6 / 200]) ** 3
    matrix = [[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]]
    linear = np.array(matrix) @ xyz
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read[0, 0] - expected).max() < 1.5


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_masks_are_turned_as_their_orientation_says(orientation, tmp_path):
    mask = np.zeros((20, 30), np.uint16)
    mask[3:7, 4:20] = 1
    path = tmp_path / "m.tif"
    path.write_bytes(tiff_bytes(mask, 16, tags={274: [orientation]}))
    expected = ORIENTATIONS[orientation](mask > 0)
    assert image_size(path) == expected.shape
    assert (read_mask(path, expected.shape) == expected).all()
