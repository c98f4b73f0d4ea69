"""Overlays pixel by pixel: what is coloured, where boxes lie, what the caption says."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from patchbank.core.scores.calibration import Calibration
from patchbank.detector import overlay
from patchbank.detector.inspection import KeptPixels
from patchbank.detector.member import ScoreStandardization
from patchbank.detector.overlay import draw_overlay, write_picture
from patchbank.errors import DataError
from tests.painted import SIZE, detector, member, photograph

RED, GREEN, WHITE = (214, 39, 40), (34, 139, 70), (255, 255, 255)
CAPTION = 26
SCALE = 10  # 32 x 40 pixels are enlarged to 320 x 400
BLUE, SCORE = 200, 150
BLOCK = (slice(8, 20), slice(5, 30))  # 12 x 25 pixels of the map are lit
MIDDLE, ELSEWHERE = (14, 17), (27, 35)


def calibrated(peak):
    """A detector of this pixel threshold; its image threshold is 100."""
    return Calibration(np.array([60.0, 80.0, 100.0]), np.array([0.0, 0.0, peak]), 0.25)


def drawn(image, one):
    """(H, W, 3) int: the overlay of a photograph."""
    return np.asarray(draw_overlay(image, one.predict(image))).astype(int)


def pixel(picture, place, scale=SCALE, caption=CAPTION):
    """The colour in the middle of an enlarged pixel at (row, column) of the photograph."""
    row, column = place
    return picture[caption + scale * row + scale // 2, scale * column + scale // 2]


def test_a_small_photograph_is_enlarged_below_its_caption():
    assert drawn(photograph(20), detector()).shape == (CAPTION + 320, 400, 3)


def test_without_its_caption_an_overlay_is_as_large_as_the_photograph():
    image, one = photograph(20), detector()
    bare = np.asarray(draw_overlay(image, one.predict(image), has_caption=False))
    np.testing.assert_array_equal(bare, drawn(image, one)[CAPTION:])


def test_a_tall_photograph_is_enlarged_by_its_longer_side():
    image = photograph(20, size=(72, 33))  # 400 / 72 is more than 5
    one = detector(member(image_size=(72, 33)))
    assert drawn(image, one).shape == (CAPTION + 6 * 72, 6 * 33, 3)


def test_a_large_photograph_stays_as_it_is_and_has_a_larger_caption():
    size = (40, 1200)
    image = photograph(20, blue=9, size=size)
    picture = drawn(image, detector(member(image_size=size)))
    assert picture.shape == (30 + 40, 1200, 3)  # a fortieth of the width
    assert (picture[30:] == image).all()


@pytest.mark.parametrize(
    ("value", "colour", "opacity"),
    [
        (64, (255, 236, 120), 0.0),  # 0.8 of the threshold of 80: not coloured yet
        (70, (255, 212, 90), 0.275),  # an eighth of the way: half of the opacity
        (76, (255, 188, 60), 0.55),  # a quarter
        (88, (255, 140, 0), 0.55),  # half-way
        (100, (227.5, 70, 15), 0.55),  # three quarters
        (112, (200, 0, 30), 0.55),  # 1.4 of the threshold: the strongest
        (250, (200, 0, 30), 0.55),
    ],
)
def test_colours_follow_the_map_over_the_pixel_threshold(value, colour, opacity):
    image = photograph(SCORE, (value, *BLOCK), blue=BLUE)
    picture = drawn(image, detector(calibration=calibrated(80.0)))
    expected = np.array([value, SCORE, BLUE]) * (1 - opacity) + np.array(colour) * opacity
    assert np.abs(pixel(picture, MIDDLE) - expected).max() <= 1
    assert pixel(picture, ELSEWHERE).tolist() == [0, SCORE, BLUE]


def test_colour_lies_where_the_map_is_lit():
    """Rows and columns are not swapped, and nothing is moved by a pixel of the photograph."""
    image = photograph(SCORE, (250, *BLOCK), blue=BLUE)
    picture = drawn(image, detector(calibration=calibrated(200.0)))
    blue = picture[CAPTION + 5 :: SCALE, 5::SCALE, 2]
    strong = np.zeros(SIZE, bool)
    strong[9:19, 6:29] = True  # a pixel from the border, where enlarging mixes colours
    weak = np.ones(SIZE, bool)
    weak[7:21, 4:31] = False
    assert blue.shape == SIZE
    assert (blue[strong] < 160).all()
    assert (blue[weak] == BLUE).all()


def test_where_all_good_parts_are_alike_any_difference_is_coloured():
    """Their pixel threshold is 0."""
    image = photograph(20, (1, *BLOCK), blue=BLUE)
    picture = drawn(image, detector(calibration=calibrated(0.0)))
    full = np.array([1, 20, BLUE]) * 0.45 + np.array([200, 0, 30]) * 0.55
    assert np.abs(pixel(picture, MIDDLE) - full).max() <= 1
    assert pixel(picture, ELSEWHERE).tolist() == [0, 20, BLUE]


def test_colours_of_a_standardised_map_are_measured_from_its_lowest_value():
    """(x - 10) / 5 is -2 where nothing differs; a threshold of 6 lies 8 above, at x = 40."""
    one = detector(member(map_scale=ScoreStandardization(10.0, 5.0)), calibration=calibrated(6.0))
    for value, colour in ((44, (255, 140, 0)), (56, (200, 0, 30))):  # 1.1 and 1.4 times 40
        picture = drawn(photograph(20, (value, *BLOCK), blue=BLUE), one)
        expected = np.array([value, 20, BLUE]) * 0.45 + np.array(colour) * 0.55
        assert np.abs(pixel(picture, MIDDLE) - expected).max() <= 1
        assert pixel(picture, ELSEWHERE).tolist() == [0, 20, BLUE]


def is_red(picture, row, column):
    return picture[CAPTION + row, column].tolist() == list(RED)


def test_a_box_of_two_pixels_lies_just_inside_its_region():
    image = photograph(SCORE, (200, slice(20, 25), slice(30, 33)), blue=BLUE)
    picture = drawn(image, detector())
    top, bottom, left, right = 200, 249, 300, 329
    across, down = range(left, right + 1), range(top, bottom + 1)
    for step in (0, 1):
        assert all(is_red(picture, top + step, column) for column in across)
        assert all(is_red(picture, bottom - step, column) for column in across)
        assert all(is_red(picture, row, left + step) for row in down)
        assert all(is_red(picture, row, right - step) for row in down)
    assert not any(is_red(picture, top - 1, c) or is_red(picture, bottom + 1, c) for c in across)
    assert not any(is_red(picture, r, left - 1) or is_red(picture, r, right + 1) for r in down)
    inside = picture[CAPTION + top + 2 : CAPTION + bottom - 1, left + 2 : right - 1]
    assert not (inside == RED).all(axis=2).any()


def test_every_region_has_a_box():
    first, second = (slice(2, 6), slice(3, 12)), (slice(20, 28), slice(30, 34))
    image = photograph(SCORE, (120, *first), (240, *second))
    one = detector()
    picture = drawn(image, one)
    assert len(one.predict(image).regions) == 2
    assert is_red(picture, 20, 30)
    assert is_red(picture, 59, 119)
    assert is_red(picture, 200, 300)
    assert is_red(picture, 279, 339)
    inner = (picture[CAPTION:] == RED).all(axis=2).sum()
    assert inner == sum(4 * (h + w) - 16 for h, w in ((40, 90), (80, 40)))  # two pixels wide


def test_lines_grow_with_the_picture():
    size = (40, 1199)  # a three-hundredth, cut off: three pixels
    image = photograph(SCORE, (240, slice(10, 30), slice(500, 600)), size=size)
    picture = drawn(image, detector(member(image_size=size)))
    column = (picture[29:, 550] == RED).all(axis=1)
    assert np.flatnonzero(column).tolist() == [10, 11, 12, 27, 28, 29]


@pytest.mark.parametrize(
    ("score", "text", "colour"),
    [
        (20, "good   score 20 / 100   p = 1", GREEN),
        (100, "good   score 100 / 100   p = 0.5", GREEN),  # not above the threshold
        (101, "anomalous   score 101 / 100   p = 0.25", RED),
    ],
)
def test_the_caption_says_verdict_score_threshold_and_p_value(score, text, colour):
    expected = Image.new("RGB", (400, CAPTION), colour)
    font = ImageFont.load_default(CAPTION * 0.62)
    ImageDraw.Draw(expected).text((8, 13), text, fill=WHITE, font=font, anchor="lm")
    picture = drawn(photograph(score), detector())
    np.testing.assert_array_equal(picture[:CAPTION], np.asarray(expected))
    assert (picture[:CAPTION, :7] == colour).all()


def test_a_caption_is_not_cut_off_by_a_narrow_picture():
    size = (400, 190)
    picture = drawn(photograph(20, size=size), detector(member(image_size=size)))
    is_ink = (picture[:CAPTION] != GREEN).any(axis=(0, 2))
    first, last = np.flatnonzero(is_ink)[[0, -1]]
    assert first >= 8
    assert 140 < last < 182  # the text of full size is 192 pixels long, and margins are of 8


def test_a_picture_of_the_width_of_a_letter_has_a_caption():
    size = (400, 32)
    picture = drawn(photograph(20, size=size), detector(member(image_size=size)))
    assert (picture[0] == GREEN).all()


def test_what_was_not_inspected_has_a_third_of_its_light():
    size, scale = (48, 64), 7  # the middle 32 x 40 is looked at: rows 8 to 40, columns 12 to 52
    image = photograph(120, blue=205, size=size)
    picture = drawn(image, detector(member(image_size=size, crop=(32, 40))))
    light = np.array([[pixel(picture, (r, c), scale)[2] for c in range(64)] for r in range(48)])
    looked_at = np.zeros(size, bool)
    looked_at[9:39, 13:51] = True
    outside = np.ones(size, bool)
    outside[7:41, 11:53] = False
    assert (light[looked_at] == 205).all()
    assert (light[outside] == 71).all()  # 0.35 of 205, cut off
    assert pixel(picture, (2, 2), scale).tolist() == [0, 42, 71]


def test_a_picture_of_many_bands_is_the_picture(monkeypatch):
    """Of 44 rows in bands of 3, the middle 32 by 900 pixels are inspected."""
    size = (44, 1000)
    image = photograph(SCORE, (250, slice(12, 30), slice(300, 600)), blue=BLUE, size=size)
    one = detector(member(image_size=size, crop=(32, 900)), calibration=calibrated(100.0))
    whole = drawn(image, one)
    monkeypatch.setattr(overlay, "BAND_PIXELS", 3 * 1000)
    np.testing.assert_array_equal(drawn(image, one), whole)


def test_painting_takes_memory_for_a_band_and_not_for_the_photograph():
    """Arrays of 2 million pixels; Pillow's own memory, 4 bytes a pixel, is not counted."""
    image = photograph(SCORE, (250, *BLOCK), size=(4000, 500))
    inspection = detector(member(image_size=(400, 48))).predict(image)
    seen = replace(inspection, kept=KeptPixels(image, inspection.anomaly_map))
    tracemalloc.start()
    draw_overlay(image, seen)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * overlay.BAND_PIXELS


def test_a_photograph_is_not_changed_by_its_overlay():
    size = (48, 64)
    image = photograph(SCORE, (250, *BLOCK), size=size)
    before = image.copy()
    drawn(image, detector(member(image_size=size, crop=(32, 40))))
    assert (image == before).all()


def test_an_inspection_saves_its_overlay(tmp_path):
    image = photograph(SCORE, (250, *BLOCK), blue=BLUE)
    seen = detector().predict(image)
    seen.save(tmp_path / "a.png")
    saved = np.asarray(Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(saved, np.asarray(draw_overlay(image, seen)))


@pytest.mark.parametrize("name", ["a.nothing", "no/a.png"])
def test_a_picture_that_cannot_be_written_is_named(tmp_path, name):
    picture = Image.new("RGB", (9, 8))
    with pytest.raises(DataError) as caught:
        write_picture(picture, tmp_path / name)
    expected = f"{tmp_path / name}: expected a path and a suffix for a picture, got: "
    assert str(caught.value).startswith(expected)
