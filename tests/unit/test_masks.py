"""Masks of every kind show the defect that was painted."""

import io

import numpy as np
import pytest
from PIL import Image

from patchbank.errors import ImageError
from patchbank.images.masks import fits, image_size, read_mask, shows_anything
from tests.photographs import save

SIZE = (40, 60)
DEFECT = np.zeros(SIZE, bool)
DEFECT[9:22, 13:41] = True


def painted(value, dtype=np.uint8):
    return (DEFECT * value).astype(dtype)


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        (painted(1), ".png"),
        (painted(255), ".png"),
        (painted(1, np.uint16), ".png"),
        (painted(1, np.uint16), ".tif"),
        (painted(7, np.int32), ".tif"),
        (painted(0.5, np.float32), ".tif"),
        (painted(1), ".bmp"),
        (painted(1), ".gif"),
        (painted(255), ".webp"),
        (painted(255), ".jp2"),
        (painted(1), ".pgm"),
        (painted(1), ".tga"),
        (np.dstack([painted(3), painted(0), painted(0)]), ".png"),
        (np.dstack([painted(0), painted(0), painted(255)]), ".png"),
    ],
)
def test_every_value_but_black_is_a_defect(tmp_path, values, suffix):
    path = save(tmp_path / f"m{suffix}", values)
    assert (read_mask(path, SIZE) == DEFECT).all()
    assert shows_anything(path)
    save(path, np.zeros_like(values))
    assert not read_mask(path, SIZE).any()
    assert not shows_anything(path)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("value", [255, 90])
def test_shadows_of_lossy_formats_are_no_defect(tmp_path, suffix, quality, value):
    path = tmp_path / f"m{suffix}"
    Image.fromarray(painted(value)).save(path, quality=quality)
    read = read_mask(path, SIZE)
    # Of the 1,000 pixels at a border a few may move; those away from it may not.
    assert np.count_nonzero(read != DEFECT) < 20
    assert read[11:20, 15:39].all()
    assert not read[:7].any()


def test_a_lossy_mask_that_may_be_noise_is_refused(tmp_path):
    path = save(tmp_path / "m.jpg", painted(1))
    with pytest.raises(ImageError, match="values of up to 1 in a lossy format.*store it as PNG"):
        read_mask(path, SIZE)


def test_transparent_paint_is_no_defect_and_black_paint_is_one(tmp_path):
    alpha = painted(255)
    white = np.full((*SIZE, 3), 255, np.uint8)
    black = np.zeros((*SIZE, 3), np.uint8)
    for colours in (white, black):
        path = save(tmp_path / "m.png", np.dstack([colours, alpha]))
        assert (read_mask(path, SIZE) == DEFECT).all()
    opaque = save(tmp_path / "o.png", np.dstack([black, np.full(SIZE, 255, np.uint8)]))
    assert not read_mask(opaque, SIZE).any()
    grey = save(tmp_path / "g.png", np.dstack([painted(9), np.full(SIZE, 255, np.uint8)]))
    assert (read_mask(grey, SIZE) == DEFECT).all()


@pytest.mark.parametrize(
    ("palette", "indices", "expected"),
    [
        ([0, 0, 0, 255, 255, 255], (0, 1), DEFECT),
        ([255, 255, 255, 0, 0, 0], (1, 0), DEFECT),  # black is the background wherever it stands
        ([80, 0, 90, 255, 255, 0], (0, 1), DEFECT),  # no black: the first colour is
        ([0, 0, 0, 0, 0, 0, 1, 1, 1], (0, 2), DEFECT),
    ],
)
def test_a_palette_has_its_background_in_black_or_in_front(tmp_path, palette, indices, expected):
    image = Image.fromarray(np.where(DEFECT, indices[1], indices[0]).astype(np.uint8))
    image.putpalette(palette)
    image.save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", SIZE) == expected).all()


def test_orientation_is_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(painted(255)).save(tmp_path / "m.png", exif=exif)
    assert image_size(tmp_path / "m.png") == (60, 40)
    assert (read_mask(tmp_path / "m.png", (60, 40)) == np.rot90(DEFECT, -1)).all()


@pytest.mark.parametrize("factor", [2, 3])
def test_a_smaller_mask_is_enlarged_exactly(tmp_path, factor):
    path = save(tmp_path / "m.png", painted(1))
    expected = np.kron(DEFECT, np.ones((factor, factor), bool))
    assert (read_mask(path, (40 * factor, 60 * factor)) == expected).all()


def test_a_larger_mask_is_reduced_to_the_values_at_the_centres(tmp_path):
    path = save(tmp_path / "m.png", np.kron(painted(1), np.ones((3, 3), np.uint8)))
    assert (read_mask(path, SIZE) == DEFECT).all()
    # 5 -> 3 rows: centres at 5/6, 15/6 and 25/6 of a row
    rows = np.zeros((50, 70), np.uint8)
    rows[[0, 2, 4]] = 1
    small = read_mask(save(tmp_path / "r.png", rows), (30, 42))
    assert small[:3].any(axis=1).tolist() == [True, True, True]
    assert small[3:].sum() == 0


def test_a_mask_of_another_shape_is_refused(tmp_path):
    path = save(tmp_path / "m.png", painted(1))
    with pytest.raises(ImageError, match="expected a mask of 60 x 40 pixels .* got 40 x 60"):
        read_mask(path, (60, 40))
    assert not fits((40, 60), (60, 40))
    assert fits((40, 60), (80, 121))  # to the pixel
    assert fits((81, 121), (40, 60))
    assert not fits((40, 60), (80, 125))
    assert fits((7, 9), (7, 9))


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n broken"])
def test_the_size_of_what_is_no_image_is_an_error_of_one_line(tmp_path, content):
    path = tmp_path / "m.png"
    path.write_bytes(content)
    for read in (image_size, shows_anything, lambda p: read_mask(p, SIZE)):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: expected ")
        assert "\n" not in str(caught.value)


def test_other_files_in_a_folder_of_masks_are_not_masks(tmp_path):
    save(tmp_path / "masks" / "0.png", painted(1))
    (tmp_path / "masks" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    assert (read_mask(tmp_path / "masks", SIZE) == DEFECT).all()


def test_a_mask_with_16_bits_and_white_as_zero_is_inverted(tmp_path):
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, 65535 - painted(65535, np.uint16), photometric="miniswhite")
    (tmp_path / "m.tif").write_bytes(file.getvalue())
    assert (read_mask(tmp_path / "m.tif", SIZE) == DEFECT).all()
