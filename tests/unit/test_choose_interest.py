"""Settings that a fit chooses for a region of interest."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank import PatchCore, load
from patchbank.backbones import ONNX_RUNTIME, open_backbone
from patchbank.detector.settings_choice import SettingsChoice
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import image_source
from patchbank.methods import METHODS, PatchCoreSettings
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.choose.candidates import Candidate
from patchbank.training.choose.placing import Positions
from patchbank.training.choose.sample import draw_sample, split
from patchbank.training.choose.smallest import SpotTest, with_missed
from patchbank.training.choose.trial import Clock, Machine, SharedTrial
from tests.command_line import run
from tests.photographs import parts, save

TINY = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
ROI, IGNORED = (20, 8, 70, 60), (30, 20, 24, 30)  # x, y, width, height in 104 x 72
GIVEN = {"roi": ROI, "ignore": IGNORED, "groups": "none"}


def region():
    mask = np.zeros((72, 104), dtype=bool)
    mask[8:68, 20:90] = True
    mask[20:50, 30:54] = False
    return RegionOfInterest(mask)


@pytest.fixture(scope="module")
def sample():
    sources = [image_source(image) for image in parts(20)]
    return draw_sample(sources, split(np.arange(20), 0), 0, roi=region())


@pytest.fixture(scope="module")
def chosen():
    return PatchCore.auto(**TINY, bank_limit=200).fit(parts(21), **GIVEN)


def test_a_chosen_detector_is_that_of_the_same_settings_and_region_given(chosen):
    made = chosen.members[0].settings
    same = PatchCore(**made.to_mapping()).fit(parts(21), **GIVEN)
    assert len(chosen.settings_choice.trials) == 4
    assert chosen.roi.share == same.roi.share < 0.5
    assert np.array_equal(same.calibration.image_scores, chosen.calibration.image_scores)
    assert replace(chosen, settings_choice=None, content_sha256=None) == same


def test_the_trials_see_the_box_and_defects_are_centred_where_photographs_are_inspected(sample):
    assert {image.shape for image in (*sample.learned, *sample.held_out)} == {(60, 70, 3)}
    assert sample.size == (60, 70)
    (first, *others) = sample.parts
    assert len(others) == 19
    assert all(part is first for part in others)  # one for all of one size
    assert np.array_equal(first.mask, region().mask[8:68, 20:90])
    positions = Positions.of(sample.held_out[0], first.mask)
    rng = np.random.default_rng(0)
    drawn = [positions.draw(rng) for _ in range(400)]
    assert all(first.mask[int(y), int(x)] for y, x in drawn)
    assert min(x for _, x in drawn) < 10  # left of what is ignored
    assert max(x for _, x in drawn) > 34


def test_a_photograph_of_another_size_has_its_own_region():
    images = parts(19) + parts(1, size=(144, 208))
    sources = [image_source(image) for image in images]
    found = draw_sample(sources, split(np.arange(20), 0), 0, working_side=32, roi=region())
    for image, part in zip((*found.learned, *found.held_out), found.parts, strict=True):
        assert image.shape[0] * image.shape[1] <= 1.1 * 32**2
        assert part.mask.shape == image.shape[:2]
        assert part.mask.mean() == pytest.approx(1 - 24 * 30 / (60 * 70), abs=0.03)
    assert len({id(part) for part in found.parts}) == 2


def test_a_trial_scores_as_a_detector_of_the_same_settings_and_region_does(sample):
    extractor = open_backbone("efficientnet_lite0", None, engine=ONNX_RUNTIME)
    settings = PatchCoreSettings(**TINY, bank_limit=200, rotations=2)
    machine = Machine(METHODS["patchcore"], extractor, HOST, Clock())
    trial = SharedTrial(machine, [Candidate({}, settings)])
    (outcome,) = trial.run(sample, lambda steps: None)
    images = parts(20)
    numbers = split(np.arange(20), 0)
    detector = PatchCore(**settings.to_mapping()).fit(
        [images[number] for number in numbers.learned], **GIVEN
    )
    held_out = [images[number] for number in numbers.held_out]
    assert outcome.good.tolist() == [detector.predict(image).score for image in held_out]
    number, defect = sample.defects[4]
    changed = held_out[number].copy()
    changed[8:68, 20:90] = defect.on(sample.held_out[number])
    assert outcome.defects[4] == detector.predict(changed).score


def test_what_is_outside_of_the_box_changes_nothing(chosen):
    rng = np.random.default_rng(5)
    changed = parts(21)
    for image in changed:
        inside = image[8:68, 20:90].copy()
        image[...] = rng.integers(0, 256, image.shape)
        image[8:68, 20:90] = inside
    again = PatchCore.auto(**TINY, bank_limit=200).fit(changed, **GIVEN)
    assert again.settings_choice.trials == chosen.settings_choice.trials


@pytest.fixture(scope="module")
def noisy():
    """Photographs with much noise, the detector of a region of them, and its test of spots."""
    rng = np.random.default_rng(7)
    images = [
        one + rng.integers(0, 90, one.shape, dtype=np.uint8) % (255 - one) for one in parts(20)
    ]
    detector = PatchCore(**TINY, bank_limit=300).fit(images, **GIVEN)
    member = detector.members[0]
    sources = [image_source(image) for image in images]
    return SpotTest(member, member.model, sources, detector.calibration, 0, detector.roi)


def test_a_spot_that_changes_no_pixel_scores_as_the_photograph_did_when_it_was_left_out(noisy):
    scores = noisy.calibration.image_scores
    for number in noisy.numbers:
        assert noisy._score(int(number), 1e-5) == pytest.approx(scores[number], rel=1e-5)


def test_a_spot_that_is_missed_is_measured_in_pixels_of_the_photograph(noisy):
    record = with_missed(
        SettingsChoice({}, "why"),
        noisy.member,
        noisy.sources,
        noisy.calibration,
        NullProgress(),
        noisy.roi,
    )
    of_box = record.missed_below_px / (60 * 70) ** 0.5
    assert not noisy.finds(of_box)
    assert noisy.finds(of_box * 2**0.5)
    assert record.missed_below_share == pytest.approx(record.missed_below_px / (72 * 104) ** 0.5)


def test_the_command_line_chooses_settings_for_a_region_of_interest(tmp_path, capsys):
    for number, image in enumerate(parts(20)):
        save(tmp_path / "good" / f"{number:02}.png", image)
    out = tmp_path / "a.patchbank"
    arguments = ["fit", str(tmp_path / "good"), "--preset", "auto", "--out", str(out)]
    arguments += ["--backbone", "efficientnet_lite0", "--image-size", "64", "--bank-limit", "100"]
    arguments += ["--false-alarm-rate", "0.2", "--roi", "20,8,70,60", "--ignore", "30,20,24,30"]
    status, text, _ = run(capsys, *arguments)
    assert status == 0
    assert "AUROC" in text
    detector = load(out)
    assert detector.roi.ignore == ("30,20,24,30",)
    assert len(detector.settings_choice.trials) == 4
