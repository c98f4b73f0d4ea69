"""Explanations: which patches, which good patches, where these lie in their own photographs."""

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from patchbank import SPADE, Ensemble, GraphCore, ImageError, PaDiM, ParameterError, PatchCore, load
from patchbank.core.spatial.box import Box
from patchbank.core.spatial.regions import Region
from patchbank.detector.explanation.crops import SIDE_PX, good_crops, odd_crop
from patchbank.detector.explanation.explain import MOST_REGIONS, Learned, Seen
from patchbank.detector.explanation.explained import GoodPatch
from patchbank.detector.explanation.words import times_words
from patchbank.images.augment import copies
from tests import painted
from tests.long_parts import PIN, photograph
from tests.photographs import part, parts, save

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = {"backbone": "efficientnet_lite0", "image_size": 96, "false_alarm_rate": 0.2}
ALL = {**SMALL, "selection": "all"}
REGION = Region(left=40, top=20, width=30, height=24, area=100, score=9.0)


def noise(size, seed):
    """Photographs no two patches of which are alike."""
    small = np.random.default_rng(seed).integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BICUBIC))


NOISES = [noise((120, 160), 0), noise((120, 160), 1), noise((150, 110), 2)]


def explained(detector, image, *regions, n_nearest=3):
    """The explanation of an image as if it had these regions."""
    seen = detector.predict(image)
    facts = Seen("x", regions, seen.predictions, lambda: image, True, 2.0, 1.0)
    return seen.learned.explained(facts, n_nearest)


def fit(recipe, images, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return recipe.fit(images, **options)


@pytest.fixture(scope="module")
def detector():
    return fit(PatchCore(**SMALL), parts(6))


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (PatchCore(**ALL, patch_stride=1), {}),
        (PatchCore(**ALL, patch_stride=2, banks="joint"), {}),
        (PatchCore(**{**ALL, "image_size": (96, 64)}, crop=(64, 48)), {}),
        (PatchCore(backbone="efficientnet_lite0", selection="all", tiles=True), {}),
        (GraphCore(**ALL), {}),
        (SPADE(**SMALL, n_images=1, layers=("blocks.2", "blocks.4")), {}),
    ],
    ids=["per_map", "joint", "crop", "tiles", "graphcore", "spade"],
)
def test_a_learned_photograph_is_nearest_to_itself_at_the_same_spot(recipe, options):
    detector = fit(recipe, NOISES, **options)
    for number, image in enumerate(NOISES):
        [spot] = explained(detector, image, REGION).spots
        [patch] = spot.patches
        own = [each for each in patch.nearest if each.distance < 1e-3]
        assert {each.part for each in own} == {each.part for each in patch.nearest}
        assert {(each.photograph, each.number) for each in own} == {
            (detector.fitted_on[number], number)
        }
        same = {each.part for each in own if each.box == patch.box}
        if recipe.METHOD == "spade":
            assert "plane 1" in same  # the other one has larger cells
        else:
            # Cells at half the scale are so large that several patches are the same to the bit.
            assert same >= {each.part for each in own if "0.5" not in each.part}
        middle = patch.box.top + patch.box.height / 2, patch.box.left + patch.box.width / 2
        assert REGION.top - 8 <= middle[0] <= REGION.top + REGION.height + 8
        assert REGION.left - 8 <= middle[1] <= REGION.left + REGION.width + 8


def test_with_a_region_of_interest_boxes_are_of_the_whole_photograph():
    detector = fit(PatchCore(**ALL), NOISES[:2], roi=(30, 12, 90, 70), ignore=(30, 12, 10, 10))
    [spot] = explained(detector, NOISES[1], REGION).spots
    good = spot.patches[0].nearest[0]
    assert (good.number, good.box) == (1, spot.patches[0].box)
    assert good.box.left >= 30
    assert good.box.top >= 12


def test_with_tiles_of_a_region_a_learned_photograph_is_nearest_to_itself_at_the_same_spot():
    recipe = PatchCore(backbone="efficientnet_lite0", selection="all", tiles=True)
    detector = fit(recipe, NOISES[:2], roi="30,12 110,12 120,80 40,84")
    [spot] = explained(detector, NOISES[1], REGION).spots
    [patch] = spot.patches
    good = patch.nearest[0]
    assert good.distance == pytest.approx(0, abs=1e-3)
    assert (good.number, good.box) == (1, patch.box)
    assert (patch.box.height, patch.box.width) == (8, 8)


def test_rows_of_turned_copies_are_turned_back_to_the_pixels_of_their_photograph():
    detector = fit(PatchCore(**ALL, rotations=4), NOISES[:2])
    for turn in copies(rotations=4)[1:]:
        image = turn.of(NOISES[1])
        [spot] = explained(detector, image, REGION).spots
        patch = spot.patches[0]
        good = patch.nearest[0]
        assert good.distance == pytest.approx(0, abs=1e-3)
        assert good.number == 1
        seen, there = patch.box.of(image), good.box.of(NOISES[1])
        np.testing.assert_array_equal(turn.of(there), seen)


def test_rows_of_flipped_copies_in_a_region_of_interest_are_turned_back():
    detector = fit(PatchCore(**ALL, flips="horizontal"), NOISES[:2], roi=(30, 12, 90, 70))
    image = NOISES[1].copy()
    image[12:82, 30:120] = image[12:82, 30:120][:, ::-1]
    [spot] = explained(detector, image, REGION).spots
    patch = spot.patches[0]
    good = patch.nearest[0]
    assert good.distance == pytest.approx(0, abs=1e-3)
    np.testing.assert_array_equal(good.box.of(NOISES[1])[:, ::-1], patch.box.of(image))


def test_parts_that_are_turned_are_explained_in_the_pixels_of_their_photographs(tmp_path):
    pins = [photograph(PIN, 77.0 * k, (100 + 9 * k, 140 - 8 * k), seed=k) for k in range(4)]
    recipe = PatchCore.preset("few-shot", **{**SMALL, "image_size": 128}, selection="all")
    fit(recipe, pins).save(tmp_path / "pins.patchbank")
    detector = load(tmp_path / "pins.patchbank")
    assert detector.photographs.poses.shape == (4, 4)
    placement = detector.predict(pins[2]).predictions[0].geometry.placement
    height, width = placement.size
    down, right = np.array(placement.linear) @ (height / 2, width / 4) + placement.offset
    region = Region(int(right) - 6, int(down) - 6, 12, 12, 50, 9.0)
    [spot] = explained(detector, pins[2], region).spots
    good = spot.patches[0].nearest[0]
    assert (good.number, good.box) == (2, spot.patches[0].box)
    assert abs(good.box.top + good.box.height / 2 - down) < 12
    assert abs(good.box.left + good.box.width / 2 - right) < 12


def test_the_nearest_patches_are_those_of_all_rows_and_ascend(detector):
    image = part(50, defect=9)
    inspection = detector.predict(image)
    [patch] = inspection.explain(n_nearest=5).spots[0].patches
    assert [each.part for each in patch.nearest] == [
        f"bank {number}, {layer} at scale {scale}"
        for number, (layer, scale) in enumerate(
            [("blocks.2", "1"), ("blocks.4", "1"), ("blocks.4", "0.5")], start=1
        )
        for _ in range(5)
    ]
    for bank in range(3):
        distances = [each.distance for each in patch.nearest[5 * bank : 5 * bank + 5]]
        assert distances == sorted(distances)
        rows = [each.row for each in patch.nearest[5 * bank : 5 * bank + 5]]
        assert len(set(rows)) == 5


def test_a_region_has_its_oddest_patch_and_the_distance_against_the_usual_one(detector):
    inspection = detector.predict(part(50, defect=9))
    explanation = inspection.explain()
    assert explanation.is_anomalous
    assert len(explanation.spots) == len(inspection.regions) >= 1
    spot, region = explanation.spots[0], inspection.regions[0]
    assert spot.region == 0
    assert spot.box == Box(region.top, region.left, region.height, region.width)
    grid = inspection.predictions[0].scores.patch_scores
    assert spot.patches[0].score == grid.max()
    assert spot.distance == grid.max()
    largest = detector.likeness.patch_distances[-1][:, 1]
    assert spot.usual == np.median(largest)
    assert spot.times == spot.distance / spot.usual
    assert spot.text.startswith(
        f"region 1 (rows {region.top} to {region.top + region.height - 1}, columns {region.left} "
        f"to {region.left + region.width - 1}): {spot.times:.1f} times as far from anything good "
        "as the oddest spot of a good photograph usually is"
    )
    assert explanation.lines[0] == f"{inspection.image}: {explanation.text}"
    assert explanation.lines[2] == f"  {spot.patches[0].nearest[0].text}"
    assert explanation.usual_score == np.median(detector.calibration.image_scores)


def test_without_a_region_the_patches_are_explained_that_the_score_is_made_of(detector):
    inspection = detector.predict(part(60))
    assert inspection.regions == ()
    explanation = inspection.explain()
    scores = inspection.predictions[0].scores
    found = [spot.patches[0].score for spot in explanation.spots]
    assert 1 <= len(found) <= 3
    assert found[0] == scores.decisive.max()
    top = np.sort(scores.decisive.ravel())[::-1][: round(0.01 * scores.decisive.size) or 1]
    assert all(score >= top[-1] for score in found)
    assert all(spot.region is None for spot in explanation.spots)
    assert "no region is above the pixel threshold" in explanation.text
    assert explanation.spots[0].text.startswith("patch (rows ")


@pytest.mark.parametrize("kind", ["max", "smooth_max"])
def test_where_one_patch_decides_it_alone_is_explained(kind):
    detector = fit(PatchCore(**SMALL, image_score=kind), parts(5))
    inspection = detector.predict(part(60))
    assert len(inspection.explain().spots) == 1


def test_squared_patch_scores_are_explained_as_distances():
    detector = fit(PatchCore(**SMALL, metric="squared", n_neighbours=1), parts(5))
    image = part(50, defect=9)
    spot = explained(detector, image, REGION).spots[0]
    patch = spot.patches[0]
    assert spot.distance == pytest.approx(patch.score**0.5)
    assert patch.nearest[0].distance == pytest.approx(spot.distance, rel=1e-4)
    assert spot.usual == np.median(detector.likeness.patch_distances[-1][:, 1]) ** 0.5


def test_an_ensemble_explains_each_region_by_every_member():
    recipe = Ensemble([PatchCore(**SMALL), PaDiM(dims=20, **SMALL)])
    detector = fit(recipe, parts(6))
    image = part(50, defect=9)
    [spot] = explained(detector, image, REGION).spots
    assert [patch.method for patch in spot.patches] == ["patchcore", "padim"]
    assert [patch.member for patch in spot.patches] == [0, 1]
    predictions = detector.predict(image).predictions
    own = [
        patch.score / one.map_scale.spread
        for patch, one in zip(spot.patches, predictions, strict=True)
    ]
    assert spot.distance == pytest.approx(np.mean(own))
    assert spot.patches[0].nearest[0].part.startswith("member 1, bank 1")
    alone = explained(detector, image).spots
    assert {patch.member for one in alone for patch in one.patches} == {0, 1}
    assert all(one.usual is None for one in alone)


def test_padim_names_the_position_and_how_many_deviations_it_is():
    detector = fit(PaDiM(dims=20, **SMALL), parts(6))
    [spot] = explained(detector, part(50, defect=9), REGION).spots
    patch = spot.patches[0]
    h, w = detector.members[0].model.grid
    row, column = (
        int((middle) / side * n)
        for middle, side, n in (
            (patch.box.top + patch.box.height / 2, 72, h),
            (patch.box.left + patch.box.width / 2, 104, w),
        )
    )
    assert patch.remark == (
        f"{patch.score:.1f} standard deviations from the mean of good parts at this position (row "
        f"{row}, column {column} of {h} x {w}); the same spot of learned photographs is shown"
    )
    assert [good.number for good in patch.nearest] == [0, 1, 2]
    assert {good.box for good in patch.nearest} == {patch.box}
    assert {good.distance for good in patch.nearest} == {None}
    assert [crop.image.shape for crop in good_crops(explained(detector, part(1), REGION), patch)]
    assert detector.photographs.to_json()["count"] == 3


def test_spade_names_the_most_similar_photographs_and_pixels_of_these_alone():
    detector = fit(SPADE(n_images=2, **SMALL), parts(6))
    explanation = explained(detector, part(3), REGION, n_nearest=4)
    assert explanation.similar[0].distance == pytest.approx(0, abs=1e-6)
    assert explanation.similar[0].photograph == detector.fitted_on[3]
    assert len(explanation.similar) == 4
    similar = {each.number for each in explanation.similar[:2]}
    assert {good.number for good in explanation.spots[0].patches[0].nearest} <= similar
    pooled = fit(SPADE(image_score="pooled", **SMALL), parts(4))
    assert explained(pooled, part(3)).spots == ()


def test_spade_does_not_say_where_pixels_of_copies_lie():
    detector = fit(SPADE(n_images=4, rotations=4, **SMALL), parts(2))
    nearest = explained(detector, np.rot90(part(0), 1).copy(), REGION).spots[0].patches[0].nearest
    assert {good.box for good in nearest} == {None}
    assert "where in it is not known" in nearest[0].text


@pytest.mark.torch
def test_simplenet_says_that_it_has_no_good_patches():
    from patchbank import SimpleNet

    detector = fit(SimpleNet(steps=20, hidden_dims=32, **SMALL), parts(4))
    [spot] = explained(detector, part(50, defect=9), REGION).spots
    assert spot.patches[0].nearest == ()
    assert spot.patches[0].remark.startswith("SimpleNet keeps no good patches")
    assert "the oddest spot of a good photograph usually has" in spot.text
    assert detector.photographs is None


def test_a_method_that_cannot_explain_says_so():
    image = painted.photograph(120, (99, 4, 6))
    detector = painted.detector(painted.member())
    [spot] = detector.predict(image).explain().spots
    assert spot.usual is None
    assert spot.text == (
        "region 1 (rows 4 to 4, columns 6 to 6): a score of 99; what is usual is not known"
    )
    assert spot.patches[0].remark == "this method cannot say what it compared"
    assert spot.patches[0].box == Box(4, 6, 1, 1)


def test_twenty_regions_are_explained_and_how_many_there_are_is_said():
    lit = [(99, 3 * row, 3 * column) for row in range(3) for column in range(8)]
    detector = painted.detector(painted.member())
    explanation = detector.predict(painted.photograph(120, *lit)).explain()
    assert len(explanation.spots) == MOST_REGIONS == 20
    assert explanation.text.endswith("; 20 of 24 regions are explained")


def test_a_region_between_the_centres_of_patches_has_the_nearest_one(detector):
    tiny = Region(left=51, top=33, width=1, height=1, area=1, score=9.0)
    [spot] = explained(detector, part(7), tiny).spots
    box = spot.patches[0].box
    assert box.top <= 33 < box.top + box.height
    assert box.left <= 51 < box.left + box.width


def test_files_without_sizes_name_the_photographs_but_no_spots_in_them(detector):
    bare = replace(detector, likeness=None, photographs=None, content_sha256=None)
    spot = explained(bare, part(50, defect=9), REGION).spots[0]
    good = spot.patches[0].nearest[0]
    assert spot.usual is None
    assert "what is usual is not known" in spot.text
    assert good.box is None
    assert good.text.startswith(f"nearest in {good.photograph}: where in it is not known, distance")
    explanation = explained(bare, part(50, defect=9), REGION)
    crops = good_crops(explanation, explanation.spots[0].patches[0])
    assert {crop.reason for crop in crops} == {"where it lies in its photograph is not known"}


def test_features_that_were_kept_give_what_the_photograph_gives_again(detector, tmp_path):
    path = save(tmp_path / "odd.png", part(50, defect=9))
    [(inspection, at_once)] = detector.inspect_with([path], lambda one: one.explain().to_json())
    assert all(one.maps is None for one in inspection.predictions)
    assert inspection.explain().to_json() == at_once
    path.unlink()
    with pytest.raises(ImageError, match=r"odd\.png: "):
        inspection.explain()


def test_an_inspection_from_another_process_says_that_it_cannot_be_explained(detector):
    inspection = detector.predict(part(50, defect=9))
    again = pickle.loads(pickle.dumps(inspection))
    assert again.regions == inspection.regions
    with pytest.raises(ParameterError, match="expected an inspection of this process, got one of"):
        again.explain()
    assert copy.deepcopy(inspection).explain().to_json() == inspection.explain().to_json()
    with pytest.raises(ParameterError, match="n_nearest: expected"):
        inspection.explain(n_nearest=0)
    assert repr(Learned(None)) not in repr(inspection)


def test_crops_of_both_show_the_same_number_of_cells_around_the_patch():
    detector = fit(PatchCore(**ALL, scales=(1.0,)), NOISES)  # at half, neighbours are equal
    explanation = explained(detector, NOISES[2], REGION)
    [patch] = explanation.spots[0].patches
    odd, [first, *_] = odd_crop(patch, NOISES[2]), good_crops(explanation, patch)
    assert isinstance(first.patch, GoodPatch)
    assert odd.image.shape == first.image.shape == (SIDE_PX, SIDE_PX, 3)
    inside = slice(SIDE_PX // 2 - 8, SIDE_PX // 2 + 8)  # within both outlines
    away = odd.image[inside, inside].astype(float) - first.image[inside, inside]
    assert np.abs(away).mean() < 20  # one of them is a picture of quality 70
    other = odd.image[inside, inside].astype(float) - first.image[inside, 40:56]
    assert np.abs(other).mean() > 30


def test_a_larger_region_is_shown_whole():
    detector = fit(PatchCore(**{**SMALL, "image_size": 320}), parts(3, size=(288, 416)))
    small, large = Region(100, 80, 8, 8, 9, 9.0), Region(60, 40, 200, 140, 9, 9.0)
    first, second = explained(detector, part(9, size=(288, 416)), small, large).spots
    assert first.patches[0].shown_cells == 16
    cell_px = (
        416 / detector.predict(part(9, size=(288, 416))).predictions[0].geometry.feature_grid[1]
    )
    assert second.patches[0].shown_cells == pytest.approx(1.25 * 200 / cell_px, rel=0.05)


@pytest.mark.parametrize(
    ("distance", "usual", "is_distance", "said"),
    [
        (4.0, 2.0, True, "2.0 times as far from anything good as"),
        (1.0, 0.0, True, "farther from anything good than"),
        (0.0, 0.0, True, "no farther from anything good than"),
        (3.0, None, True, "a distance from anything good of 3; what is usual is not known"),
        (3.0, None, False, "a score of 3; what is usual is not known"),
        (1.0, 2.0, False, "no higher score than"),
        (1.0, 0.0, False, "a higher score than"),
    ],
)
def test_distances_are_said_as_a_person_would(distance, usual, is_distance, said):
    assert times_words(distance, usual, is_distance=is_distance).startswith(said)
