"""A detector that learns further photographs: scores, threshold, files, what is normal, errors."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchbank import (
    DataError,
    DetectorFileError,
    Ensemble,
    ImageError,
    PaDiM,
    ParameterError,
    PatchCore,
    load,
)
from patchbank.core.spatial.box import Box
from patchbank.detector.bundle import Bundle, bundle_of, to_bytes
from patchbank.detector.detector import detector_from_bytes, parts_of
from patchbank.detector.fit_facts import FitFacts
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.errors import PhotographWarning
from patchbank.images.placement import Placement
from patchbank.methods import PatchScores
from patchbank.settings import MapSettings
from patchbank.training.update.members import check_continuable
from patchbank.training.update.normal import cells_of
from patchbank.training.update.request import NormalPart, read_results
from tests.command_line import run
from tests.photographs import part, parts, save

SMALL = {"image_size": 96, "bank_rows": 60, "false_alarm_rate": 0.2}
GOOD = parts(15)
OLD, NEW = GOOD[:10], GOOD[10:]
OLDER = Path(__file__).parents[1] / "golden" / "detectors" / "padim.patchbank"
pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]


def stained(seed, *corners, side=14):
    """A part with a blue square at each of the corners (top, left)."""
    image = part(seed).copy()
    for top, left in corners:
        image[top : top + side, left : left + side] = (0, 0, 255)
    return image


FLAGGED = stained(60, (20, 30))


@pytest.fixture(scope="module")
def before():
    return PatchCore(**SMALL).fit(OLD)


@pytest.fixture(scope="module")
def after(before):
    return before.updated(NEW, reason="second lot", by="Eva")


def test_old_scores_stay_and_new_ones_are_those_without_the_photograph(before, after):
    n = len(OLD)
    assert len(after.fitted_on) == len(set(after.fitted_on)) == len(GOOD)
    np.testing.assert_array_equal(
        after.calibration.image_scores[:n], before.calibration.image_scores
    )
    for number, image in enumerate(NEW):
        others = [other for i, other in enumerate(NEW) if i != number]
        without = before.updated(others).predict(image).score
        found = after.calibration.image_scores[n + number]
        # Its own rows made others of its kind superfluous: without them a bank has a few more.
        assert found == pytest.approx(without, rel=0.15)
        assert found > after.predict(image).score
    assert after.calibration.threshold != before.calibration.threshold
    assert after.calibration.false_alarm_rate == 0.2


def test_scores_of_unseen_photographs_fall_or_stay(before, after):
    for seed in range(70, 76):
        assert after.predict(part(seed)).score <= before.predict(part(seed)).score + 1e-6


def test_an_updated_detector_is_the_same_from_its_file(after, tmp_path):
    corrected = after.updated(normal=[after.predict(FLAGGED)])
    for detector in (after, corrected):
        detector.save(tmp_path / "a.patchbank")
        again = load(tmp_path / "a.patchbank", device="cpu")
        assert again == detector
        assert again.updates == detector.updates
        assert again.predict(FLAGGED).score == detector.predict(FLAGGED).score
        assert again.calibration.threshold == detector.calibration.threshold


def test_the_history_has_who_why_and_what(after):
    entry = after.lineage.entries[-1]
    assert (entry.kind, entry.by, entry.reason) == ("update", "Eva", "second lot")
    assert [one.name for one in entry.added] == list(after.fitted_on[len(OLD) :])
    assert entry.added[0].digest == bytes(after.photograph_digests[len(OLD)]).hex()


def test_an_update_can_be_undone_to_the_last_bit(before, after):
    corrected = after.updated(normal=after.predict(FLAGGED))
    assert corrected.undone().predict(FLAGGED).score == after.predict(FLAGGED).score
    assert corrected.undone(0) == before


def test_photographs_that_are_known_are_named_and_not_added_again(before):
    with pytest.warns(PhotographWarning, match="learned already.*not added again: array 0"):
        detector = before.updated([OLD[3], NEW[0], NEW[0]])
    assert len(detector.fitted_on) == len(OLD) + 1
    with pytest.raises(DataError, match="not learned yet, got 2 that are; nothing was changed"):
        before.updated(OLD[:2])


def test_nothing_to_learn_from_is_an_error(before):
    with pytest.raises(DataError, match="photographs to learn from, got none"):
        before.updated()


def test_unreadable_photographs_are_named_and_the_others_learned(before, tmp_path):
    save(tmp_path / "8.png", NEW[0])
    (tmp_path / "9.png").write_bytes(b"no photograph")
    with pytest.warns(PhotographWarning, match=r"left out: .*9\.png"):
        detector = before.updated(tmp_path)
    assert detector.fitted_on[len(OLD) :] == ("8.png",)
    (tmp_path / "8.png").unlink()
    with pytest.raises(ImageError, match=r"9\.png"):
        before.updated(tmp_path)
    save(tmp_path / "7.png", OLD[0])
    with pytest.raises(DataError, match=r"got 1 that are, and others that cannot be read .*9\.png"):
        before.updated(tmp_path)


def test_further_pages_of_a_photograph_are_said(before, tmp_path):
    first, second = (Image.fromarray(part(seed)) for seed in (70, 71))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    save(tmp_path / "other" / "one.png", part(72))
    with pytest.warns(PhotographWarning) as warned:
        before.updated(tmp_path)
    lines = [str(each.message) for each in warned]
    assert any(line.startswith("1 of 2 photographs with several frames or pages") for line in lines)
    assert not any("--groups" in line for line in lines)


def test_a_photograph_in_place_of_the_detector_is_said_to_be_none(tmp_path, capsys):
    save(tmp_path / "a.png", part(1))
    for command in (("undo",), ("update", tmp_path / "a.png")):
        status, _, said = run(capsys, command[0], tmp_path / "a.png", *command[1:])
        assert (status, "expected" in said, "remove it" in said) == (2, True, False)
        assert (tmp_path / "a.png").is_file()


def test_names_that_are_taken_become_longer(before, tmp_path):
    for folder, image in (("a", NEW[0]), ("b", NEW[1])):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "1.png", image)
    detector = before.updated(tmp_path / "a").updated(tmp_path / "b")
    assert detector.fitted_on[len(OLD) :] == ("1.png", "b/1.png")
    assert before.updated(NEW[:1]).fitted_on[len(OLD) :] == ("array 0 (2)",)


def noise(seed, size=(72, 104)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def test_another_part_is_refused_unless_it_is_forced(before):
    with pytest.raises(DataError, match="got 1 of 2 that differ: array 1 .*--force"):
        before.updated([NEW[0], noise(1)])
    with pytest.raises(DataError, match=r"differ: array 0 \(2\) \(104 x 40"):
        before.updated([part(50, size=(40, 104))])
    detector = before.updated([NEW[0], noise(1)], force=True, reason="both kinds from now on")
    assert detector.lineage.entries[-1].forced.reason == "both kinds from now on"
    assert before.updated(NEW[:1], force=True).lineage.entries[-1].forced is None


def test_a_photograph_said_to_be_normal_passes_and_leaves_the_threshold(after):
    inspection = after.predict(FLAGGED)
    assert inspection.is_anomalous
    corrected = after.updated(normal=inspection, reason="scratches are allowed")
    assert not corrected.predict(FLAGGED).is_anomalous
    assert corrected.predict(FLAGGED).regions == ()
    assert corrected.calibration.threshold == after.calibration.threshold
    assert corrected.calibration.pixel_threshold == after.calibration.pixel_threshold
    assert len(corrected.calibration.image_scores) == len(GOOD)
    assert corrected.updates.normal == (len(GOOD),)
    assert corrected.lineage.entries[-1].kind == "normal"
    facts = FitFacts.of(corrected)
    assert facts.names == after.fitted_on
    assert "1 more photograph is learned as normal after a false alarm" in facts.lines[0]
    for seed in range(70, 76):
        assert corrected.predict(part(seed)).score <= after.predict(part(seed)).score + 1e-6


def test_as_few_rows_are_learned_as_make_it_ordinary(after):
    """Half as many would not have been enough: the number is doubled until it is ordinary."""
    corrected = after.updated(normal=after.predict(FLAGGED))
    model, old = corrected.members[0].model, after.members[0].model
    n_more = model.n_rows - old.n_rows
    assert n_more & (n_more - 1) == 0
    half = replace(after.members[0], model=model.truncated(model.n_rows - n_more // 2))
    found = replace(after, members=(half,)).predict(FLAGGED, keep_image=True)
    quarter = replace(after.members[0], model=model.truncated(model.n_rows - n_more * 7 // 8))
    calibration = after.calibration
    is_ordinary = found.score <= np.median(
        calibration.image_scores
    ) and found.anomaly_map.max() <= np.median(calibration.map_peaks)
    passed_early = not replace(after, members=(quarter,)).predict(FLAGGED).is_anomalous
    assert not is_ordinary
    assert not passed_early


def test_photographs_go_on_to_be_learned_after_a_correction(after):
    corrected = after.updated(normal=after.predict(FLAGGED))
    more = corrected.updated(parts(18)[15:])
    assert len(more.calibration.image_scores) == len(GOOD) + 3
    assert len(more.fitted_on) == len(GOOD) + 4
    assert more.updates.normal == (len(GOOD),)
    assert not more.predict(FLAGGED).score > more.calibration.threshold
    origins = more.members[0].model.banks[0].model.origins[:, 0]
    assert origins.max() < len(more.fitted_on)
    detector_from_bytes(*more.__reduce__()[1])  # whole, by the checks of a file


def test_of_two_regions_the_one_that_is_normal_vanishes(after):
    image = stained(61, (6, 6), (52, 84))
    inspection = after.predict(image)
    assert len(inspection.regions) == 2
    chosen = min(inspection.regions, key=lambda region: region.top)
    corrected = after.updated(normal=[(inspection, chosen)])
    found = corrected.predict(image)
    assert found.is_anomalous
    assert [region.top > 30 for region in found.regions] == [True]
    both = after.updated(normal=[(inspection, inspection.regions)])
    assert not both.predict(image).is_anomalous


def test_what_passes_already_is_no_correction(before):
    good = before.predict(OLD[0])
    with pytest.raises(
        DataError, match="photographs that are flagged, got 1 that passes at the threshold"
    ):
        before.updated(normal=[good])


def test_a_region_of_another_inspection_is_refused(after):
    regions = after.predict(FLAGGED).regions
    with pytest.raises(ParameterError, match="regions of the inspection of array, got another"):
        after.updated(normal=[(after.predict(stained(61, (6, 6))), regions[0])])
    with pytest.raises(ParameterError, match="normal: expected inspections.*got str"):
        after.updated(normal=["r.json"])


@pytest.mark.parametrize(
    "recipe",
    [
        PaDiM(image_size=96, dims=20, false_alarm_rate=0.2),
        PatchCore(tiles=True, bank_rows=60, false_alarm_rate=0.2),
        PatchCore(flips="horizontal", **SMALL),
        PatchCore(patch_stride=2, image_score="max", **SMALL),
        Ensemble((PatchCore(**SMALL), PaDiM(image_size=96, dims=20, false_alarm_rate=0.2))),
    ],
)
def test_other_recipes_are_updated_and_corrected(recipe):
    detector = recipe.fit(OLD).updated(NEW)
    assert len(detector.calibration.image_scores) == len(GOOD)
    corrected = detector.updated(normal=detector.predict(FLAGGED))
    assert detector.predict(FLAGGED).is_anomalous
    assert not corrected.predict(FLAGGED).is_anomalous
    assert corrected.predict(stained(62, (40, 60), side=24)).is_anomalous
    detector_from_bytes(*corrected.__reduce__()[1])


def test_a_photograph_in_tiles_of_a_region_is_corrected():
    detector = PatchCore(tiles=True, bank_rows=60, false_alarm_rate=0.2).fit(
        OLD, roi="6,4 92,4 90,60 8,66"
    )
    corrected = detector.updated(normal=detector.predict(FLAGGED))
    assert detector.predict(FLAGGED).is_anomalous
    assert not corrected.predict(FLAGGED).is_anomalous


def test_a_smaller_bank_says_that_corrections_are_not_in_it(after, caplog):
    corrected = after.updated(normal=after.predict(FLAGGED))
    corrected.with_bank_rows(16)
    assert "without those of photographs said to be normal (1)" in caplog.text
    caplog.clear()
    after.with_bank_rows(16)
    assert caplog.text == ""


def test_padim_scores_as_a_fit_on_all_photographs():
    recipe = PaDiM(image_size=96, dims=20, false_alarm_rate=0.2)
    whole, updated = recipe.fit(GOOD), recipe.fit(OLD).updated(NEW)
    for seed in (70, 71):
        assert updated.predict(part(seed)).score == pytest.approx(
            whole.predict(part(seed)).score, rel=1e-3
        )
    np.testing.assert_allclose(
        updated.calibration.image_scores[len(OLD) :],
        whole.calibration.image_scores[len(OLD) :],
        rtol=1e-3,
    )


def test_outside_of_the_region_of_interest_nothing_is_learned():
    detector = PatchCore(**SMALL).fit(OLD, roi=(8, 8, 64, 48))
    updated = detector.updated(NEW)
    image = stained(60, (56, 84))
    assert updated.predict(image).score == updated.predict(part(60)).score
    grid = updated.predict(part(60)).predictions[0].scores.patch_scores.shape
    for bank in updated.members[0].model.banks:
        assert (bank.model.origins[:, 1:3] < grid).all()


def test_smaller_sizes_keep_the_scores_of_old_photographs(before, after):
    n, old, new = len(OLD), before.bank_size_calibration, after.bank_size_calibration
    assert after.bank_sizes[:-1] == before.bank_sizes[:-1]
    assert after.bank_sizes[-1] == after.members[0].model.n_rows
    np.testing.assert_array_equal(new.image_scores[:, :n], old.image_scores)
    for step, size in enumerate(after.bank_sizes[:-1]):
        for number, image in enumerate(NEW):
            score = before.with_bank_rows(size).predict(image).score
            assert new.image_scores[step, n + number] == pytest.approx(score, rel=1e-4)
    smaller = after.with_bank_rows(16)
    assert smaller.calibration.threshold >= after.calibration.threshold
    assert smaller.likeness.patch_distances.shape[1] == len(GOOD)


def test_at_its_limit_a_bank_keeps_it_and_cannot_be_cut_any_more(before):
    with pytest.warns(PhotographWarning, match="reached its limit"):
        detector = before.updated(NEW, limit_rows=62)
    assert detector.members[0].model.n_rows == 62
    with pytest.raises(ParameterError, match="no update reached the limit of its rows"):
        detector.with_bank_rows(16)
    again = detector.updated(parts(20)[15:])
    assert 62 <= again.members[0].model.n_rows <= 90  # one and a half times those of the fit
    assert again.updates.fit_rows == (60,)
    assert before.with_bank_rows(16).updated(NEW).updates.fit_rows == (16,)
    with pytest.raises(ParameterError, match="limit_rows: expected an integer, 2 or more, got 1"):
        before.updated(NEW, limit_rows=1)


def test_rows_of_a_correction_stay_at_the_limit(after):
    corrected = after.updated(normal=after.predict(FLAGGED))
    n_more = corrected.members[0].model.n_rows - after.members[0].model.n_rows
    trimmed = corrected.updated(parts(18)[15:], limit_rows=40)
    assert trimmed.members[0].model.n_rows == 40 + n_more
    for bank in trimmed.members[0].model.banks:
        assert (bank.model.origins[:, 0] == len(GOOD)).sum() == n_more


def test_a_single_photograph_and_simplenet_have_to_be_fitted_anew(before):
    with pytest.raises(ParameterError, match="single photograph.*fit it anew on all"):
        PatchCore(image_size=96).fit(OLD[:1]).updated(NEW)
    of_one = PatchCore(image_size=96).fit(OLD[:1])
    assert not of_one.updated(normal=of_one.predict(FLAGGED)).predict(FLAGGED).is_anomalous
    trained = replace(parts_of(before), members=(replace(before.members[0], method="simplenet"),))
    with pytest.raises(ParameterError, match="got simplenet, which is trained on all.*fit it anew"):
        check_continuable(trained)


def test_a_threshold_set_by_hand_stays(before):
    by_hand = before.with_threshold(0.5).updated(NEW)
    assert by_hand.calibration.threshold == 0.5
    assert len(by_hand.calibration.image_scores) == len(GOOD)


def test_new_photographs_are_left_out_by_subfolder(before, tmp_path):
    for number, image in enumerate(parts(24)[12:]):
        folder = tmp_path / f"lot{number % 6}"
        folder.mkdir(exist_ok=True)
        save(folder / f"{number}.png", image)
    detector = before.updated(tmp_path)
    groups = detector.calibration.groups
    np.testing.assert_array_equal(groups[: len(OLD)], range(len(OLD)))
    assert sorted(np.bincount(groups[len(OLD) :])[len(OLD) :].tolist()) == [2] * 6


def test_one_subfolder_or_copies_alone_are_one_group(before):
    darker = np.clip(NEW[0].astype(int) - 2, 0, 255).astype(np.uint8)
    detector = before.updated([NEW[0], darker])
    assert detector.calibration.groups[-2:].tolist() == [len(OLD), len(OLD)]
    expected = before.predict(NEW[0]).score
    assert detector.calibration.image_scores[-2] == pytest.approx(expected, rel=1e-5)


def test_a_file_of_an_older_format_is_updated_and_said():
    older = load(OLDER, device="cpu")
    assert older.photograph_digests is None
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    with pytest.warns(PhotographWarning, match="older format, without digests of its photographs"):
        detector = older.updated([image], force=True)
    assert len(detector.fitted_on) == len(older.fitted_on) + 1
    assert detector.predict(image).score < older.predict(image).score
    assert detector.calibration.rule == older.calibration.rule
    again = detector_from_bytes(*detector.__reduce__()[1])
    assert again.predict(image).score == detector.predict(image).score


@pytest.mark.parametrize(
    ("updates", "match"),
    [
        ({"normal": [15], "fit_rows": [60]}, "image_scores: expected the shape"),
        ({"normal": [99], "fit_rows": [60]}, "updates.normal: expected numbers below 15"),
        ({"normal": [], "fit_rows": [60, None]}, "updates.fit_rows: expected one for each of 1"),
        ({"normal": [3, 2], "fit_rows": [60]}, "updates: expected numbers of photographs"),
        ({"normal": []}, "updates: expected numbers of photographs"),
    ],
)
def test_contradictory_facts_of_updates_are_refused(after, updates, match):
    if updates["normal"] == [15]:
        updates = {**updates, "normal": [3]}
    bundle = bundle_of(to_bytes(Bundle(*_content(after))), "a")
    changed = Bundle(bundle.tensors, {**bundle.record, "updates": updates})
    with pytest.raises(DetectorFileError, match=match):
        detector_from_bytes(to_bytes(changed), device="cpu")


def _content(detector):
    bundle = bundle_of(detector.__reduce__()[1][0], "a")
    kept = {n: t for n, t in bundle.tensors.items() if not n.startswith("lineage.")}
    return kept, bundle.record


def geometry(**changes):
    """A photograph of 60 x 100 pixels, of which 48 x 80 are seen in 6 x 10 cells."""
    whole = ImageGeometry((60, 100), Box(6, 10, 48, 80), (48, 80), (6, 10), MapSettings())
    return replace(whole, **changes)


def area(box, size=(60, 100)):
    found = np.zeros(size, dtype=bool)
    box.of(found)[...] = True
    return found


def test_cells_of_a_region_are_those_under_it():
    cells = cells_of(geometry(), area(Box(6 + 8, 10 + 24, 8, 16)), 1)
    expected = np.zeros((6, 10), dtype=bool)
    expected[1, 3:5] = True
    np.testing.assert_array_equal(cells, expected)
    assert not cells_of(geometry(), area(Box(0, 0, 5, 100)), 1).any()


def test_around_a_region_its_margin_is_normal_but_no_other_region():
    part = NormalPart(None, (20, 12), (Box(4, 6, 4, 8),), (Box(2, 3, 3, 2),))
    found = part.area((12, 20))
    expected = np.zeros((12, 20), dtype=bool)
    expected[2:10, 4:16] = True
    expected[2:5, 3:5] = False
    np.testing.assert_array_equal(found, expected)
    assert NormalPart(None, (20, 12)).area((12, 20)).all()


def test_with_a_stride_a_region_has_the_patches_that_see_it():
    cells = cells_of(geometry(), area(Box(6 + 16, 10 + 32, 8, 8)), 2)
    assert np.argwhere(cells).tolist() == [[2, 4]]


def test_a_region_of_a_turned_part_is_found_where_its_map_has_it():
    turned = Placement((48, 80), ((0.0, 1.0), (-1.0, 0.0)), (10.0, 54.0), None)
    placed = geometry(photograph=(100, 60), crop_box=Box(0, 0, 48, 80), placement=turned)
    scores = np.zeros((6, 10), dtype=np.float32)
    scores[1, 3:5] = 1
    drawn = replace(placed, settings=MapSettings(smoothing=0.0)).anomaly_map(
        PatchScores(scores, 1.0)
    )
    rows, columns = np.nonzero(drawn > 0.75)
    box = Box(rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1)
    np.testing.assert_array_equal(cells_of(placed, area(box, (100, 60)), 1), scores > 0)


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_results_name_the_anomalous_photographs_and_their_regions(after, tmp_path):
    image = stained(61, (6, 6), (52, 84))
    save(tmp_path / "a.png", image)
    save(tmp_path / "b.png", OLD[0])
    lines = [after.predict(tmp_path / name).to_json() for name in ("a.png", "b.png")]
    file = written(tmp_path / "r.json", *lines)
    (found,) = read_results(str(file))
    assert (found.source.name, found.size, found.boxes) == (str(tmp_path / "a.png"), (104, 72), ())
    (of_region,) = read_results(f"{file}:2")
    region = lines[0]["regions"][1]
    assert of_region.boxes == (
        Box(region["top"], region["left"], region["height"], region["width"]),
    )
    assert read_results(f"{file}:1,2")[0].boxes == ()
    with pytest.raises(DataError, match="a region from 1 to 2 of .*got 3"):
        read_results(f"{file}:3")
    two = written(tmp_path / "two.json", lines[0], lines[0])
    with pytest.raises(DataError, match="one anomalous photograph with a number of a region"):
        read_results(f"{two}:1")
    with pytest.raises(DataError, match="an anomalous photograph, got none"):
        read_results(str(written(tmp_path / "good.json", lines[1])))


@pytest.mark.parametrize("text", ["no json", "[1]", '{"schema_version": 9}', '{"a": NaN}'])
def test_other_files_than_results_are_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text + "\n")
    with pytest.raises(DataError, match=r"r\.json:1: expected a line of predict --json"):
        read_results(str(tmp_path / "r.json"))
    with pytest.raises(DataError, match=r"none\.json: expected lines of predict --json, got: No"):
        read_results(str(tmp_path / "none.json"))


def test_a_photograph_of_another_size_is_not_the_one_inspected(after, tmp_path, capsys):
    save(tmp_path / "a.png", FLAGGED)
    file = written(tmp_path / "r.json", after.predict(tmp_path / "a.png").to_json())
    save(tmp_path / "a.png", FLAGGED[:60])
    after.save(tmp_path / "d.patchbank")
    status, _, error = run(capsys, "update", tmp_path / "d.patchbank", "--normal", file)
    assert status == 2
    assert "expected the photograph that was inspected, of 104 x 72 pixels, got one of" in error


def test_the_command_learns_says_and_replaces_the_file(before, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before.save("d.patchbank")
    Path("new").mkdir()
    for number, image in enumerate([*NEW, OLD[0]]):
        save(Path("new") / f"{number}.png", image)
    Path("new/9.png").write_bytes(b"no photograph")
    status, out, error = run(capsys, "update", "d.patchbank", "new", "--by", "Eva", "--reason", "x")
    assert status == 1  # done, but one was not read
    assert re.search(
        r"d.patchbank: 15 good photographs, threshold \S+ -> \S+, pixel threshold", out
    )
    assert "5 photographs learned; " in out
    assert re.search(r"bank rows 60 -> \d+\n", out)
    assert "not added again: 5.png" in error
    assert "left out: new/9.png" in error
    assert len(load("d.patchbank").fitted_on) == 15
    save(Path("flagged.png"), FLAGGED)
    run(capsys, "predict", "d.patchbank", "flagged.png", "--json", "r.json")
    status, out, _ = run(
        capsys, "update", "d.patchbank", "--normal", "r.json", "--out", "e.patchbank"
    )
    assert (status, "flagged.png passes now" in out) == (0, True)
    assert not load("e.patchbank").predict("flagged.png").is_anomalous
    assert load("d.patchbank").predict("flagged.png").is_anomalous
    status, _, error = run(capsys, "update", "d.patchbank", "new/0.png")
    assert (status, "nothing was changed" in error) == (2, True)
    assert run(capsys, "update", "d.patchbank")[0] == 2
