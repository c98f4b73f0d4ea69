"""Differences of a photograph from the learned ones as a whole: each kind, at its border."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank.core.scores.tail_model import TailModel
from patchbank.core.scores.usual_range import RATE, UsualRange
from patchbank.detector.difference import KINDS, Difference, DifferenceCount
from patchbank.detector.likeness import Likeness
from patchbank.detector.member import PatchDistances
from patchbank.images.traits import Traits

USUAL = Traits(
    height=768,
    width=1024,
    mode="RGB",
    is_grey=False,
    bit_depth=8,
    bits_in_use=8,
    format="PNG",
    jpeg_quality=None,
    brightness=100.0,
    sharpness=0.5,
    blockiness=0.03,
    share_black=0.0,
    share_saturated=0.0,
)
JPEG = replace(USUAL, format="JPEG", jpeg_quality=90, blockiness=0.3)
DISTANCES = PatchDistances(10.0, 20.0)


def likeness(*traits, distances=None, shares=None):
    """The likeness of a detector that learned photographs of these traits, thirty of one."""
    learned = list(traits) * (30 if len(traits) == 1 else 1)
    if distances is None:
        distances = np.tile([10.0, 20.0], (1, len(learned), 1))
    return Likeness.of(learned, distances, np.ones(len(learned)) if shares is None else shares)


def found(learned, traits, distances=DISTANCES):
    """(kind, text) of all differences."""
    return [(each.kind, each.text) for each in learned.differences(traits, distances)]


def test_a_photograph_that_was_learned_has_no_difference():
    assert found(likeness(USUAL), USUAL) == []
    assert found(likeness(JPEG), JPEG) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"width": 2448, "height": 2048}, ("size", "2448 x 2048, learned 1024 x 768")),
        ({"width": 512, "height": 384}, ("size", "512 x 384, learned 1024 x 768")),
        ({"width": 768, "height": 1024}, ("size", "768 x 1024, learned 1024 x 768")),
        ({"mode": "P"}, ("mode", "colours of a palette, learned RGB only")),
        ({"mode": "RGBA"}, ("mode", "with transparency, learned RGB only")),
        ({"mode": "CMYK"}, ("mode", "CMYK, learned RGB only")),
        ({"is_grey": True}, ("colour", "grey, learned in colour")),
        (
            {"bit_depth": 16, "bits_in_use": 12},
            ("bit_depth", "16 bits a channel, 12 in use, learned 8"),
        ),
        ({"bit_depth": 16, "bits_in_use": 16}, ("bit_depth", "16 bits a channel, learned 8")),
        ({"bit_depth": 1, "bits_in_use": 1}, ("bit_depth", "1 bit a channel, learned 8")),
        (
            {"format": "JPEG", "jpeg_quality": 75},
            ("compression", "JPEG of quality 75, learned PNG only"),
        ),
        ({"format": "WEBP"}, ("compression", "WebP, learned PNG only")),
        (
            {"blockiness": 0.4},
            ("compression", "traces of JPEG compression in the pixels, learned without"),
        ),
        (
            {"brightness": 31.0},
            ("brightness", "darker than any learned photograph: mean 31, learned 100"),
        ),
        (
            {"brightness": 190.0},
            ("brightness", "brighter than any learned photograph: mean 190, learned 100"),
        ),
        (
            {"sharpness": 0.3},
            ("sharpness", "more blurred than any learned photograph: sharpness 0.30, learned 0.50"),
        ),
        (
            {"sharpness": 0.9},
            ("sharpness", "sharper than any learned photograph: sharpness 0.90, learned 0.50"),
        ),
    ],
)
def test_every_difference_has_a_kind_and_a_line(changes, expected):
    assert found(likeness(USUAL), replace(USUAL, **changes)) == [expected]


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 1024 + 20},  # a shape within 3 %
        {"width": 1024 * 105 // 100, "height": 768 * 105 // 100},  # and a scale within 10 %
        {"mode": "L"},
        {"format": "BMP"},
        {"format": "TIFF"},
        {"format": None},
        {"blockiness": 0.06},
        {"brightness": 110.0},
        {"brightness": 91.0},
        {"sharpness": 0.54},
        {"sharpness": 0.46},
        {"sharpness": 0.0},  # of one colour
        {"share_black": 0.5},
    ],
)
def test_what_is_harmless_is_no_difference(changes):
    assert found(likeness(USUAL), replace(USUAL, **changes)) == []


def test_several_differences_stand_in_the_order_of_the_kinds():
    odd = replace(USUAL, width=300, is_grey=True, brightness=20.0, format="JPEG", jpeg_quality=50)
    kinds = [kind for kind, _ in found(likeness(USUAL), odd, PatchDistances(40.0, 60.0))]
    assert kinds == ["size", "colour", "compression", "brightness", "part"]
    assert kinds == sorted(kinds, key=KINDS.index)


def test_in_colour_is_a_difference_where_all_were_grey():
    grey = replace(USUAL, is_grey=True, mode="L")
    assert found(likeness(grey), USUAL) == [("colour", "in colour, learned grey")]
    assert found(likeness(grey, USUAL), USUAL) == []


@pytest.mark.parametrize(
    ("in_use", "expected"),
    [(12, []), (14, []), (10, [("bit_depth", "16 bits a channel, 10 in use, learned 12 in use")])],
)
def test_fewer_bits_in_use_than_any_learned_photograph_has_are_a_difference(in_use, expected):
    deep = replace(USUAL, bit_depth=16, bits_in_use=12)
    assert found(likeness(deep), replace(deep, bits_in_use=in_use)) == expected


@pytest.mark.parametrize(
    ("quality", "is_different"),
    # Steps at 90 are 0.2 of those at 50: one and a half times of that is 0.3, as at quality 85, and
    # two thirds of it 0.133, between 93 and 94.
    [(84, True), (86, False), (90, False), (93, False), (94, True), (30, True), (100, True)],
)
def test_another_quality_is_a_difference_where_its_steps_are_other_ones(quality, is_different):
    differences = found(likeness(JPEG), replace(JPEG, jpeg_quality=quality))
    text = f"JPEG of quality {quality}, learned quality 90"
    assert differences == ([("compression", text)] if is_different else [])


def test_qualities_between_learned_ones_are_no_difference():
    learned = likeness(JPEG, replace(JPEG, jpeg_quality=40))
    assert found(learned, replace(JPEG, jpeg_quality=70)) == []
    assert found(learned, replace(JPEG, jpeg_quality=15)) == [
        ("compression", "JPEG of quality 15, learned quality 40 to 90")
    ]


def test_decoded_jpegs_are_like_jpegs_and_jpegs_like_decoded_ones():
    """The pixels are the same: a camera's program may hand over either."""
    decoded = replace(JPEG, format=None, jpeg_quality=None)
    assert found(likeness(JPEG), decoded) == []
    assert found(likeness(decoded), JPEG) == []


def test_pixels_without_traces_are_a_difference_where_all_had_them():
    plain = replace(JPEG, format=None, jpeg_quality=None, blockiness=0.02)
    text = "no traces of JPEG compression, learned with them"
    assert found(likeness(JPEG), plain) == [("compression", text)]
    text = "more traces of JPEG compression in the pixels than any learned photograph"
    assert found(likeness(JPEG), replace(JPEG, blockiness=0.9)) == [("compression", text)]


def test_another_lossy_format_is_a_difference_even_where_traces_were_learned():
    expected = [("compression", "WebP, learned JPEG only")]
    assert found(likeness(JPEG), replace(JPEG, format="WEBP", jpeg_quality=None)) == expected


def sized(*sizes):
    return [replace(USUAL, height=height, width=width) for height, width in sizes]


def test_many_sizes_make_a_range_of_shapes_and_scales():
    rng = np.random.default_rng(0)
    scales, shapes = rng.uniform(300, 500, 60), rng.uniform(1, 1.6, 60)
    sides = np.stack([scales / np.sqrt(shapes), scales * np.sqrt(shapes)], axis=1).astype(int)
    learned = likeness(*sized(*sides.tolist()))
    assert found(learned, *sized((350, 480))) == []
    (kind, text), *others = found(learned, *sized((200, 800)))
    assert (kind, others) == ("size", [])
    assert text.startswith("800 x 200 (width by height 4), learned 1 to 1.6")
    ((kind, text),) = found(learned, *sized((1500, 2000)))
    assert kind == "size"
    assert text.startswith("2000 x 1500, learned ")


def test_both_orientations_of_a_camera_are_learned():
    learned = likeness(*sized((768, 1024), (1024, 768)) * 10)
    assert found(learned, *sized((1024, 768))) == []
    assert found(learned, *sized((768, 1024))) == []


def test_a_whole_photograph_that_is_far_is_another_part():
    text = (
        "another part or another camera: the whole photograph is far from the learned ones "
        "(2.5 times as far as usual)"
    )
    assert found(likeness(USUAL), USUAL, PatchDistances(25.0, 45.0)) == [("part", text)]


def test_a_defect_is_no_other_part_however_far_it_lies():
    assert found(likeness(USUAL), USUAL, PatchDistances(10.5, 400.0)) == []
    # A large defect that all patches see something of.
    assert found(likeness(USUAL), USUAL, PatchDistances(25.0, 101.0)) == []
    assert found(likeness(USUAL), USUAL, PatchDistances(25.0, 100.0)) != []


def test_the_distance_that_is_far_depends_on_how_distances_spread():
    def limit(spread, n):
        ordinary = 10 * np.exp(spread * np.random.default_rng(1).normal(size=n))
        distances = np.stack([ordinary, 2 * ordinary], axis=1)[None]
        learned = likeness(*[USUAL] * n, distances=distances)
        far = [x for x in np.arange(10, 60, 0.1) if found(learned, USUAL, PatchDistances(x, x))]
        return far[0] / np.median(ordinary)

    assert limit(0.02, 60) == pytest.approx(1.29, abs=0.05)  # a quarter beyond the largest
    assert limit(0.1, 60) < limit(0.2, 60) < limit(0.4, 60)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_without_a_distance_nothing_is_said_about_it(value):
    """Methods of other packages may score as they like."""
    learned = likeness(USUAL, distances=np.full((1, 30, 2), value))
    assert found(learned, USUAL, PatchDistances(25.0, 45.0)) == []


def test_views_of_one_photograph_count_as_one():
    learned = likeness(*[USUAL], distances=np.tile([10.0, 20.0], (1, 9, 1)))
    alone = Likeness.of([USUAL], learned.patch_distances, np.ones(1))
    assert found(alone, USUAL, PatchDistances(25.0, 45.0)) == []
    assert found(alone, replace(USUAL, brightness=31.0)) == []
    assert found(alone, replace(USUAL, is_grey=True)) == [("colour", "grey, learned in colour")]


def test_a_smaller_bank_has_the_distances_of_its_size():
    by_size = np.stack([np.tile([x, 2 * x], (30, 1)) for x in (40.0, 20.0, 10.0)])
    learned = likeness(*[USUAL] * 30, distances=by_size)
    far = PatchDistances(35.0, 70.0)
    sizes = np.array([100, 200, 400])
    assert [kind for kind, _ in found(learned, USUAL, far)] == ["part"]
    assert [kind for kind, _ in found(learned.truncated(sizes, 200), USUAL, far)] == ["part"]
    assert found(learned.truncated(sizes, 150), USUAL, far) == []
    assert learned.truncated(sizes, 150).patch_distances.shape == (2, 30, 2)
    assert learned.truncated(sizes, 100).patch_distances.shape == (1, 30, 2)


def test_a_range_ends_at_the_tail_of_the_model_and_never_within_the_learned_values():
    rng = np.random.default_rng(3)
    for n in (2, 5, 30, 300):
        values = np.exp(rng.normal(4, 0.3, n))
        usual = UsualRange.of(values, np.ones(n), margin=1.1)
        model = TailModel.fit(values, np.ones(n), 0.0)
        assert usual.high == pytest.approx(max(model.quantile(RATE), values.max() * 1.1))
        assert usual.low <= values.min() / 1.1 * (1 + 1e-12)
        assert (usual.learned_low, usual.learned_high) == (values.min(), values.max())


@pytest.mark.parametrize("n", [3, 5, 8, 15, 31, 60, 150])
@pytest.mark.parametrize(("dof", "at_most"), [(1000, 0.004), (5, 0.012)])
def test_new_values_of_the_same_kind_lie_in_the_range(n, dof, at_most):
    rng = np.random.default_rng(n)
    outside = []
    for _ in range(200):
        values = 100 * np.exp(0.2 * rng.standard_t(dof, n + 50))
        usual = UsualRange.of(values[:n], np.ones(n), margin=1.1)
        outside.append(np.mean((values[n:] < usual.low) | (values[n:] > usual.high)))
    assert np.mean(outside) < at_most


def test_copies_of_one_photograph_do_not_narrow_a_range():
    values = np.array([90.0, 100, 104, 110, 97])
    alone = UsualRange.of(values, np.ones(5), margin=1.0)
    copies = UsualRange.of(np.repeat(values, 6), np.full(30, 1 / 6), margin=1.0)
    assert copies.high == pytest.approx(alone.high)
    assert UsualRange.of(np.repeat(values, 6), np.ones(30), margin=1.0).high < alone.high


def test_traits_of_the_learned_photographs_are_counted_for_info():
    grey = replace(USUAL, height=600, width=800, is_grey=True, mode="L", brightness=80.0)
    array = replace(USUAL, format=None, sharpness=0.4)
    rough = replace(JPEG, jpeg_quality=60, bit_depth=16, bits_in_use=12)
    assert likeness(USUAL, USUAL, grey, array, JPEG, rough).to_json() == {
        "n_sizes": 2,
        "smallest_size": [800, 600],
        "largest_size": [1024, 768],
        "formats": {"PNG": 3, "JPEG": 2, "array": 1},
        "modes": {"RGB": 5, "L": 1},
        "n_grey": 1,
        "bits_in_use": {"8": 5, "12": 1},
        "jpeg_quality": [60, 90],
        "brightness": [80.0, 100.0],
        "sharpness": [0.4, 0.5],
    }
    assert likeness(USUAL).to_json()["jpeg_quality"] is None


# Lines about many photographs


def counted(*photographs):
    count = DifferenceCount()
    for number, differences in enumerate(photographs):
        count.add(f"{number}.png", [Difference(*each) for each in differences])
    return count


QUALITY = ("compression", "JPEG of quality 75, learned PNG only")


def test_all_photographs_of_one_difference_are_one_line():
    assert counted(*[[QUALITY]] * 1000).lines() == [
        "1,000 of 1,000 photographs: JPEG of quality 75, learned PNG only"
    ]


def test_a_single_photograph_is_one_line_with_all_its_differences():
    count = counted([("brightness", "darker"), ("size", "9 x 9, learned 8 x 8")])
    assert count.lines() == ["0.png: 9 x 9, learned 8 x 8; darker"]


def test_some_photographs_are_named_and_counted():
    assert counted([], [QUALITY], [], [QUALITY]).lines() == [
        "2 of 4 photographs (1.png, 3.png): JPEG of quality 75, learned PNG only"
    ]
    dark = [[("brightness", f"darker: mean {number}")] for number in range(5)]
    assert counted(*dark, [], [QUALITY]).lines() == [
        "1 of 7 photographs (6.png): JPEG of quality 75, learned PNG only",
        "5 of 7 photographs (0.png, 1.png, 2.png and 2 more), the first: darker: mean 0",
    ]


def test_only_differences_of_enough_photographs_are_lines():
    count = counted([QUALITY], [QUALITY], [], [], [], [], [], [], [], [("colour", "grey")])
    assert count.lines(0.1) == [
        "2 of 10 photographs (0.png, 1.png): JPEG of quality 75, learned PNG only"
    ]
    assert counted([], []).lines() == []


def test_texts_of_kinds_are_new_once():
    count = DifferenceCount()
    assert count.add("a", [Difference("colour", "grey")]) == ["grey"]
    assert count.add("b", [Difference("colour", "grey"), Difference(*QUALITY)]) == [QUALITY[1]]
    assert count.add("c", [Difference("colour", "grey")]) == []
