"""Pictures of the pages of results: outlines, colours, what is not inspected, verdicts."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from patchbank.detector.overlay import draw_overlay, heat_layer, heat_strength, heat_unit
from patchbank.errors import DataError
from patchbank.images.source import image_source
from patchbank.report import draw_inspection
from patchbank.report.outlines import GRID, cell_px, outline, reduced
from patchbank.report.pictures import PICTURE_PX, verdict_on
from tests.painted import detector, member, photograph
from tests.report_pages import decoded


def loops_of(path):
    """The corners of each closed line of a path."""
    loops = []
    for part in path.split("z")[:-1]:
        start, steps = re.fullmatch(r"M([-\d ]+)l([-\d ]+)", part).groups()
        pairs = np.array(steps.split(), dtype=int).reshape(-1, 2)
        first = np.array(start.split(), dtype=int)
        loops.append(np.cumsum(np.vstack([first, pairs]), axis=0))
    return loops


def covered(path, shape):
    """Whether the middle of each cell is inside, by the rule of SVG's ``evenodd``.

    The middles lie between the heights of all corners' halves, so that no ray meets a corner: a
    ray is cast a little below the middle, where an outline is a straight line.
    """
    inside = np.zeros(shape, dtype=bool)
    for loop in loops_of(path):
        for (ax, ay), (bx, by) in zip(loop, np.roll(loop, -1, axis=0), strict=True):
            for row in range(shape[0]):
                y = 2 * row + 1.25
                if (ay > y) != (by > y):
                    x = ax + (y - ay) / (by - ay) * (bx - ax)
                    inside[row] ^= x > 2 * np.arange(shape[1]) + 1
    return inside


@settings(deadline=None, max_examples=150)
@given(arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 9))))
def test_an_outline_goes_around_the_true_pixels_and_no_others(mask):
    assert (covered(outline(mask), mask.shape) == mask).all()


def test_a_hole_and_pixels_that_touch_at_a_corner_are_outlined():
    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    assert outline(ring) == "M1 0l4 0 1 1 0 4 -1 1 -4 0 -1 -1 0 -4zM3 4l1 -1 -1 -1 -1 1z"
    assert outline(np.eye(2, dtype=bool)) == "M1 0l3 3 -1 1 -3 -3z"
    assert outline(np.zeros((4, 5), dtype=bool)) == ""


def test_a_large_mask_is_followed_in_cells_and_a_single_pixel_is_not_lost():
    mask = np.zeros((900, 1500), dtype=bool)
    mask[899, 1499] = True
    cell = cell_px(mask.shape)
    assert cell == 5  # 300 x 180 of them
    assert max(reduced(mask, cell).shape) <= GRID
    assert outline(mask) == "M599 358l1 1 -1 1 -1 -1z"


def inspected(image, one=None):
    return (one or detector()).predict(image)


def test_a_large_photograph_is_small_on_the_page_and_its_marks_keep_their_place():
    """A photograph of 1600 x 2000 pixels is scored in 32 x 40: a spot is 50 times as large."""
    image = photograph(150, (200, slice(500, 700), slice(1000, 1400)), size=(1600, 2000))
    drawn = draw_inspection("a", inspected(image))
    assert drawn.size == (2000, 1600)
    assert decoded(drawn.photograph).size == (PICTURE_PX, PICTURE_PX * 4 // 5)
    assert drawn.marks.cell == 6
    (loop,) = loops_of(drawn.marks.found)
    left, top = loop.min(axis=0) * drawn.marks.cell / 2
    right, bottom = loop.max(axis=0) * drawn.marks.cell / 2
    assert (left, top, right, bottom) == pytest.approx((1000, 500, 1400, 700), abs=60)
    heat = np.asarray(decoded(drawn.marks.heat))
    assert heat.shape == (267, 334, 4)
    assert heat[100, 200, 3] > 100
    assert heat[20, 20, 3] < 8


def test_what_is_not_inspected_is_dark():
    """With `crop`, the network sees the centre: 32 x 40 of 48 x 60 pixels."""
    one = detector(member(image_size=(48, 60), crop=(32, 40)))
    drawn = draw_inspection("a", inspected(photograph(150, size=(48, 60)), one))
    dark = np.ones((48, 60), dtype=bool)
    dark[8:40, 10:50] = False
    assert drawn.marks.dark == outline(dark)
    assert drawn.marks.found == ""


def test_the_layer_over_a_photograph_is_the_overlay_of_predict():
    """Over the photograph it gives the picture that `predict --out` draws, but for rounding."""
    image = photograph(150, (95, slice(4, 12), slice(20, 30)), (140, slice(20, 26), slice(4, 9)))
    found = inspected(image)
    strength = heat_strength(found.anomaly_map, found.normal_map_value, heat_unit(found))
    layer = heat_layer(strength).astype(float)
    mixed = image + (layer[..., :3] - image) * layer[..., 3:] / 255
    drawn = np.asarray(draw_overlay(image, found)).astype(float)[26:]  # ten times as large
    for row, column in ((8, 25), (23, 6), (2, 2), (30, 38)):
        assert np.abs(mixed[row, column] - drawn[10 * row + 5, 10 * column + 5]).max() <= 3


@pytest.mark.parametrize(
    ("score", "is_defect", "state", "wrong"),
    [
        (150, True, "ng", ""),
        (150, False, "ng", "false alarm"),
        (150, None, "ng", ""),
        (50, True, "ok", "missed"),
        (50, False, "ok", ""),
        (50, None, "ok", ""),
    ],
)
def test_a_verdict_says_whether_it_is_wrong_where_that_is_known(score, is_defect, state, wrong):
    found = verdict_on(inspected(photograph(score)), is_defect)
    assert (found.state, found.word, found.wrong) == (state, state.upper(), wrong)
    assert found.text.startswith(f"score {score}, {score} % of the threshold, p = ")


def test_a_photograph_that_cannot_be_drawn_has_its_verdict_and_the_reason(tmp_path):
    gone = image_source(tmp_path / "gone.png")
    found = replace(inspected(photograph(150)), source=gone, kept=None)
    drawn = draw_inspection("a", found, is_defect=True)
    assert drawn.marks is None
    assert drawn.verdict.state == "ng"
    assert drawn.error.startswith(f"{tmp_path / 'gone.png'}: expected ")


def test_a_mask_that_cannot_be_read_leaves_the_photograph():
    def broken():
        raise DataError("no mask")

    drawn = draw_inspection("a", inspected(photograph(150)), defect=broken)
    assert drawn.error == ""
    assert drawn.marks.defect == ""
