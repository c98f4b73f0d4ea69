"""A fit decides whether parts are turned, keeps it in the file, and defects stay where they are."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from patchbank import Ensemble, PaDiM, PatchCore, PhotographWarning, load
from patchbank.detector.bundle import read_bundle, write_bundle
from patchbank.detector.latency import latency_ms
from patchbank.errors import DataError, DetectorFileError, ParameterError
from patchbank.images.source import image_source
from patchbank.methods import METHODS
from patchbank.runtime.progress import NullProgress
from patchbank.training.photographs import Remarks
from patchbank.training.position import with_position
from tests.long_parts import BAR, PIN, WIRE, photograph, turned
from tests.photographs import part, parts

QUICK = {"backbone": "efficientnet_lite0", "image_size": 128, "bank_limit": 300}
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def lying(outline, n, **options):
    """Photographs of a part that lies anywhere."""
    return [
        photograph(outline, 77.0 * k, (100 + 9 * (k % 5), 140 + 11 * (k % 4)), seed=k, **options)
        for k in range(n)
    ]


def decided(images, **changes):
    recipe = PatchCore.preset("few-shot", **changes)
    remarks = Remarks()
    sources = [image_source(image) for image in images]
    [(_, settings)] = with_position(
        [(METHODS["patchcore"], recipe)], sources, remarks, NullProgress()
    )
    return settings, remarks


@pytest.fixture(scope="module")
def detector():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PatchCore.preset("few-shot", **QUICK, false_alarm_rate=0.2).fit(lying(PIN, 6))


@pytest.mark.parametrize("n", [1, 2, 8])
def test_pins_that_lie_anywhere_are_turned_and_learned_with_their_mirror_image(n):
    settings, remarks = decided(lying(PIN, n))
    assert settings.position == "canonical"
    assert (settings.rotations, settings.flips) == (1, "vertical")
    assert len(settings.copies) == 2
    height, width = settings.part_size
    margin = 2 * (0.03 + 0.03 / n)
    assert width == pytest.approx(140 * (1 + margin), abs=4)
    assert height == pytest.approx(19 + 140 * margin, abs=4)
    assert remarks.decisions == [
        f"position canonical: parts are turned, and {width} x {height} pixels around each are "
        "inspected; learned in one direction, with the mirror image"
    ]
    assert remarks.lines == []


@pytest.mark.parametrize("outline", [BAR, WIRE])
def test_a_part_without_a_heavy_end_is_learned_in_both_directions(outline):
    settings, _ = decided(lying(outline, 3))
    assert (settings.position, settings.rotations, len(settings.copies)) == ("canonical", 2, 4)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (parts(4), "4 of 4"),
        ([part(0)], "1 of 1"),
        ([*lying(PIN, 3), part(0, size=(240, 320))], "1 of 4 (array): "),
        ([*lying(PIN, 4), *lying(1.4 * np.array(PIN), 2)], "areas of the parts differ, from "),
        ([np.full((90, 120, 3), 130, np.uint8)] * 2, "nothing differs from the ground"),
    ],
)
def test_other_photographs_are_inspected_as_they_are_in_24_orientations(images, reason):
    settings, remarks = decided(images)
    assert settings == PatchCore.preset("few-shot", position="as_photographed")
    assert settings.rotations == 24
    (line,) = remarks.decisions
    assert line.startswith("position auto: parts are inspected as photographed; ")
    assert reason in line


def test_one_photograph_in_twenty_may_be_another_one():
    images = [*lying(PIN, 19), part(0, size=(240, 320))]
    assert decided(images)[0].position == "canonical"
    assert decided(images[1:])[0].position == "as_photographed"


def test_where_a_canonical_position_is_asked_for_doubts_are_a_warning():
    settings, remarks = decided([*lying(PIN, 2), *parts(2)], position="canonical")
    assert settings.position == "canonical"
    (line,) = remarks.lines
    assert line.startswith("position canonical may not suit these photographs; 2 of 4 ")
    with pytest.raises(DataError, match="got none in which anything differs from its border"):
        decided([np.full((90, 120, 3), 130, np.uint8)], position="canonical")
    with pytest.warns(PhotographWarning, match="position canonical may not suit"):
        PatchCore(position="canonical", **QUICK).fit(parts(3))


def test_a_part_size_that_is_given_is_taken():
    assert decided(lying(PIN, 2), part_size=(50, 200))[0].part_size == (50, 200)
    assert decided(parts(2), part_size=(50, 200))[0].part_size is None
    with pytest.raises(ParameterError, match="part_size: expected position 'canonical' or 'auto'"):
        PatchCore(part_size=50)


@pytest.mark.parametrize("angle", range(5, 360, 50))
def test_a_defect_is_found_where_it_lies(detector, angle):
    """The region is round the blot, in the photograph's own pixels, whatever the angle."""
    centre = (105, 170)
    image = photograph(PIN, angle, centre, blots=[(30, 0, 5)], seed=angle)
    inspection = detector.predict(image)
    assert inspection.is_anomalous
    assert inspection.anomaly_map.shape == (240, 320)
    ((x, y),) = turned([(30, 0)], angle, centre)
    highest = np.unravel_index(inspection.anomaly_map.argmax(), (240, 320))
    assert np.hypot(highest[0] - y, highest[1] - x) < 16  # a patch of the 128-pixel input
    region = inspection.regions[0]
    assert region.left <= x <= region.left + region.width
    assert region.top <= y <= region.top + region.height


def test_a_good_part_scores_alike_at_all_angles(detector):
    scores = [
        detector.predict(photograph(PIN, angle, (110, 150), seed=9)).score
        for angle in range(0, 360, 45)
    ]
    blot = detector.predict(photograph(PIN, 0.0, blots=[(30, 0, 5)])).score
    assert max(scores) < 0.7 * blot
    assert inspected_note(detector, photograph(PIN, 45.0, (110, 150))) is None


def inspected_note(detector, image):
    texts = [d.text for d in detector.predict(image).unlike if d.kind == "position"]
    return texts[0] if texts else None


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (photograph(PIN, greys=(200, 200)), "no part: nothing differs from the ground"),
        (photograph(0.3 * np.array(PIN)), "no part: what differs most from the ground has 4"),
    ],
)
def test_a_photograph_without_the_part_is_anomalous_whatever_its_score(detector, image, text):
    inspection = detector.predict(image)
    assert inspection.is_anomalous
    assert inspection.to_json()["anomalous"]
    assert inspected_note(detector, image).startswith(text)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (
            np.minimum(photograph(PIN, 0.0, (60, 160)), photograph(PIN, 0.0, (180, 160))),
            "position of the part not sure: there are several parts",
        ),
        (photograph(1.3 * np.array(PIN)), "the part is larger, 18"),
    ],
)
def test_a_position_that_is_not_sure_is_noted(detector, image, text):
    assert inspected_note(detector, image).startswith(text)


def test_the_file_keeps_the_position_and_older_files_have_none(detector, tmp_path):
    path = tmp_path / "pins.patchbank"
    detector.save(path)
    opened = load(path, device="cpu")
    settings = opened.members[0].settings
    assert (settings.position, settings.part_size) == (
        "canonical",
        detector.members[0].settings.part_size,
    )
    image = photograph(PIN, 20.0, blots=[(30, 0, 5)])
    assert opened.predict(image).score == detector.predict(image).score
    np.testing.assert_array_equal(
        opened.predict(image).anomaly_map, detector.predict(image).anomaly_map
    )
    bundle = read_bundle(path)
    del bundle.record["members"][0]["settings"]["position"]
    del bundle.record["members"][0]["settings"]["part_size"]
    write_bundle(tmp_path / "old.patchbank", bundle)
    old = load(tmp_path / "old.patchbank", device="cpu").members[0].settings
    assert (old.position, old.part_size) == ("as_photographed", None)


def test_a_file_of_an_undecided_position_is_refused(detector, tmp_path):
    path = tmp_path / "pins.patchbank"
    detector.save(path)
    bundle = read_bundle(path)
    bundle.record["members"][0]["settings"]["part_size"] = None
    write_bundle(path, bundle)
    with pytest.raises(DetectorFileError, match="position: expected 'as_photographed', or 'canon"):
        load(path, device="cpu")


def test_a_photograph_that_is_much_too_small_is_refused(detector):
    with pytest.raises(ParameterError, match="part_size: expected parts that fit a photograph of"):
        detector.predict(photograph(PIN)[:30, :30])


def test_one_photograph_is_calibrated_by_views_in_canonical_position():
    detector = PatchCore.preset("few-shot", **QUICK).fit(lying(PIN, 1))
    assert detector.members[0].settings.position == "canonical"
    assert len(detector.calibration.image_scores) == 9
    assert detector.predict(photograph(PIN, 250.0, blots=[(30, 0, 5)])).is_anomalous


def test_members_of_an_ensemble_may_differ_in_position():
    images = lying(PIN, 5)
    recipes = (
        PatchCore(position="auto", **QUICK),
        PaDiM(backbone="efficientnet_lite0", image_size=96, dims=20),
    )
    detector = Ensemble(recipes).fit(images)
    assert [m.settings.position for m in detector.members] == ["canonical", "as_photographed"]
    inspection = detector.predict(photograph(PIN, 10.0, blots=[(30, 0, 5)]))
    assert inspection.anomaly_map.shape == (240, 320)
    assert inspection.box == (0, 0, 240, 320)


def test_a_region_of_interest_lies_in_the_photograph_so_nothing_is_turned():
    images = [photograph(PIN, 77.0 * k, (100, 140), seed=k) for k in range(3)]
    changes = {**QUICK, "rotations": 1}
    detector = PatchCore.preset("few-shot", **changes).fit(images, roi="0,0,90,80")
    assert detector.members[0].settings.position == "as_photographed"
    with pytest.raises(ParameterError, match="position: expected 'as_photographed' with roi"):
        PatchCore(**QUICK, position="canonical").fit(images, roi="0,0,90,80")
    with pytest.raises(ParameterError, match="position: expected 'as_photographed' where settings"):
        PatchCore.auto(**QUICK, position="auto").fit(images)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: PatchCore(tiles=True, position="auto"), "position: .* with tiles"),
        (lambda: PatchCore.auto(tiles=True), "tiles: .* where settings are to be chosen"),
    ],
)
def test_what_excludes_each_other_is_refused(make, told):
    with pytest.raises(ParameterError, match=told):
        make()


def test_a_photograph_without_a_part_is_no_correction(detector):
    seen = detector.predict(np.full((240, 320, 3), 200, np.uint8))
    assert seen.is_anomalous
    with pytest.raises(DataError, match="expected a photograph of the part, got one in which none"):
        detector.updated(normal=seen)


def test_a_part_that_is_larger_than_the_input_has_a_time(detector):
    """The image that is timed has the size of a photograph, in which the part has room."""
    (member,) = detector.members
    settings = member.settings.with_changes(image_size=32)
    large = replace(detector, members=(replace(member, settings=settings),))
    assert max(settings.part_size) > 2 * (32 + 32)
    assert latency_ms(large) > 0


def test_a_region_leaves_parts_as_photographed_and_says_so():
    images = [photograph(PIN, 77.0 * k, (100, 140), seed=k) for k in range(3)]
    sources, remarks = [image_source(image) for image in images], Remarks()
    parts_of = [(METHODS["patchcore"], PatchCore(position="auto"))]
    [(_, settings)] = with_position(parts_of, sources, remarks, NullProgress(), has_region=True)
    assert settings.position == "as_photographed"
    assert remarks.decisions == [
        "position auto: parts are inspected as photographed; a region of interest lies at one "
        "place of all photographs"
    ]
