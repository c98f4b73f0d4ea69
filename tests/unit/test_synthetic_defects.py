"""Synthetic defects: where they are, how large and how strong, and that a seed decides them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.training.choose.defects import KINDS, VISIBLE, draw_defect, plain_spot
from patchbank.training.choose.noise import gradient_noise
from patchbank.training.choose.placing import Positions
from tests.photographs import part

SIZE = (240, 330)
SIDE = (240 * 330) ** 0.5


def drawn(kind, seed, size=SIZE, donor_size=SIZE):
    image, donor = part(1, size=size), part(2, size=donor_size)
    rng = np.random.default_rng(seed)
    return image, draw_defect(kind, image, donor, Positions.of(image), rng)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_a_defect_to_the_pixel(kind):
    (_, one), (_, same), (_, other) = drawn(kind, 5), drawn(kind, 5), drawn(kind, 6)
    assert one.box == same.box
    assert np.array_equal(one.pixels, same.pixels)
    assert other.box != one.box


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_a_defect_changes_its_box_visibly_and_nothing_else(kind, seed):
    image, defect = drawn(kind, seed)
    before = image.copy()
    changed = defect.on(image)
    assert np.array_equal(image, before)
    difference = np.abs(changed.astype(int) - image)
    assert defect.box.of(difference).max() >= VISIBLE
    defect.box.of(difference)[...] = 0
    assert not difference.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (3, 400), (90, 2), (17, 40)])
def test_photographs_of_any_size_get_defects_and_lend_pastes(kind, size):
    for seed in range(4):
        image, defect = drawn(kind, seed, size=size, donor_size=(5, 9))
        assert defect.on(image).shape == (*size, 3)
        assert defect.box.height >= 1
        assert defect.box.width >= 1
        image, defect = drawn(kind, seed, donor_size=size)
        assert defect.on(image).shape == image.shape


def test_a_blob_is_at_most_its_largest_diameter_across_and_half_of_white_strong():
    for seed in range(30):
        image, defect = drawn("blob", seed)
        change = np.abs(defect.on(image).astype(int) - image).max(axis=2)
        assert change.max() <= 128
        rows, columns = np.nonzero(change > 2)
        # The outline deviates by three harmonics of at most a fifth each.
        assert max(np.ptp(rows), np.ptp(columns)) <= 0.06 * SIDE * 1.6 + 2


def test_a_scar_is_long_and_thin():
    lengths = []
    for seed in range(30):
        image, defect = drawn("scar", seed)
        change = np.abs(defect.on(image).astype(int) - image).max(axis=2)
        assert change.max() <= 90
        rows, columns = np.nonzero(change > 2)
        length = np.hypot(np.ptp(rows), np.ptp(columns))
        lengths.append(length)
        assert len(rows) <= 0.16 * SIDE * 1.4 * (0.016 * SIDE + 2)
    assert 0.04 * SIDE < np.median(lengths) < 0.17 * SIDE


def test_a_paste_has_the_area_and_the_pixels_of_another_photograph():
    for seed in range(30):
        _, defect = drawn("paste", seed)
        area = defect.box.height * defect.box.width / SIDE**2
        assert 0.0015 * 0.8 <= area <= 0.012 * 1.2
    donor = np.full((50, 60, 3), 7, np.uint8)
    image = part(1, size=SIZE)
    rng = np.random.default_rng(0)
    assert (draw_defect("paste", image, donor, Positions.of(image), rng).pixels == 7).all()


def test_a_soft_defect_has_no_edge():
    for seed in range(20):
        image = np.full((*SIZE, 3), 120, np.uint8)
        rng = np.random.default_rng(seed)
        defect = draw_defect("soft", image, image, Positions.of(image), rng)
        changed = defect.on(image)[:, :, 0].astype(int)
        steps = [np.abs(np.diff(changed, axis=axis)).max() for axis in (0, 1)]
        assert 0 < max(steps) <= 8
        assert np.abs(changed - 120).max() <= 0.4 * 120 + 1


def test_defects_lie_where_there_is_structure_and_now_and_then_elsewhere():
    image = np.full((200, 300, 3), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 200, (200, 60, 1), dtype=np.uint8)
    image[:, :60] = noise
    rng, positions = np.random.default_rng(1), Positions.of(image)
    at = np.array([positions.draw(rng) for _ in range(4000)])
    on_structure = float((at[:, 1] < 66).mean())
    # 0.2 of the area has weight 1.03, the rest 0.03: 0.206 / (0.206 + 0.024).
    assert on_structure == pytest.approx(0.896, abs=0.05)
    assert at[:, 0].min() >= 0
    assert at[:, 0].max() <= 200
    assert at[:, 1].max() > 250


def test_a_photograph_of_one_colour_gets_defects_anywhere_and_only_where_it_is_inspected():
    image = np.full((100, 50, 3), 30, np.uint8)
    rng = np.random.default_rng(0)
    mask = np.zeros((100, 50), bool)
    mask[50:, :25] = True
    anywhere, inside = Positions.of(image), Positions.of(image, mask)
    at = np.array([anywhere.draw(rng) for _ in range(2000)])
    assert np.allclose(at.mean(axis=0), (50, 25), atol=2.5)
    at = np.array([inside.draw(rng) for _ in range(500)])
    assert at[:, 0].min() >= 50
    assert at[:, 1].max() <= 25


def test_a_plain_spot_has_its_diameter_and_contrast_and_is_dark_on_bright_ground():
    ground = np.full((40, 60, 3), 200, np.uint8)
    changed = plain_spot(ground, (20.0, 30.0), 10.0, 0.5).on(ground)[:, :, 0]
    assert changed[20, 30] == round(200 - 127.5)
    share = (200.0 - changed).sum() / 127.5
    assert share == pytest.approx(np.pi * 25, rel=0.03)
    dark = np.full((40, 60, 3), 20, np.uint8)
    assert plain_spot(dark, (20.0, 30.0), 10.0, 0.5).on(dark)[20, 30, 0] == 148


def test_a_spot_of_half_a_pixel_paints_a_quarter_of_one():
    ground = np.full((9, 11, 3), 200, np.uint8)
    changed = plain_spot(ground, (4.5, 5.5), 0.5, 0.5).on(ground)[:, :, 0]
    # (0.25 + 0.5) of the pixel is within the edge, times 0.25 for the area of the spot.
    assert changed[4, 5] == round(200 - 127.5 * 0.25 * 0.75)
    assert (changed != 200).sum() == 1


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_gradient_noise_is_bounded_and_as_often_positive_as_negative(h, w, cell, seed):
    noise = gradient_noise((h, w), cell, np.random.default_rng(seed))
    assert noise.shape == (h, w)
    assert np.abs(noise).max() <= 1
    many = gradient_noise((300, 400), 5, np.random.default_rng(seed))
    assert abs(float(many.mean())) < 0.03
