"""What a fit says about its photographs: unreadable, black, of one colour, alike."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchbank import PatchCore, PhotographWarning
from patchbank.core.scores.calibration import Calibration
from patchbank.errors import DataError, ImageError
from patchbank.images.source import image_source
from patchbank.images.traits import Traits
from patchbank.training.photographs import Content, Contents
from tests.photographs import part, save

RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=96, bank_limit=80)
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def good_folder(root, n=8, broken=()):
    for number in range(n):
        path = save(root / f"{number:02}.png", part(number))
        if number in broken:
            path.write_bytes(path.read_bytes()[:3000])
    return root


def contents(**images):
    found = Contents()
    for name, image in images.items():
        traits = Traits.of(image_source(image), image)
        found.add(image_source(Path(name)), Content.of(image, traits))
    return found


def test_all_unreadable_photographs_are_named_at_once(tmp_path):
    good = good_folder(tmp_path / "good", 14, broken=range(1, 13))
    with pytest.raises(ImageError) as caught:
        RECIPE.fit(good)
    text = str(caught.value)
    assert "\n" not in text
    assert "expected 14 photographs that can be read, got 12 that cannot" in text
    assert [f"{n:02}.png" in text for n in range(14)] == [0 < n < 11 for n in range(14)]
    assert text.endswith("; and 2 more")
    assert "--skip-unreadable" in text


def test_unreadable_photographs_are_left_out_if_that_is_asked(tmp_path):
    good = good_folder(tmp_path / "good", 8, broken=(0, 5))
    with pytest.warns(PhotographWarning) as warned:
        detector = RECIPE.fit(good, skip_unreadable=True)
    assert detector.fitted_on == ("01.png", "02.png", "03.png", "04.png", "06.png", "07.png")
    lines = [str(w.message) for w in warned if w.category is PhotographWarning]
    assert [line.split(": ")[1] for line in lines] == [str(good / "00.png"), str(good / "05.png")]
    same = RECIPE.fit([good / name for name in detector.fitted_on])
    assert detector.predict(part(9)).score == same.predict(part(9)).score


def test_where_nothing_can_be_read_nothing_is_left_out(tmp_path):
    good = good_folder(tmp_path / "good", 2, broken=(0, 1))
    with pytest.raises(ImageError, match="got 2 that cannot"):
        RECIPE.fit(good, skip_unreadable=True)


def test_black_constant_and_doubled_photographs_are_named():
    black, dark = np.zeros((20, 30, 3), np.uint8), part(0) // 16
    found = contents(a=black, b=part(1), c=np.full((20, 30, 3), 90, np.uint8), d=dark, e=part(1))
    assert found.remarks(are_grouped=False) == [
        "1 of 5 photographs is all black (transparent pixels count as black): a",
        "1 of 5 photographs is nearly black (no value above 15 of 255): d",
        "1 of 5 photographs is of one colour: c",
        "1 of 5 photographs is the same as another one, to the pixel: e",
    ]
    assert contents(a=part(0), b=part(1), c=part(0)[:, :-1]).remarks(are_grouped=False) == []


def test_a_colour_in_one_corner_is_not_constant():
    image = np.full((20, 30, 3), 90, np.uint8)
    assert contents(a=image).contents[0].is_constant
    image[-1, -1, 2] = 91
    assert not contents(a=image).contents[0].is_constant


def test_many_names_are_counted():
    many = contents(**{f"p{n}": np.full((9, 9, 3), n + 20, np.uint8) for n in range(12)})
    assert many.remarks(are_grouped=False) == [
        "12 of 12 photographs are of one colour: "
        + ", ".join(f"p{n}" for n in range(10))
        + " and 2 more"
    ]


@pytest.mark.filterwarnings("ignore:array 5 is unlike the others")
def test_a_warning_names_a_black_photograph():
    with pytest.warns(PhotographWarning, match="1 of 6 photographs is all black"):
        RECIPE.fit([*(part(seed) for seed in range(5)), np.zeros_like(part(0))])


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (np.zeros((72, 104, 3), np.uint8), "the same to the pixel and all black"),
        (np.full((72, 104, 3), 7, np.uint8), "the same to the pixel and of one colour"),
        (part(0), r"the same to the pixel \("),
    ],
)
def test_photographs_that_are_all_the_same_are_refused(image, what):
    with pytest.raises(DataError, match=f"expected photographs that differ, got 5 that are {what}"):
        RECIPE.fit([image] * 5)


def test_a_threshold_of_zero_is_refused():
    twice = [part(seed) for seed in (0, 0, 1, 1, 2, 2)]
    with pytest.raises(DataError, match="threshold: expected more than 0.*6 of 6 photographs"):
        RECIPE.fit(twice, groups="none")
    some = [part(seed) for seed in (0, 0, 1, 1, 2, 3)]
    with pytest.warns(PhotographWarning, match="2 of 6 .* same as another .*: array 1, array 3"):
        detector = RECIPE.fit(some, groups="none")
    assert detector.calibration.threshold > 0.1
    whole = RECIPE.with_changes(selection="all", false_alarm_rate=0.45)
    with pytest.raises(DataError, match="threshold: expected more than 0.*4 of 6 photographs"):
        whole.fit(some, groups="none")
    with pytest.warns(PhotographWarning, match="2 of 6 .* left out with it: array 1, array 3"):
        detector = whole.fit(some)
    assert detector.calibration.groups.tolist() == [0, 0, 1, 1, 2, 3]
    assert detector.calibration.threshold > 0.1


def test_one_black_photograph_is_refused():
    with pytest.raises(DataError, match="threshold: expected more than 0, got 0: other views"):
        RECIPE.fit(np.zeros((72, 104, 3), np.uint8))


def test_further_pages_are_named(tmp_path):
    good = good_folder(tmp_path / "good", 5)
    first, second = Image.fromarray(part(5)), Image.fromarray(part(6))
    first.save(good / "pages.tif", save_all=True, append_images=[second])
    first.save(good / "page.tif")
    with pytest.warns(PhotographWarning) as warned:
        detector = RECIPE.fit(good)
    lines = [str(w.message) for w in warned if w.category is PhotographWarning]
    assert lines == [
        "1 of 7 photographs with several frames or pages, of which the first is read: "
        f"{good / 'pages.tif'}",
        "1 of 7 photographs is the same as another one, to the pixel, and left out with it: "
        f"{good / 'pages.tif'}",
    ]
    assert len(detector.fitted_on) == 7


@pytest.mark.parametrize("origin", [0.0, -1.5])
def test_photographs_that_all_score_nothing_have_no_threshold(origin):
    """They differ where nothing is scored: beside a crop, say."""
    found = contents(a=part(1), b=part(2), c=part(3))
    nothing = np.full(3, origin)
    calibration = Calibration(nothing, nothing, 0.05, rule="tail", score_origin=origin)
    with pytest.raises(DataError, match="threshold: expected more than 0, got 0: none of 3 photog"):
        found.check_threshold(calibration)
    something = nothing + np.array([0, 0, 0.5])
    found.check_threshold(Calibration(something, nothing, 0.05, rule="tail", score_origin=origin))


def test_a_threshold_of_an_ensemble_near_zero_is_not_nothing():
    """Standardised scores lie on both sides of zero; nothing is at the origin, far below."""
    found = contents(a=part(1), b=part(2), c=part(2), d=part(4))
    scores = np.array([-0.2, 0.001, 0.0, 1.0])
    calibration = Calibration(
        scores, scores, 0.05, rule="tail", score_origin=-9.0, set_threshold=0.0005
    )
    found.check_threshold(calibration)
    with pytest.raises(DataError, match="got 0 but for rounding: 2 of 4"):
        found.check_threshold(calibration.with_threshold(-8.9))
