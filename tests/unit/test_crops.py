"""Crops of an explanation: which are shown, what they show, and the picture made of them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from patchbank.core.spatial.box import Box
from patchbank.detector.explanation.crops import (
    SHOWN_GOOD,
    SIDE_PX,
    Crop,
    good_crops,
    odd_crop,
)
from patchbank.detector.explanation.pictures import DecodedPicture
from patchbank.detector.overlay import GREEN, RED
from patchbank.errors import ImageError
from patchbank.explaining.drawn import SHOWN_SPOTS, drawn
from patchbank.explaining.sheet import MARGIN_PX, OVERLAY_PX, WIDTH_PX, Row, sheet
from patchbank.images.pixel_map import GROUND, PixelMap
from tests import painted
from tests.unit.test_explanation_words import explanation, good, odd, spot

CELL_PX = 8.0


def around(down, right, cell_px=CELL_PX):
    return PixelMap.scaling((cell_px, cell_px), (down, right))


def at(number, down, right, part="bank 1", **changes):
    """A good patch of a photograph, with its centre at these pixels."""
    return good(
        photograph=f"{number}.png",
        number=number,
        part=part,
        around=around(down, right),
        **changes,
    )


class Plain:
    """Pictures in which a photograph is of one colour: its number times ten."""

    def __init__(self, size=(200, 300), scale=1.0, broken=()):
        self.size, self.scale, self.broken = size, scale, broken

    def picture(self, photograph):
        if photograph in self.broken:
            raise ImageError("broken")
        if photograph > 20:
            return None
        height, width = (round(self.scale * side) for side in self.size)
        image = np.full((height, width, 3), 10 * photograph, np.uint8)
        return DecodedPicture(image, Box(0, 0, *self.size))


def crops_of(*nearest, pictures=None):
    patch = odd(*nearest)
    return good_crops(explanation(spot(patch), pictures=pictures or Plain()), patch)


def numbers(crops):
    return [(crop.patch.number, crop.patch.part) for crop in crops]


def test_banks_are_shown_by_turns_the_last_one_first():
    nearest = [
        at(number, 50 + 9 * number, 60, part)
        for part, some in (("bank 1", (1, 2)), ("bank 2", (3, 4)), ("bank 3", (5, 6)))
        for number in some
    ]
    assert numbers(crops_of(*nearest)) == [
        (5, "bank 3"),
        (3, "bank 2"),
        (1, "bank 1"),
        (6, "bank 3"),
    ]
    assert SHOWN_GOOD == 4


def test_of_one_bank_the_nearest_four_are_shown():
    nearest = [at(number, 50, 60) for number in (4, 2, 9, 1, 3)]
    assert [number for number, _ in numbers(crops_of(*nearest))] == [4, 2, 9, 1]


def test_the_same_spot_of_a_photograph_is_shown_once():
    shift = 0.25 * 16 * CELL_PX  # a quarter of a crop
    nearest = [at(1, 50, 60), at(1, 50, 60 + shift - 1), at(1, 50, 60 + shift), at(2, 50, 60)]
    shown = crops_of(*nearest)
    assert [crop.patch for crop in shown] == [nearest[0], nearest[2], nearest[3]]
    unknown = [replace(nearest[0], around=None, box=None)] * 2
    assert len(crops_of(*unknown)) == 1
    assert len(crops_of(unknown[0], nearest[0])) == 2


def test_nothing_is_shown_of_a_method_without_good_patches():
    assert crops_of() == []


def inner(crop):
    """The pixels of a crop within its outline."""
    middle = slice(SIDE_PX // 2 - 10, SIDE_PX // 2 + 10)
    return crop.image[middle, middle]


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
def test_a_crop_shows_the_photograph_whatever_the_size_of_its_picture(scale):
    [crop] = crops_of(at(7, 100, 150), pictures=Plain(scale=scale))
    assert crop.image.shape == (SIDE_PX, SIDE_PX, 3)
    assert (inner(crop) == 70).all()
    assert crop.reason == ""


def test_beyond_the_border_of_the_photograph_a_crop_is_grey():
    [crop] = crops_of(at(7, 0, 150))
    assert (crop.image[: SIDE_PX // 2 - 30] == GROUND).all()
    assert (crop.image[SIDE_PX // 2 + 30 :] == 70).all()


def outline(image, colour):
    """Bounding box of the pixels of a colour: (top, left, bottom, right)."""
    rows, columns = np.nonzero((image == colour).all(axis=2))
    return rows.min(), columns.min(), rows.max(), columns.max()


def test_both_are_outlined_where_the_patch_lies():
    half = 3 / 16 * SIDE_PX / 2  # three of the sixteen cells that are shown
    low, high = SIDE_PX / 2 - half, SIDE_PX / 2 + half
    [crop] = crops_of(at(7, 100, 150))
    assert outline(crop.image, GREEN) == pytest.approx((low, low, high, high), abs=1.5)
    own = odd_crop(odd(around=around(100, 150)), np.zeros((200, 300, 3), np.uint8))
    assert outline(own.image, RED) == pytest.approx((low, low, high, high), abs=1.5)
    tiny = odd_crop(odd(shown_cells=900.0, around=around(100, 150)), np.zeros((9, 9, 3), np.uint8))
    top, left, bottom, right = outline(tiny.image, RED)
    assert (bottom - top, right - left) == (8, 8)  # it can still be seen


def test_a_crop_has_the_same_number_of_cells_in_photographs_of_other_sizes():
    image = np.zeros((200, 300, 3), np.uint8)
    image[96:104, 146:154] = 255  # one cell of 8 pixels
    large = np.zeros((800, 1200, 3), np.uint8)
    large[384:416, 584:616] = 255  # one cell of 32 pixels
    one = odd_crop(odd(around=around(100, 150)), image)
    other = odd_crop(odd(around=around(400, 600, 32.0)), large)
    lit = [(crop.image > 200).all(axis=2).sum() for crop in (one, other)]
    cell_px = SIDE_PX / 16
    assert lit == pytest.approx([cell_px**2] * 2, rel=0.2)


@pytest.mark.parametrize(
    ("patch", "pictures", "reason"),
    [
        (at(30, 50, 60), Plain(), "the detector file has no picture of this photograph"),
        (at(3, 50, 60), Plain(broken=(3,)), "its picture in the detector file cannot be read"),
        (
            replace(at(3, 50, 60), around=None, box=None),
            Plain(),
            "where it lies in its photograph is not known",
        ),
    ],
)
def test_a_crop_that_cannot_be_shown_has_the_reason(patch, pictures, reason):
    [crop] = crops_of(patch, pictures=pictures)
    assert crop == Crop(None, patch, reason)


def test_a_picture_is_decoded_once_for_several_crops():
    asked = []

    class Counted(Plain):
        def picture(self, photograph):
            asked.append(photograph)
            return super().picture(photograph)

    crops_of(at(1, 20, 60), at(1, 150, 60), at(2, 50, 60), pictures=Counted())
    assert sorted(asked) == [1, 2]


def test_a_decoded_picture_maps_pixels_of_its_photograph():
    picture = DecodedPicture(np.zeros((20, 50, 3), np.uint8), Box(10, 30, 40, 150))
    points = np.array([(10.0, 30.0), (50.0, 180.0), (30.0, 105.0)])
    np.testing.assert_allclose(
        picture.from_photograph.at(points), [(0, 0), (20, 50), (10, 25)], atol=1e-12
    )


def test_the_picture_has_the_overlay_and_a_row_for_each_spot():
    overlay = Image.new("RGB", (900, 600), (200, 30, 30))
    crop = Image.new("RGB", (SIDE_PX, SIDE_PX), (30, 30, 200))
    rows = [Row("region 1", ((crop, ("this photograph",)), (None, ("7.png", "no picture"))))]
    one = np.asarray(sheet(overlay, "a title", rows))
    two = np.asarray(sheet(overlay, "a title", rows * 2))
    assert one.shape[1] == two.shape[1] == WIDTH_PX
    assert two.shape[0] - one.shape[0] > SIDE_PX
    red = outline(one, (200, 30, 30))
    assert (red[2] - red[0] + 1, red[3] - red[1] + 1) == (OVERLAY_PX * 600 // 900, OVERLAY_PX)
    blue = outline(one, (30, 30, 200))
    assert blue[1] == MARGIN_PX
    assert blue[0] > red[2]
    assert blue[3] - blue[1] + 1 == SIDE_PX
    assert overlay.size == (900, 600)


def test_a_long_text_makes_the_picture_higher_and_never_wider():
    overlay = Image.new("RGB", (90, 60))
    short, long = (sheet(overlay, text, []) for text in ("a", "name " * 200))
    assert short.width == long.width == WIDTH_PX
    assert long.height > short.height + 40


def test_five_spots_are_drawn_and_the_page_says_how_many_there_are():
    lit = [(99, 3 * row, 3 * column) for row in range(3) for column in range(8)]
    detector = painted.detector(painted.member())
    inspection = detector.predict(painted.photograph(120, *lit), keep_image=True)
    found = drawn(inspection)
    assert len(found.spots) == SHOWN_SPOTS == 5
    assert found.remarks == ("5 of 20 odd spots are drawn",)
    assert found.picture.startswith(b"\x89PNG")
    assert found.overlay.photograph.startswith("data:image/jpeg;base64,")
    [own] = found.spots[0].pictures
    assert own.caption == "this photograph · rows 0 to 0, columns 0 to 0"
    assert found.spots[0].title.endswith(". this method cannot say what it compared")
