"""An evaluation by value: twelve painted photographs whose every figure is worked out by hand."""

import json
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from patchbank import PatchCore
from patchbank.datasets import Dataset, Sample
from patchbank.errors import DataError, ParameterError
from patchbank.evaluation.evaluate import evaluate
from patchbank.runtime.progress import NullProgress
from tests.painted import SIZE, detector, member, photograph, write, write_mask

THRESHOLD = 100
GOOD_SCORES = (20, 101, 50, 100, 30)  # one false alarm of five; one lies on the threshold
SCRATCH_SCORES = (150, 100, 120)  # two found of three; one lies on the threshold
DENT_SCORES = (101, 40, 160, 200)  # three found of four; one ties with the false alarm

# Pixels of the map, in a photograph of 32 x 40: a good one shows 748 at 200, two show 748 at 120.
WIDE = (slice(5, 27), slice(4, 38))
GOOD_LIT = ([], [(200, *WIDE)], [(120, *WIDE)], [(120, *WIDE)], [])
SCRATCH = (slice(4, 12), slice(6, 16))  # 80 pixels, of which the upper 40 are at 200
SCRATCH_LIT = [(200, slice(4, 8), slice(6, 16))]
DENT = (slice(20, 24), slice(9, 19))  # 40 pixels, all at 120 in three of four photographs
DENT_LIT = ([(120, *DENT)], [], [(120, *DENT)], [(120, *DENT)])

N_GOOD_PIXELS = 12 * 32 * 40 - 400
"""14960: of these 5 % are at 200, 10 % at 120, the others at 0."""


def samples(root, *, masks=True):
    """Five good photographs, three with scratches, four with dents, in a mixed order."""
    good = [
        Sample(write(root / f"good-{i}.png", photograph(score, *lit)), "good")
        for i, (score, lit) in enumerate(zip(GOOD_SCORES, GOOD_LIT, strict=True))
    ]
    scratched = write_mask(root / "scratch-mask.png", *SCRATCH) if masks else None
    dented = write_mask(root / "dent-mask.png", *DENT) if masks else None
    scratches = [
        Sample(
            write(root / f"scratch-{i}.png", photograph(score, *SCRATCH_LIT)), "scratch", scratched
        )
        for i, score in enumerate(SCRATCH_SCORES)
    ]
    dents = [
        Sample(write(root / f"dent-{i}.png", photograph(score, *lit)), "dent", dented)
        for i, (score, lit) in enumerate(zip(DENT_SCORES, DENT_LIT, strict=True))
    ]
    return [*scratches[:2], *good[:3], *dents, *good[3:], *scratches[2:]]


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return Dataset("plates", tuple(samples(tmp_path_factory.mktemp("plates"))))


@pytest.fixture(scope="module")
def evaluation(plates):
    return evaluate(detector(), plates)


def test_the_figures_here_are_all_different(evaluation):
    """Else two of them could be swapped and nobody would see it."""
    figures = [
        value
        for value in (
            *list(evaluation.to_json().values())[1:],  # without the version of the schema
            *evaluation.to_json()["per_defect"]["scratch"].values(),
            *evaluation.to_json()["per_defect"]["dent"].values(),
        )
        if isinstance(value, (int, float))
    ]
    assert len(figures) == 10 + 2 * 5
    assert len({round(float(figure), 3) for figure in figures}) == len(figures)


def test_photographs_are_counted_by_kind(evaluation):
    assert evaluation.dataset == "plates"
    assert evaluation.n_good == 5
    assert evaluation.n_defect == 7


def test_rates_are_shares_above_the_threshold_of_either_kind(evaluation):
    """A score on the threshold is not above it: 100 is good, and the scratch of 100 is missed."""
    assert evaluation.detection_rate == 5 / 7
    assert evaluation.false_alarm_rate == 1 / 5


def test_image_auroc_is_the_share_of_pairs_in_the_right_order(evaluation):
    """Good ones below each defect, ties as halves: 150, 120, 160 and 200 lie above all five."""
    below = 4 * 5 + Fraction(7, 2) + Fraction(9, 2) + 2  # of the scores 100, 101 and 40
    assert evaluation.image_auroc == pytest.approx(float(below / 35), abs=1e-12)


def test_image_average_precision_goes_down_the_defects(evaluation):
    """Precision at 200, 160, 150, 120 is 1; at 101 a good one ties; at 40 three lie above."""
    expected = (4 * 1 + Fraction(5, 6) + Fraction(6, 8) + Fraction(7, 10)) / 7
    assert evaluation.image_ap == pytest.approx(float(expected), abs=1e-12)


def test_image_f1_max_is_that_of_the_best_threshold(evaluation):
    """At 40 all seven are found with three good ones: 14 / 17 exceeds 12 / 15 at 100."""
    assert evaluation.image_f1_max == pytest.approx(14 / 17, abs=1e-12)


def test_pixel_auroc_is_that_of_all_photographs_together(evaluation):
    """Of 400 defect pixels 120 are at 200, 120 at 120, 160 at 0."""
    at_200 = 1 - 0.05 / 2
    at_120 = 1 - 0.05 - 0.10 / 2
    at_0 = 0.85 / 2
    expected = (120 * at_200 + 120 * at_120 + 160 * at_0) / 400
    assert evaluation.pixel_auroc == pytest.approx(expected, abs=1e-12)


def test_pixel_average_precision_is_that_of_all_photographs_together(evaluation):
    found_and_false = ((120, 748), (240, 748 + 1496), (400, N_GOOD_PIXELS))
    precision = [found / (found + false) for found, false in found_and_false]
    expected = (120 * precision[0] + 120 * precision[1] + 160 * precision[2]) / 400
    assert evaluation.pixel_ap == pytest.approx(expected, abs=1e-12)


def test_aupro_follows_the_mean_overlap_of_seven_regions(evaluation):
    """Halves of three scratches at 200, three dents whole at 120; straight lines between."""
    corners = [(0, 0), (0.05, 3 * 0.5 / 7), (0.15, (3 * 0.5 + 3) / 7), (1, 1)]
    x, y = zip(*corners, strict=True)
    cut = np.interp(0.3, x, y)
    x, y = [*x[:3], 0.3], [*y[:3], cut]
    assert evaluation.aupro == pytest.approx(np.trapezoid(y, x) / 0.3, abs=1e-12)


def test_a_defect_is_compared_with_all_good_photographs(evaluation):
    assert list(evaluation.per_defect) == ["dent", "scratch"]  # by name
    scratch, dent = evaluation.per_defect["scratch"], evaluation.per_defect["dent"]
    assert (scratch.n, dent.n) == (3, 4)
    assert (scratch.detection_rate, dent.detection_rate) == (2 / 3, 3 / 4)
    assert scratch.image_auroc == pytest.approx((5 + 3.5 + 5) / 15, abs=1e-12)
    assert dent.image_auroc == pytest.approx((4.5 + 2 + 5 + 5) / 20, abs=1e-12)


def test_pixels_of_a_defect_are_compared_with_those_of_good_photographs(evaluation):
    """Scratches: 240 defect and 10000 good pixels; half at 200, half at 0."""
    at_200, at_120 = 748 / 10_000, 1496 / 10_000
    auroc = 0.5 * (1 - at_200 / 2) + 0.5 * (1 - at_200 - at_120) / 2
    scratch = evaluation.per_defect["scratch"]
    assert scratch.pixel_auroc == pytest.approx(auroc, abs=1e-12)
    x = [0, at_200, at_200 + at_120, 0.3]
    cut = np.interp(0.3, [x[2], 1], [0.5, 1])
    assert scratch.aupro == pytest.approx(np.trapezoid([0, 0.5, 0.5, cut], x) / 0.3, abs=1e-12)


def test_other_defects_are_in_no_figure_of_a_defect(evaluation):
    """Dents: 160 defect and 11360 good pixels; three quarters at 120, the rest at 0."""
    at_200, at_120 = 748 / 11_360, 1496 / 11_360
    auroc = 0.75 * (1 - at_200 - at_120 / 2) + 0.25 * (1 - at_200 - at_120) / 2
    dent = evaluation.per_defect["dent"]
    assert dent.pixel_auroc == pytest.approx(auroc, abs=1e-12)
    x = [0, at_200, at_200 + at_120, 0.3]
    cut = np.interp(0.3, [x[2], 1], [0.75, 1])
    assert dent.aupro == pytest.approx(np.trapezoid([0, 0, 0.75, cut], x) / 0.3, abs=1e-12)


def test_the_ranking_counts_photographs_at_every_defect_score(evaluation):
    ranking = evaluation.ranking
    assert ranking.scores.tolist() == [200, 160, 150, 120, 101, 100, 40]
    assert ranking.defects_at.tolist() == [1] * 7
    assert ranking.good_above.tolist() == [0, 0, 0, 0, 0, 1, 3]
    assert ranking.good_at.tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert ranking.n_good == 5


def test_each_sample_keeps_its_inspection(evaluation, plates):
    assert [sample for sample, _ in evaluation.inspections] == list(plates.samples)
    for sample, inspection in evaluation.inspections:
        assert inspection.image == str(sample.path)
    scores = [inspection.score for _, inspection in evaluation.inspections]
    assert scores == [150, 100, 20, 101, 50, 101, 40, 160, 200, 100, 30, 120]
    assert evaluation.unread == ()


def test_json_has_every_figure_under_its_name(evaluation):
    scratch, dent = evaluation.per_defect["scratch"], evaluation.per_defect["dent"]
    expected = {
        "schema_version": 1,
        "dataset": "plates",
        "image_auroc": evaluation.image_auroc,
        "image_ap": evaluation.image_ap,
        "image_f1_max": evaluation.image_f1_max,
        "pixel_auroc": evaluation.pixel_auroc,
        "pixel_ap": evaluation.pixel_ap,
        "aupro": evaluation.aupro,
        "detection_rate": evaluation.detection_rate,
        "false_alarm_rate": evaluation.false_alarm_rate,
        "n_good": 5,
        "n_defect": 7,
        "per_defect": {
            "dent": {
                "image_auroc": dent.image_auroc,
                "pixel_auroc": dent.pixel_auroc,
                "aupro": dent.aupro,
                "n": 4,
                "detection_rate": 0.75,
            },
            "scratch": {
                "image_auroc": scratch.image_auroc,
                "pixel_auroc": scratch.pixel_auroc,
                "aupro": scratch.aupro,
                "n": 3,
                "detection_rate": 2 / 3,
            },
        },
        "by_rate": [
            {
                "asked_rate": one.asked_rate,
                "threshold": one.threshold,
                "detection_rate": one.detection_rate,
                "false_alarm_rate": one.false_alarm_rate,
            }
            for one in evaluation.by_rate
        ],
        "findings": [],
        "learned": [],
        "unread": [],
        "not_read": [],
        "remarks": [],
    }
    assert json.loads(json.dumps(evaluation.to_json())) == expected
    assert list(evaluation.to_json()) == list(expected)  # as people read them


def test_defects_are_not_compared_one_by_one_unless_asked(plates, evaluation):
    quick = evaluate(detector(), plates, per_defect=False)
    assert quick.per_defect == {}
    assert quick.to_json()["per_defect"] == {}
    assert quick.aupro == evaluation.aupro


def test_without_masks_there_are_no_figures_of_pixels(tmp_path, evaluation):
    plain = evaluate(detector(), Dataset("plain", tuple(samples(tmp_path, masks=False))))
    assert plain.pixel_auroc is plain.pixel_ap is plain.aupro is None
    assert plain.image_auroc == evaluation.image_auroc
    assert plain.detection_rate == evaluation.detection_rate
    for name, result in plain.per_defect.items():
        assert result.pixel_auroc is result.aupro is None
        assert result.image_auroc == evaluation.per_defect[name].image_auroc
        assert result.n == evaluation.per_defect[name].n
    assert json.loads(json.dumps(plain.to_json()))["pixel_ap"] is None


def test_one_mask_that_is_missing_leaves_no_figures_of_pixels(tmp_path):
    """A defect without a mask would count as good pixels."""
    listed = samples(tmp_path)
    listed[0] = Sample(listed[0].path, listed[0].label)
    partly = evaluate(detector(), Dataset("partly", tuple(listed)))
    assert partly.pixel_auroc is partly.pixel_ap is partly.aupro is None
    assert partly.n_defect == 7


def test_masks_that_show_nothing_leave_no_figures_of_pixels(tmp_path):
    listed = samples(tmp_path)
    write_mask(tmp_path / "scratch-mask.png", slice(0, 0), slice(0, 0))
    some = evaluate(detector(), Dataset("some", tuple(listed)))
    assert some.per_defect["scratch"].pixel_auroc is some.per_defect["scratch"].aupro is None
    assert some.per_defect["dent"].pixel_auroc is not None
    assert some.pixel_auroc is not None
    write_mask(tmp_path / "dent-mask.png", slice(0, 0), slice(0, 0))
    none = evaluate(detector(), Dataset("none", tuple(listed)))
    assert none.pixel_auroc is none.pixel_ap is none.aupro is None


def test_a_photograph_that_cannot_be_read_is_in_no_figure(tmp_path, evaluation):
    listed = samples(tmp_path)
    broken = [tmp_path / "broken-good.png", tmp_path / "broken-scratch.png"]
    for path in broken:
        path.write_bytes(b"no image")
    mask = write_mask(tmp_path / "all.png", slice(None), slice(None))
    listed.insert(1, Sample(broken[0], "good"))
    listed.insert(5, Sample(broken[1], "scratch", mask))
    holes = evaluate(detector(), Dataset("plates", tuple(listed)))
    assert [unread.image for unread in holes.unread] == [str(path) for path in broken]
    assert all("expected a PNG" in unread.error for unread in holes.unread)
    record = holes.to_json()
    assert [entry["image"] for entry in record["unread"]] == [str(path) for path in broken]
    assert [entry["error"] for entry in record["unread"]] == [u.error for u in holes.unread]
    assert all(entry["score"] is None for entry in record["unread"])
    assert {**record, "unread": []} == evaluation.to_json()
    assert [s for s, _ in holes.inspections] == [s for s in listed if s.path not in broken]


@pytest.mark.parametrize("kept", ["good", "scratch"])
def test_one_kind_alone_cannot_be_evaluated(tmp_path, kept):
    listed = [sample for sample in samples(tmp_path) if sample.label == kept]
    with pytest.raises(DataError) as caught:
        evaluate(detector(), Dataset("plates", tuple(listed)))
    assert str(caught.value) == "plates: expected good and defect images, got one kind only"


def test_one_kind_that_is_left_says_how_many_could_not_be_read(tmp_path):
    good = Sample(write(tmp_path / "good.png", photograph(20)), "good")
    broken = [tmp_path / f"{i}.png" for i in range(2)]
    for path in broken:
        path.write_bytes(b"no image")
    listed = (good, *(Sample(path, "dent") for path in broken))
    with pytest.raises(DataError, match="got one kind only; 2 could not be read$"):
        evaluate(detector(), Dataset("plates", listed))


@pytest.mark.parametrize(("given", "name"), [("a.patchbank", "str"), (PatchCore(), "PatchCore")])
def test_what_is_no_detector_is_refused(given, name):
    rule = f"^detector: expected a Detector, as fit and load return, got {name}$"
    with pytest.raises(ParameterError, match=rule):
        evaluate(given, "nothing")


class Notes(NullProgress):
    """Keeps the notes, and the number of photographs that were inspected before each."""

    def __init__(self):
        self.notes, self._done = [], 0

    @contextmanager
    def task(self, title, total):
        yield self._advance

    def _advance(self, steps):
        self._done += steps

    def note(self, text):
        self.notes.append((self._done, text))


def test_a_mask_of_another_size_is_named_before_the_work_and_images_are_still_compared(
    tmp_path, evaluation
):
    listed = samples(tmp_path)
    mask = write_mask(tmp_path / "dent-mask.png", slice(3), slice(3), size=SIZE[::-1])
    notes = Notes()
    found = evaluate(detector(), Dataset("plates", tuple(listed)), progress=notes)
    n_dents = sum(sample.label == "dent" for sample in listed)
    n_masks = sum(sample.is_defect for sample in listed)
    line = (
        f"no pixel metrics: {n_dents} of {n_masks} masks cannot be used: {mask} has 40 x 32 pixels "
        "(height x width), its photograph 32 x 40"
    )
    assert notes.notes == [(0, line)]
    assert found.remarks == (line,)
    assert (found.image_auroc, found.image_ap) == (evaluation.image_auroc, evaluation.image_ap)
    assert found.pixel_auroc is found.pixel_ap is found.aupro is None
    assert all(result.pixel_auroc is None for result in found.per_defect.values())


def test_an_empty_folder_of_masks_is_named_before_the_work(tmp_path):
    listed = samples(tmp_path)
    empty = tmp_path / "no masks"
    empty.mkdir()
    number = next(n for n, sample in enumerate(listed) if sample.is_defect)
    listed[number] = replace(listed[number], mask=empty)
    notes = Notes()
    found = evaluate(detector(), Dataset("plates", tuple(listed)), progress=notes)
    line = (
        f"no pixel metrics: 1 of 7 masks cannot be used: {empty}: expected at least one mask in "
        "the folder, got none"
    )
    assert notes.notes == [(0, line)]
    assert found.remarks == (line,)
    assert found.pixel_auroc is None


def test_masks_of_the_same_aspect_ratio_are_scaled_and_a_line_says_so(tmp_path, evaluation):
    """Twice as high and wide: each pixel of the photograph is at the corner of four of the mask."""
    listed = samples(tmp_path)
    mask = tmp_path / "dent-mask.png"
    image = Image.open(mask)
    image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(mask)
    notes = Notes()
    found = evaluate(detector(), Dataset("plates", tuple(listed)), progress=notes)
    line = (
        f"4 of 7 masks are scaled to their photographs: {mask} has 64 x 80 pixels (height x "
        "width), its photograph 32 x 40"
    )
    assert notes.notes == [(0, line)]
    assert found.remarks == (line,)
    assert found.pixel_auroc == evaluation.pixel_auroc
    assert found.aupro == evaluation.aupro


def test_a_mask_whose_pixels_are_damaged_loses_no_figure_of_images(tmp_path, evaluation):
    listed = samples(tmp_path)
    content = (tmp_path / "dent-mask.png").read_bytes()
    (tmp_path / "dent-mask.png").write_bytes(content[: len(content) * 2 // 3])
    found = evaluate(detector(), Dataset("plates", tuple(listed)))
    assert found.image_auroc == evaluation.image_auroc
    assert found.pixel_auroc is None
    (remark,) = found.remarks
    assert remark.startswith("no pixel metrics: ")
    assert f"{tmp_path / 'dent-mask.png'}: expected a readable" in remark


def test_a_folder_is_evaluated_as_the_data_set_that_it_is(tmp_path):
    for label, score in (("good", 20), ("good", 130), ("dent", 150), ("dent", 170)):
        write(tmp_path / "plates" / label / f"{score}.png", photograph(score))
    (tmp_path / "plates" / "dent" / "film.mov").write_bytes(b"film")
    found = evaluate(detector(), str(tmp_path / "plates"))
    assert (found.dataset, found.n_good, found.n_defect) == ("plates", 2, 2)
    assert found.image_auroc == 1.0
    assert found.not_read == (tmp_path / "plates" / "dent" / "film.mov",)
    assert found.to_json()["not_read"] == [str(tmp_path / "plates" / "dent" / "film.mov")]


def test_pixels_are_compared_inside_the_crop_alone(tmp_path):
    """48 x 64 with the middle 32 x 40 looked at: what lies outside is in no figure."""
    size = (48, 64)
    inside = (slice(10, 14), slice(20, 30))  # 40 pixels at 200
    outside = (slice(0, 5), slice(0, 64))
    good = photograph(20, (200, slice(38, 48), slice(0, 64)), size=size)  # two rows of 40 inside
    defect = photograph(150, (200, *inside), (200, *outside), size=size)
    mask = np.zeros(size, np.uint8)
    mask[inside], mask[40:48, :8] = 255, 255
    dataset = Dataset(
        "cropped",
        (
            Sample(write(tmp_path / "good.png", good), "good"),
            Sample(
                write(tmp_path / "dent.png", defect), "dent", write(tmp_path / "mask.png", mask)
            ),
        ),
    )
    cropped = evaluate(detector(member(image_size=size, crop=(32, 40))), dataset)
    n_good = 2 * 32 * 40 - 40
    assert cropped.pixel_auroc == pytest.approx(1 - 80 / n_good / 2, abs=1e-12)
    assert cropped.pixel_ap == pytest.approx(40 / (40 + 80), abs=1e-12)
    whole = evaluate(detector(member(image_size=size)), dataset)
    assert whole.pixel_auroc < cropped.pixel_auroc


class Steps:
    """Records the tasks that were opened, and their steps."""

    def __init__(self):
        self.tasks = []

    @contextmanager
    def task(self, title, total):
        steps = []
        self.tasks.append((title, total, steps))
        yield steps.append

    def note(self, text):
        raise AssertionError(text)


def test_progress_advances_with_every_photograph_and_pass(plates):
    progress = Steps()
    evaluate(detector(), plates, progress=progress)
    done = [(title, total, sum(steps)) for title, total, steps in progress.tasks]
    assert done == [
        ("inspecting", 12, 12),
        ("comparing pixels", 24, 24),  # two passes over the maps
        ("comparing pixels", 2 * 9, 2 * 9),  # dents and good ones
        ("comparing pixels", 2 * 8, 2 * 8),  # scratches and good ones
    ]


def test_photographs_that_cannot_be_read_are_steps_too(tmp_path):
    listed = samples(tmp_path, masks=False)
    (tmp_path / "broken.png").write_bytes(b"no image")
    progress = Steps()
    evaluate(
        detector(),
        Dataset("plates", (*listed, Sample(tmp_path / "broken.png", "good"))),
        progress=progress,
    )
    assert [(title, total, sum(steps)) for title, total, steps in progress.tasks] == [
        ("inspecting", 13, 13)
    ]


def test_defects_are_listed_by_name(tmp_path):
    names = ["hole", "crack", "stain", "bend", "dust"]
    listed = [Sample(write(tmp_path / "good.png", photograph(20)), "good")]
    listed += [Sample(write(tmp_path / f"{n}.png", photograph(150)), n) for n in names]
    assert list(evaluate(detector(), Dataset("plates", tuple(listed))).per_defect) == sorted(names)


def test_defects_that_lie_outside_the_crop_leave_no_figures_of_pixels(tmp_path):
    size = (48, 64)
    mask = write_mask(tmp_path / "mask.png", slice(0, 8), slice(0, 64), size=size)
    listed = (
        Sample(write(tmp_path / "good.png", photograph(20, size=size)), "good"),
        Sample(write(tmp_path / "dent.png", photograph(150, size=size)), "dent", mask),
    )
    cropped = evaluate(detector(member(image_size=size, crop=(32, 40))), Dataset("plates", listed))
    assert cropped.pixel_auroc is cropped.per_defect["dent"].aupro is None
