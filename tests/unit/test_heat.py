"""The heat of a map: over its photograph it is the overlay, where nothing was inspected black."""

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from patchbank.core.spatial.box import Box
from patchbank.detector.heat import LONGEST_PX, heat_picture
from patchbank.detector.overlay import FAINT, FULL, HEAT, OPACITY, draw_overlay
from tests.painted import detector, photograph


@dataclass
class Drawn:
    """What a picture is drawn of."""

    anomaly_map: np.ndarray
    box: Box
    inspected: np.ndarray | None = None
    normal_map_value: float = 0.0
    pixel_threshold: float = 2.0
    regions: tuple = ()
    is_anomalous: bool = True
    score: float = 3.0
    threshold: float = 2.0
    p_value: float = 0.01


def whole(anomaly_map, **others):
    """One whose whole photograph was inspected."""
    height, width = anomaly_map.shape
    return Drawn(anomaly_map.astype(np.float32), Box(0, 0, height, width), **others)


def test_heat_over_its_photograph_is_the_overlay():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (30, 1300, 3), dtype=np.uint8)  # wide: it is not enlarged
    one = whole(rng.uniform(0, 4, (30, 1300)))
    drawn = np.asarray(heat_picture(one)).astype(float)
    alpha = OPACITY * drawn[..., 3:] / 255
    laid = image * (1 - alpha) + drawn[..., :3] * alpha
    expected = np.asarray(draw_overlay(image, one)).astype(float)[-30:]
    assert drawn.shape == (30, 1300, 4)
    assert np.abs(laid - expected).max() <= 2


def test_what_is_not_odd_is_transparent_and_what_is_oddest_has_the_last_colour():
    one = whole(np.array([[0.0, 2 * FAINT, 1e9], [2 * FULL, -5.0, 0.1]]))
    drawn = np.asarray(heat_picture(one))
    assert drawn[..., 3].tolist() == [[0, 0, 255], [255, 0, 0]]
    assert (drawn[0, 2, :3] == HEAT[-1]).all()
    assert (drawn[1, 0, :3] == HEAT[-1]).all()


def test_colours_count_from_the_value_of_a_normal_patch():
    values = np.linspace(0, 4, 40).reshape(4, 10)
    moved = whole(values - 7, normal_map_value=-7.0, pixel_threshold=-5.0)
    same = np.asarray(heat_picture(moved)).astype(int) - np.asarray(heat_picture(whole(values)))
    assert np.abs(same).max() <= 1


def test_what_was_not_inspected_is_black():
    mask = np.ones((4, 6), bool)
    mask[0, 0] = False
    one = Drawn(np.zeros((8, 12), np.float32), Box(2, 3, 4, 6), mask)
    black = (np.asarray(heat_picture(one)) == (0, 0, 0, 255)).all(axis=2)
    expected = np.ones((8, 12), bool)
    expected[2:6, 3:9] = False
    expected[2, 3] = True
    assert (black == expected).all()


def test_a_large_one_is_smaller_with_the_same_shape():
    values = np.zeros((1000, 4000))
    values[:500, :2000] = 9
    values[700:, 3500:] = 9
    one = whole(values)
    drawn = np.asarray(heat_picture(one))
    assert drawn.shape == (400, LONGEST_PX, 4)
    expected = np.asarray(Image.fromarray(values > 0).resize((LONGEST_PX, 400)))
    assert ((drawn[..., 3] > 0) == expected).all()
    part = Drawn(values.astype(np.float32), Box(500, 0, 500, 4000))
    assert (np.asarray(heat_picture(part))[:200] == (0, 0, 0, 255)).all()


@pytest.mark.parametrize("threshold", [0.0, 1e-9])
def test_a_threshold_of_zero_still_gives_a_picture(threshold):
    drawn = np.asarray(heat_picture(whole(np.zeros((3, 5)), pixel_threshold=threshold)))
    assert (drawn[..., 3] == 0).all()


def test_heat_is_drawn_of_an_inspection():
    image = photograph(20, size=(72, 33))
    drawn = heat_picture(detector().predict(image, keep_image=True))
    assert drawn.size == (33, 72)
