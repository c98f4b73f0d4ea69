"""Small pictures of learned photographs: which are kept, how large, in the file, decoded lazily."""

import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from patchbank import Ensemble, PaDiM, PatchCore, load
from patchbank.core.spatial.box import Box
from patchbank.detector.bundle import Bundle, bundle_of, read_bundle, to_bytes, write_bundle
from patchbank.detector.explanation import useful
from patchbank.detector.explanation.crops import good_crops
from patchbank.detector.explanation.pictures import LearnedPhotographs, LearnedPictures
from patchbank.detector.packing import pack
from patchbank.errors import DetectorFileError, ImageError
from patchbank.images import small_pictures
from patchbank.images.roi import RegionOfInterest
from patchbank.images.small_pictures import PictureScale, SmallPicture
from patchbank.images.source import image_source
from patchbank.training import pictures as of_training
from patchbank.training.pictures import picture_scale
from tests.photographs import part, parts, save

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
KEYS = {
    "photographs.pictures",
    "photographs.pictured",
    "photographs.picture_boxes",
    "photographs.picture_ends",
}


def fit(recipe, images, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return recipe.fit(images, **options)


def tensors_of(detector):
    return pack(detector._parts(), as_onnx=False).tensors


@pytest.fixture(scope="module")
def detector():
    return fit(PatchCore(**SMALL, bank_rows=60), parts(6))


def pictures_of(*sizes):
    """Pictures of so many bytes, of photographs 0, 1, ..."""
    box = Box(0, 0, 8, 12)
    pairs = [(n, SmallPicture(box, bytes([n]) * size)) for n, size in enumerate(sizes)]
    return LearnedPictures.of(pairs)


def test_a_fit_keeps_a_picture_of_each_photograph_that_rows_come_from(detector):
    kept = detector.photographs.pictures
    counts = detector.members[0].model.sources(6)
    assert kept.photographs.tolist() == np.flatnonzero(counts).tolist()
    for number in kept.photographs.tolist():
        found = kept.picture(number)
        assert found.box == Box(0, 0, 72, 104)
        height, width = found.image.shape[:2]
        assert (height * width) ** 0.5 == pytest.approx(64, rel=0.03)
        assert width / height == pytest.approx(104 / 72, rel=0.03)
        small = np.asarray(Image.fromarray(part(number)).resize((width, height)), float)
        assert np.abs(found.image - small).mean() < 8
        assert np.abs(found.image[::-1] - small).mean() > 12
    assert kept.picture(99) is None


def test_no_pictures_are_kept_where_they_are_not_wanted_and_nothing_else_changes(detector):
    bare = fit(PatchCore(**SMALL, bank_rows=60), parts(6), keep_crops=False)
    assert bare.photographs is None
    mine, other = tensors_of(detector), tensors_of(bare)
    assert mine.keys() - other.keys() == KEYS
    for name, tensor in other.items():
        np.testing.assert_array_equal(mine[name], tensor)
    odd = part(50, defect=9)
    assert bare.predict(odd).to_json() == detector.predict(odd).to_json()
    explanation = bare.predict(odd).explain()
    with_pictures = detector.predict(odd).explain()
    assert explanation.to_json() == with_pictures.to_json()
    crops = good_crops(explanation, explanation.spots[0].patches[0])
    assert {crop.reason for crop in crops} == {
        "the detector file has no pictures of the learned photographs"
    }


def test_two_fits_keep_the_same_bytes(detector):
    again = fit(PatchCore(**SMALL, bank_rows=60), parts(6))
    assert to_bytes(pack(again._parts(), as_onnx=False)) == to_bytes(
        pack(detector._parts(), as_onnx=False)
    )


def test_pictures_travel_in_the_file_and_through_every_change(detector, tmp_path):
    path = tmp_path / "a.patchbank"
    detector.save(path)
    opened = load(path)
    assert opened == detector
    for other in (
        opened,
        opened.with_false_alarm_rate(0.3),
        opened.with_threshold(9.0),
        opened.with_bank_rows(opened.bank_sizes[0]),
    ):
        kept, first = other.photographs.pictures, detector.photographs.pictures
        counts = other.members[0].model.sources(6)
        assert kept.photographs.tolist() == np.flatnonzero(counts).tolist()
        for number in kept.photographs.tolist():
            np.testing.assert_array_equal(kept.picture(number).image, first.picture(number).image)


def test_an_ensemble_keeps_pictures_for_all_its_members():
    recipe = Ensemble([PatchCore(**SMALL), PaDiM(dims=20, **SMALL)])
    kept = fit(recipe, parts(5)).photographs.pictures
    assert {0, 1, 2} <= set(kept.photographs.tolist())


def test_pictures_of_a_region_of_interest_show_its_box_alone():
    detector = fit(PatchCore(**SMALL), parts(4), roi=(16, 20, 60, 40))
    found = detector.photographs.pictures.picture(0)
    assert found.box == Box(20, 16, 40, 60)
    assert found.image.shape == (40, 60, 3)
    assert np.abs(found.image - part(0)[20:60, 16:76].astype(float)).mean() < 8


def test_no_picture_is_decoded_when_a_file_is_opened(detector, tmp_path, monkeypatch):
    path = tmp_path / "a.patchbank"
    detector.save(path)
    decoded = []
    monkeypatch.setattr(
        "patchbank.detector.explanation.pictures.read_image",
        lambda *arguments: decoded.append(arguments),
    )
    opened = load(path)
    opened.predict(part(50, defect=9)).explain()
    assert decoded == []


def test_a_picture_that_cannot_be_decoded_is_said_and_the_others_are_shown(detector):
    kept = detector.photographs.pictures
    content = kept.content.copy()
    content[: kept.ends[0]] = 7
    broken = replace(kept, content=content)
    with pytest.raises(ImageError, match="picture of photograph 0: expected"):
        broken.picture(int(kept.photographs[0]))
    explanation = replace(detector.predict(part(0)).explain(), pictures=broken)
    spots = explanation.spots
    crops = [crop for spot in spots for crop in good_crops(explanation, spot.patches[0])]
    for crop in crops:
        is_broken = crop.patch.number == kept.photographs[0]
        assert (crop.image is None) == is_broken
        if is_broken:
            assert crop.reason == "its picture in the detector file cannot be read"


def test_the_photographs_that_most_rows_come_from_keep_their_pictures():
    pictures = pictures_of(10, 20, 30, 40)
    sources = np.array([5, 1, 9, 0])
    assert pictures.most_useful(sources, 1000).photographs.tolist() == [0, 1, 2]
    kept = pictures.most_useful(sources, 45)
    assert kept.photographs.tolist() == [0, 2]
    assert kept.content.tobytes() == bytes([0]) * 10 + bytes([2]) * 30
    assert kept.ends.tolist() == [10, 40]
    assert pictures.most_useful(sources, 29) is None
    assert pictures.most_useful(np.ones(4, int), 1000) is pictures
    assert LearnedPictures.of([]) is None


def test_pictures_stay_below_a_share_of_all_else_and_below_a_limit(detector, monkeypatch):
    model = sum(array.nbytes for array in detector.members[0].model.tensors().values())
    whole = sum(array.nbytes for array in tensors_of(detector).values())
    large = pictures_of(*[300_000] * 6)
    kept = useful.useful(LearnedPhotographs(large), detector.members, 6).pictures
    assert 300_000 < len(kept.content) <= useful.LARGEST_SHARE * whole
    assert model < whole
    monkeypatch.setattr(useful, "MOST_BYTES", 300_000)
    kept = useful.useful(LearnedPhotographs(large), detector.members, 6).pictures
    assert len(kept.photographs) == 1
    monkeypatch.setattr(useful, "MOST_BYTES", 10)
    assert useful.useful(LearnedPhotographs(large), detector.members, 6) is None
    poses = np.zeros((6, 4))
    left = useful.useful(LearnedPhotographs(large, poses), detector.members, 6)
    assert left.pictures is None
    assert left.poses is poses
    assert left.to_json() is None


def test_pictures_are_made_smaller_where_they_are_many(tmp_path, monkeypatch):
    sources = [image_source(image) for image in parts(4)]
    settings = PatchCore(**SMALL)
    assert picture_scale(settings, sources, None) == PictureScale(64, 1.0)
    estimate = 4 * 64 * 64 * of_training.BYTES_A_PIXEL
    monkeypatch.setattr(of_training, "MOST_BYTES", estimate * 0.64)
    assert picture_scale(settings, sources, None).factor == pytest.approx(0.8)
    half = RegionOfInterest(np.arange(72 * 104).reshape(72, 104) < 18 * 104)
    small = 4 * 18 * 104 * of_training.BYTES_A_PIXEL / estimate
    found = picture_scale(settings, sources, half).factor
    assert found == pytest.approx(min(1, (0.64 / small) ** 0.5))
    monkeypatch.setattr(of_training, "MOST_BYTES", estimate * 0.01)
    assert picture_scale(settings, sources, None).factor == 0.5
    unreadable = save(tmp_path / "a.png", part(0))
    unreadable.write_bytes(b"no image")
    assert picture_scale(settings, [image_source(unreadable)], None).factor == 1.0


def test_pictures_of_tiles_and_of_turned_parts_are_larger():
    sources = [image_source(image) for image in parts(2)]
    assert picture_scale(PatchCore(tiles=True), sources, None).input_px is None
    turned = PatchCore(**SMALL, position="auto")
    assert picture_scale(turned, sources, None).input_px == 128


def test_a_picture_has_at_most_the_pixels_of_its_photograph_and_of_the_input():
    assert PictureScale(64).n_pixels(10_000) == 4096
    assert PictureScale(64).n_pixels(1000) == 1000
    assert PictureScale((36, 26)).n_pixels(10_000) == 936
    assert PictureScale(None).n_pixels(10_000) == 10_000


@pytest.mark.parametrize(
    ("scale", "shape"),
    [
        (PictureScale(64), (53, 77)),
        (PictureScale((36, 26)), (36, 52)),
        (PictureScale(None), (72, 104)),
        (PictureScale(500), (72, 104)),
        (PictureScale(None, 0.5), (36, 52)),
    ],
)
def test_a_picture_is_as_large_as_the_network_sees_the_photograph(scale, shape):
    picture = scale.picture(part(0), None)
    assert Image.open(io.BytesIO(picture.content)).size == shape[::-1]


def test_where_pillow_has_no_webp_pictures_are_jpeg(monkeypatch):
    assert Image.open(io.BytesIO(small_pictures.encoded(part(0)))).format == "WEBP"
    small_pictures._has_webp.cache_clear()
    monkeypatch.setattr(small_pictures.features, "check", lambda name: False)
    try:
        assert Image.open(io.BytesIO(small_pictures.encoded(part(0)))).format == "JPEG"
    finally:
        small_pictures._has_webp.cache_clear()


def test_a_picture_of_a_very_long_photograph_fits_the_format():
    line = np.zeros((2, 40_000, 3), np.uint8)
    picture = PictureScale(None).picture(line, None)
    assert Image.open(io.BytesIO(picture.content)).size == (16_000, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photographs.pictured": [0, 0]}, "photographs.pictured: expected ascending numbers"),
        ({"photographs.pictured": [0, 99]}, "photographs.pictured: expected values from 0 to"),
        ({"photographs.picture_ends": [9, 5]}, "photographs.picture_ends: expected ascending"),
        ({"photographs.picture_ends": [9, 10]}, "photographs.picture_ends: expected ascending"),
        ({"photographs.picture_boxes": [[0, 0, 0, 5]] * 2}, "photographs.picture_boxes: expected"),
        ({"photographs.picture_boxes": None}, "photographs.picture_boxes: expected int32"),
        ({"photographs.poses": np.zeros((9, 4))}, "photographs.poses: expected at most 6"),
        ({"photographs.poses": np.full((2, 4), np.nan)}, "photographs.poses: expected values"),
    ],
)
def test_a_file_whose_pictures_contradict_each_other_is_refused(
    detector, tmp_path, changes, message
):
    two = detector.photographs.pictures.most_useful(np.array([1, 1, 0, 0, 0, 0]), 10**9)
    small = replace(detector, photographs=LearnedPhotographs(two), content_sha256=None)
    bundle = bundle_of(to_bytes(pack(small._parts(), as_onnx=False)), "a")
    changed = dict(bundle.tensors)
    for name, values in changes.items():
        if values is None:
            del changed[name]
        else:
            changed[name] = np.array(values, dtype=getattr(changed.get(name), "dtype", "float64"))
    path = tmp_path / "a.patchbank"
    write_bundle(path, Bundle(changed, bundle.record))
    with pytest.raises(DetectorFileError, match=message):
        load(path)
    assert set(read_bundle(path).record) == set(bundle.record)
