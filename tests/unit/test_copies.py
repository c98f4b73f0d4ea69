"""Copies among photographs: exact ones, edited ones, and parts that only look alike."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from patchbank.images.alignment import align, detail, halved, resampled
from patchbank.images.copies import Fingerprint, _stars, exact_copies, near_copies
from patchbank.images.copy_candidates import Details, _Tangents, neighbours
from tests.photographs import parts

SIZE = (230, 310)


def surface(seed, size=SIZE):
    """A surface with texture of its own, and the noise of a camera."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.normal(128, 45, (size[0] // 3, size[1] // 3)).astype(np.float32))
    smooth = np.asarray(rough.resize(size[::-1], Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, 2, size)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def compressed(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resized(image, factor):
    size = [round(side * factor) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


EDITS = {
    "shifted": lambda image: np.roll(image, (3, -4), (0, 1)),
    "cropped": lambda image: np.ascontiguousarray(image[5:-2, 3:-6]),
    "brighter": lambda image: np.clip(image * 1.08 + 6, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.85).astype(np.uint8),
    "compressed": lambda image: compressed(image, 60),
    "smaller": lambda image: resized(image, 0.85),
    "larger": lambda image: resized(image, 1.15),
    "all of it": lambda image: compressed(
        resized((image[4:, :-5] * 0.95).astype(np.uint8), 0.93), 75
    ),
}


@pytest.fixture(scope="module")
def surfaces():
    return [surface(seed) for seed in range(12)]


def fingerprints(images):
    return [Fingerprint.of(image) for image in images]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_photograph_is_a_near_copy_and_no_exact_one(surfaces, edit):
    found = fingerprints([*surfaces, EDITS[edit](surfaces[4])])
    assert near_copies(found) == [[4, 12]]
    assert exact_copies(found) == []


def test_each_photograph_of_a_burst_is_found(surfaces):
    edits = list(EDITS.values())[:4]
    images = [edit(one) for one in surfaces for edit in [lambda image: image, *edits]]
    assert near_copies(fingerprints(images)) == [list(range(i, i + 5)) for i in range(0, 60, 5)]


def test_surfaces_with_textures_of_their_own_are_no_copies(surfaces):
    assert near_copies(fingerprints(surfaces)) == []


@pytest.mark.parametrize("count", [2, 3, 7, 25])
@pytest.mark.parametrize("size", [(72, 104), (220, 320)])
def test_parts_before_a_fixed_camera_are_no_copies(count, size):
    assert near_copies(fingerprints(parts(count, size=size))) == []


def test_neighbours_on_one_surface_are_no_copies():
    whole = surface(1, (500, 1500))
    tiles = [np.ascontiguousarray(whole[100:330, x : x + 310]) for x in range(0, 1190, 155)]
    assert near_copies(fingerprints(tiles)) == []


def test_the_same_part_at_another_exposure_is_no_copy(surfaces):
    darker = (surfaces[0] * 0.6).astype(np.uint8)
    assert near_copies(fingerprints([*surfaces, darker])) == []


def test_exact_copies_have_the_same_pixels_whatever_the_file_says():
    grey = surface(3)
    found = fingerprints(
        [grey, surface(4), np.asarray(Image.fromarray(grey[..., 0]).convert("RGB"))]
    )
    assert exact_copies(found) == [[0, 2]]
    assert near_copies(found) == [[0, 2]]


def test_pixels_in_another_shape_are_no_exact_copy():
    row = np.arange(48, dtype=np.uint8).reshape(2, 8, 3)
    assert exact_copies(fingerprints([row, row.reshape(4, 4, 3)])) == []


def test_photographs_without_detail_are_compared_to_the_pixel_only():
    flat = [np.full((40, 60, 3), value, np.uint8) for value in (0, 0, 120, 121, 255)]
    rng = np.random.default_rng(0)
    dark = [rng.integers(0, 2, (90, 120, 3), dtype=np.uint8) for _ in range(3)]
    assert near_copies(fingerprints([*flat, *dark])) == [[0, 1]]


@pytest.mark.parametrize("count", [0, 1])
def test_there_are_no_copies_among_fewer_than_two(surfaces, count):
    assert near_copies(fingerprints(surfaces[:count])) == []
    assert exact_copies(fingerprints(surfaces[:count])) == []


def test_a_film_that_moves_on_does_not_become_one_group():
    whole = surface(5, (300, 900))
    frames = [np.ascontiguousarray(whole[30:260, x : x + 310]) for x in range(0, 500, 8)]
    groups = near_copies(fingerprints(frames))
    assert groups
    assert max(map(len, groups)) < len(frames) / 2


@settings(max_examples=25, deadline=None)
@given(
    down=st.floats(-0.06, 0.06),
    right=st.floats(-0.06, 0.06),
    tall=st.floats(0.95, 1.05),
    wide=st.floats(0.95, 1.05),
    seed=st.integers(0, 50),
)
def test_an_alignment_undoes_a_shift_and_a_stretch(down, right, tall, wide, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, 40, (16, 16)).astype(np.float32)
    picture = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
    fixed = np.asarray(picture, dtype=np.float32)[None]
    moved = resampled(fixed, np.array([[down, right, tall, wide]], dtype=np.float32))
    both = np.concatenate([moved, fixed])
    fine = detail(both, 3.0)
    found = align(detail(halved(both), 4.0), fine, 0, np.array([1]))
    assert np.allclose(found, [[down, right, tall, wide]], atol=0.01)


def test_a_group_reaches_two_links_from_its_middle_and_no_farther():
    chain = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
    assert _stars(8, chain) == [[0, 1, 2, 3], [4, 5, 6], [7]]
    assert _stars(6, [(0, 3), (1, 3), (2, 3), (4, 5)]) == [[0, 1, 2, 3], [4, 5]]


@given(
    links=st.sets(
        st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] < pair[1])
    )
)
def test_every_number_is_in_one_group_and_linked_to_another_of_it(links):
    groups = _stars(12, links)
    assert sorted(number for group in groups for number in group) == list(range(12))
    linked = {frozenset(pair) for pair in links}
    for group in groups:
        for number in group if len(group) > 1 else ():
            assert any(frozenset((number, other)) in linked for other in group)


def tangent_distance(first, second):
    """The share of the variance of one picture that another one does not explain, by its name."""
    down, right = np.gradient(first)
    at = np.linspace(-1, 1, len(first))
    columns = [np.ones_like(first), first, down, right, down * at[:, None], right * at[None]]
    weights = np.sqrt(np.outer(*[np.hanning(len(first) + 2)[1:-1]] * 2))
    matrix = np.stack([(column * weights).ravel() for column in columns], axis=1)
    target = (second * weights).ravel()
    left = target - matrix @ np.linalg.lstsq(matrix, target, rcond=None)[0]
    constant = weights.ravel() / np.linalg.norm(weights)
    return (left @ left) / (target @ target - (target @ constant) ** 2)


def test_tangent_distances_are_those_of_a_least_squares_fit():
    pictures = np.random.default_rng(3).normal(120, 30, (4, 32, 32)).astype(np.float32)
    at = np.arange(32)
    blur = np.exp(-0.5 * (at[:, None] - at[None]) ** 2)
    blur /= blur.sum(axis=1, keepdims=True)
    smooth = (blur @ pictures @ blur.T).astype(np.float64)
    expected = [[tangent_distance(a, b) for b in smooth] for a in smooth]
    found = _Tangents(pictures).distances(np.arange(4))
    assert np.allclose(found, expected, atol=0.01)
    assert np.allclose(np.diag(found), 0, atol=1e-3)


def test_candidates_are_never_the_photograph_itself_or_of_another_shape(surfaces):
    images = [surfaces[0], np.roll(surfaces[0], 2, 1), surfaces[0][:, :200], surfaces[1]]
    found = fingerprints(images)
    levels = np.stack([one.levels for one in found])
    near = neighbours(Details.of(halved(levels)), np.array([one.aspect for one in found]))
    assert [list(each.candidates) for each in near] == [[1], [0], [], []]
    assert not any(len(each.further) for each in near)


def test_a_thumbnail_keeps_the_luminance_between_levels():
    image = np.zeros((256, 384, 3), np.uint8)
    image[:, ::2] = 1  # a mean of half a level
    levels = Fingerprint.of(image).levels
    assert levels.shape == (128, 128)
    assert np.allclose(levels[8:-8, 8:-8], 0.5, atol=0.2)
    assert Fingerprint.of(image).aspect == pytest.approx(np.log(1.5))


@pytest.mark.parametrize("quality", [60, 75, 90, 95])
def test_a_copy_is_found_at_each_quality(surfaces, quality):
    shifted = compressed(EDITS["shifted"](surfaces[2]), quality)
    assert near_copies(fingerprints([*surfaces, shifted])) == [[2, 12]]


def test_the_order_of_photographs_does_not_change_their_groups(surfaces):
    images = [*surfaces, EDITS["shifted"](surfaces[1]), EDITS["compressed"](surfaces[7])]
    order = np.random.default_rng(1).permutation(len(images))
    groups = near_copies(fingerprints([images[number] for number in order]))
    named = sorted(sorted(int(order[number]) for number in group) for group in groups)
    assert named == [[1, 12], [7, 13]]
