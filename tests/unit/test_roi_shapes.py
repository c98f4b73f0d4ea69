"""Shapes of a region of interest: texts, numbers, points and masks, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from patchbank.errors import ParameterError, ShapeError
from patchbank.images.augment import Augmentation
from patchbank.images.roi import RegionOfInterest, region_of_interest, shapes_of
from tests.photographs import part, save

SIZE = (40, 60)  # height x width


def mask_of(given, size=SIZE, ignore=None):
    shapes = shapes_of("roi", given), shapes_of("ignore", ignore)
    return region_of_interest(*shapes, size)[0].mask


def box(left, top, width, height):
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


SAME = box(10, 5, 20, 30)
RECTANGLES = [
    "10,5,20,30",
    "10, 5, 20, 30",
    "10.0,5,2e1,30",
    (10, 5, 20, 30),
    [10, 5, 20.0, np.int64(30)],
    np.array([10, 5, 20, 30]),
    "10,5 30,5 30,35 10,35",
    [(10, 5), (30, 5), (30, 35), (10, 35)],
    np.array([[10, 5], [30, 5], [30, 35], [10, 35]]),
    np.array([[10.0, 5], [30, 5], [30, 35], [10, 35]], np.float32),
    SAME,
    SAME.astype(np.uint8) * 7,
    ["10,5,20,10", (10, 15, 20, 20)],
    [np.array([[10, 5], [30, 5], [30, 20], [10, 20]]), box(10, 20, 20, 15)],
]


@pytest.mark.parametrize("given", RECTANGLES, ids=range(len(RECTANGLES)))
def test_one_region_can_be_given_in_many_forms(given):
    np.testing.assert_array_equal(mask_of(given), SAME)


@pytest.mark.parametrize("kind", [int, float])
def test_an_array_with_four_columns_has_rectangles(kind):
    """No mask has four columns: scaled to the photographs it would be something else."""
    several = np.array([[10, 5, 20, 10], [10, 15, 20, 20], [12, 18, 3, 2]], dtype=kind)
    np.testing.assert_array_equal(mask_of(several), SAME)


@pytest.mark.parametrize("given", [[], (), [[]], "", " "])
def test_no_shape_is_no_region(given):
    """A program whose list came out empty would inspect everything."""
    with pytest.raises(ParameterError, match="roi: expected .* got"):
        mask_of(given)


def test_what_is_ignored_is_cut_out_of_what_is_inspected():
    found = mask_of("10,5,20,30", ignore=[(12, 7, 3, 4), "0,0,11,6"])
    np.testing.assert_array_equal(found, SAME & ~box(12, 7, 3, 4) & ~box(0, 0, 11, 6))
    np.testing.assert_array_equal(mask_of(None, ignore="12,7,3,4"), ~box(12, 7, 3, 4))


def test_a_triangle_has_the_pixels_whose_centres_are_inside():
    found = mask_of("0,0 4,0 0,4", size=(5, 6))
    assert found[:4, :4].tolist() == np.tri(4, k=-1, dtype=bool)[::-1].tolist()
    assert found.sum() == 6  # a centre on the right or lower edge is outside


@pytest.mark.parametrize("white", [255, 1, 128, 3])
def test_a_mask_file_is_what_is_not_black(tmp_path, white):
    path = save(tmp_path / "mask.png", SAME.astype(np.uint8) * np.uint8(white))
    np.testing.assert_array_equal(mask_of(path), SAME)
    np.testing.assert_array_equal(mask_of(str(path)), SAME)


def test_a_mask_with_smooth_edges_and_one_in_colours_are_masks(tmp_path):
    grey = np.zeros((40, 60), np.uint8)
    grey[5:35, 10:30] = 255
    grey[5, 10:30] = np.arange(100, 120)  # an edge with many levels
    path = save(tmp_path / "soft.png", grey)
    np.testing.assert_array_equal(mask_of(path), SAME)
    red = np.zeros((40, 60, 3), np.uint8)
    red[5:35, 10:30, 0] = 255
    np.testing.assert_array_equal(mask_of(save(tmp_path / "red.png", red)), SAME)


def test_a_lossy_mask_is_what_is_bright(tmp_path):
    path = tmp_path / "mask.jpg"
    Image.fromarray(np.kron(SAME, np.ones((8, 8))).astype(np.uint8) * 255).save(path, quality=80)
    np.testing.assert_array_equal(mask_of(path), SAME)


def test_a_mask_of_another_size_and_the_same_aspect_ratio_is_scaled(tmp_path):
    path = save(tmp_path / "mask.png", np.kron(SAME, np.ones((3, 3))).astype(np.uint8) * 255)
    np.testing.assert_array_equal(mask_of(path), SAME)
    np.testing.assert_array_equal(mask_of(np.kron(SAME, np.ones((2, 2), bool))), SAME)


def test_a_mask_follows_the_orientation_of_its_file(tmp_path):
    stored = Image.fromarray(np.rot90(SAME).astype(np.uint8) * 255)  # 60 x 40
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    stored.save(tmp_path / "mask.png", exif=exif)
    np.testing.assert_array_equal(mask_of(tmp_path / "mask.png"), SAME)


FORMS = "expected X,Y,WIDTH,HEIGHT, points x,y x,y x,y, or a mask"
REFUSED = [
    ("1,2,3", FORMS),
    ("1,2,3,4,5", FORMS),
    ("1,2 3,4", FORMS),
    ("1,2 3,4 5", FORMS),
    ("1,2,0,4", FORMS),
    ("1,2,3,-4", FORMS),
    ("1..2,3,4,5", FORMS),
    ("1e12,0,5,5", FORMS),
    ("nowhere.png", "'nowhere.png', which is no file"),
    ((1, 2, 3), FORMS),
    ([(1, 2), (3, 4)], FORMS),
    ((1, 2, float("nan"), 4), FORMS),
    (5, FORMS),
    (True, FORMS),
    (np.zeros((2, 3, 4)), "got an array of float64 of shape"),
    (np.full(SIZE, 0.5), "got an array of float64 of shape"),
    (np.zeros((0, 4), bool), "got an array of bool of shape"),
    (np.zeros(SIZE, bool), "not 0 somewhere, got all 0"),
    (np.ones((40, 50), bool), "expected a mask of 40 x 60 .* or of this aspect ratio, got 40 x 50"),
    ("60,0,10,10", "expected a shape with pixels of the photographs, which have 40 x 60"),
    ("-20,-20,5,5", "expected a shape with pixels of the photographs"),
    ("1,1 5,5 9,9", "expected a shape with pixels of the photographs"),
    ("3.1,3.1,0.2,0.2", "expected a shape with pixels of the photographs"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_region_is_refused_in_one_line(given, message):
    for name in ("roi", "ignore"):
        with pytest.raises(ParameterError, match=f"^{name}: .*{message}") as caught:
            region_of_interest(shapes_of(name, given), (), SIZE) if name == "roi" else (
                region_of_interest((), shapes_of(name, given), SIZE)
            )
        assert "\n" not in str(caught.value)


def test_mask_files_that_show_nothing_or_are_no_masks_are_refused(tmp_path):
    black = save(tmp_path / "black.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(ParameterError, match=r"roi: .*black.png: .* got all black"):
        mask_of(black)
    wrong = save(tmp_path / "wrong.png", np.full((40, 50), 255, np.uint8))
    with pytest.raises(ParameterError, match=r"wrong.png: expected a mask of 40 x 60 .* 40 x 50"):
        mask_of(wrong)
    photograph = save(tmp_path / "part.png", part(0, size=SIZE))
    with pytest.raises(ParameterError, match=r"part.png: .* picture with many grey levels"):
        mask_of(photograph)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ParameterError, match=r"roi: .*text.png"):
        mask_of(tmp_path / "text.png")


def test_something_must_be_left():
    with pytest.raises(ParameterError, match="got all of the photographs"):
        mask_of(None, ignore=(0, 0, 60, 40))
    with pytest.raises(ParameterError, match="got all of the region of interest"):
        mask_of((3, 3, 5, 5), ignore=(0, 0, 20, 20))


def test_a_shape_that_reaches_beyond_the_photographs_is_cut_off_and_named():
    shapes = shapes_of("roi", [(50, 30, 20, 20), (0, 0, 5, 5)]), shapes_of("ignore", "-5,0,6,3")
    region, lines = region_of_interest(*shapes, SIZE)
    assert [line.split(" is partly")[0] for line in lines] == [
        "roi 50,30,20,20",
        "ignore -5,0,6,3",
    ]
    assert region.mask.sum() == 10 * 10 + 25 - 3


def test_corners_on_the_border_are_not_beyond_it():
    shapes = shapes_of("roi", [(0, 0, 60, 40), "0,0 60.4,0 60.4,40 0,40"])
    assert region_of_interest(shapes, (), SIZE)[1] == []


def test_the_region_has_a_box_a_share_and_a_line():
    region = region_of_interest(shapes_of("roi", "10,5,20,30"), (), SIZE)[0]
    assert region.share == 0.25
    assert region.line == (
        "region of interest: 25 % of each photograph, within 10,5,20,30 (x, y, width, height) of "
        "60 x 40 pixels"
    )
    assert region.to_json() == {
        "size": [60, 40],
        "left": 10,
        "top": 5,
        "width": 20,
        "height": 30,
        "share": 0.25,
        "roi": ["10,5,20,30"],
        "ignore": [],
    }


def test_a_photograph_of_another_aspect_ratio_is_refused_with_both_sizes():
    region = RegionOfInterest(SAME)
    with pytest.raises(ShapeError, match=r"40 x 60 .* aspect ratio, got 60 x 40"):
        region.on((60, 40))
    dot = np.zeros(SIZE, bool)
    dot[0, 0] = True
    with pytest.raises(ShapeError, match="too small for it"):
        RegionOfInterest(dot).on((4, 6))


def test_the_part_of_a_size_is_made_once():
    region = RegionOfInterest(SAME)
    assert region.on((80, 120)) is region.on((80, 120))


def test_a_copy_that_is_turned_by_an_angle_has_the_region_where_it_shows_it():
    mask = np.zeros((60, 60), bool)
    mask[10:20, 25:35] = True  # above the centre
    part_ = RegionOfInterest(np.ones((60, 60), bool)).on((60, 60))
    assert part_.cells_of_copy(Augmentation(45.0), (6, 6), 1) is None  # all of it counts
    region = RegionOfInterest(mask | box_of(0, 60))
    turned = region.on((60, 60)).copied(Augmentation(45.0)).mask
    y, x = np.argwhere(turned[5:-5, 5:-5]).mean(axis=0) + 5
    # 15 pixels above the centre, turned anticlockwise by 45 degrees: up and to the left.
    assert (y, x) == pytest.approx((30 - 15 / 2**0.5, 30 - 15 / 2**0.5), abs=1.5)


def box_of(low, high):
    """(60, 60): pixels in two opposite corners, so that the box of the region is everything."""
    mask = np.zeros((60, 60), bool)
    mask[low, low] = mask[high - 1, high - 1] = True
    return mask
