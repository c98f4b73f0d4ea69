"""The part in a photograph is found where it lies, and a photograph without one says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.images.pose import _reduced, find_pose
from tests.long_parts import BAR, PIN, SHAPES, photograph
from tests.oracles import resizing as oracle
from tests.photographs import part

ANGLES = range(0, 360, 36)
LOOKS = {
    "dark on light": {},
    "light on dark": {"greys": (40, 160)},
    "light that falls off": {"fall": 25.0},
    "noise": {"noise": 8.0},
    "a soft shadow": {"shadow": (3, 3)},
    "a small part in a large photograph": {"size": (720, 960)},
}
ROUND = [(30 * np.cos(t), 30 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)]


def in_part(pose, angle_degrees, centre):
    """Angle of the axis (degrees) and middle (down, right), as the part itself sees them."""
    angle = np.deg2rad(angle_degrees)
    turn = np.rad2deg(np.arctan2(*pose.axis)) - angle_degrees
    down, right = np.array(pose.centre) - centre
    along = right * np.cos(angle) + down * np.sin(angle)
    return (turn + 180) % 360 - 180, along, down * np.cos(angle) - right * np.sin(angle)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_pose_turns_and_moves_with_the_part(shape, look):
    """Its direction is known to a degree, but for wires, which have no heavy end."""
    found = []
    for number, angle in enumerate(ANGLES):
        centre = 110 + 5 * (number % 3), 150 + 7 * (number % 4)
        pose = find_pose(photograph(SHAPES[shape], angle, centre, seed=number, **LOOKS[look]))
        assert pose.unclear is None
        turn, along, across = in_part(pose, angle, centre)
        if shape == "wire" and abs(turn) > 90:
            turn = turn - np.sign(turn) * 180
        found.append((turn, along, across))
    spread = np.ptp(found, axis=0)
    assert spread[0] < 1.0
    assert (spread[1:] < 4.5).all()  # pixels: a shadow falls to one side whichever way a part lies


def test_a_pin_points_away_from_its_head():
    pose = find_pose(photograph(PIN, 0.0, (100, 140)))
    assert pose.axis == pytest.approx((0, 1), abs=0.01)
    assert pose.centre == pytest.approx((100, 140), abs=2)  # its extent is -70 to 70
    assert pose.length == pytest.approx(140, abs=3)
    assert pose.width == pytest.approx(18, abs=3)
    assert pose.skewness > 0.1
    assert find_pose(photograph(BAR, 30.0)).skewness < 0.02


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0, 360),
    st.floats(95, 145),
    st.floats(110, 210),
    st.sampled_from([(200, 90), (50, 170)]),
)
def test_wherever_a_pin_lies_its_middle_is_found_to_two_pixels(angle, down, right, greys):
    pose = find_pose(photograph(PIN, angle, (down, right), greys=greys))
    turn, along, across = in_part(pose, angle, (down, right))
    assert abs(turn) < 1
    assert abs(along) < 2
    assert abs(across) < 1


def test_colours_of_equal_grey_are_told_apart():
    grey = photograph(PIN, 20.0)[..., 0] < 150
    image = np.empty((*grey.shape, 3), np.uint8)
    image[...] = (150, 90, 60)
    image[grey] = (90, 120, 62)
    assert np.ptp(image @ [0.299, 0.587, 0.114]) < 1
    assert find_pose(image).unclear is None


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (photograph(ROUND), "too round to have a direction"),
        (np.maximum(*(255 - photograph(PIN, 0.0, (d, 160)) for d in (60, 180))), "several parts"),
        (photograph(BAR, 90.0, (200, 160)), "cut by the border, or covers most"),
        (photograph([(-150, -100), (-150, 100), (150, 100), (150, -100)]), "covers most of"),
        (photograph(PIN, 0.0, greys=(120, 165), noise=8.0), "does not stand out clearly"),
    ],
)
def test_a_photograph_of_no_single_long_part_says_why(image, reason):
    assert reason in find_pose(image).unclear


@pytest.mark.parametrize("image", [part(0), np.full((60, 90, 3), 120, np.uint8)])
def test_a_texture_and_an_empty_ground_have_no_clear_part(image):
    pose = find_pose(image)
    assert pose is None or pose.unclear is not None


def test_lengths_are_pixels_of_the_photograph_whatever_its_size():
    small = find_pose(photograph(PIN, 25.0, size=(480, 640), centre=(240, 320)))
    large = find_pose(photograph(4 * np.array(PIN), 25.0, (960, 1280), size=(1920, 2560)))
    assert large.length == pytest.approx(4 * small.length, rel=0.03)
    assert large.area == pytest.approx(16 * small.area, rel=0.12)
    assert large.centre == pytest.approx(4 * np.array(small.centre), abs=6)


def test_a_photograph_is_reduced_across_first_then_down():
    """Also where Pillow 13 would filter the columns first."""
    image = np.random.default_rng(0).integers(0, 256, (2000, 300, 3), dtype=np.uint8)
    expected = oracle.resized(image, (512, 77), "box")
    np.testing.assert_array_equal(_reduced(image), expected.astype(np.float32))
