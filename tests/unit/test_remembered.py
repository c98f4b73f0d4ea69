"""Remembered defects: updates have to find them without their photographs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from patchbank import (
    DataError,
    DetectorFileError,
    Ensemble,
    GuardError,
    PaDiM,
    ParameterError,
    PatchCore,
    load,
)
from patchbank.detector.bundle import Bundle, read_bundle, write_bundle
from patchbank.detector.detector import parts_of
from patchbank.detector.remembering import bound
from patchbank.errors import PhotographWarning
from tests.command_line import run
from tests.photographs import save
from tests.unit.test_guard import ALIKE, DEFECT
from tests.unit.test_update import NEW, OLD, SMALL, stained

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
OTHER = stained(62, (50, 70))


@pytest.fixture(scope="module")
def before():
    return PatchCore(**SMALL).fit(OLD)


@pytest.fixture(scope="module")
def knowing(before):
    return before.remembering([DEFECT, OTHER], reason="complaint 17", by="Eva")


def bounds(detector):
    return [bound(parts_of(detector), defect) for defect in detector.remembered]


def test_the_bound_is_the_score_when_it_is_remembered_and_never_more_after(before, knowing):
    scores = [before.predict(image).score for image in (DEFECT, OTHER)]
    assert [each.score for each in knowing.remembered] == scores
    assert bounds(knowing) == pytest.approx(scores, rel=1e-5)
    after = knowing.updated([ALIKE], force=True, reason="allowed")
    for image, least in zip((DEFECT, OTHER), bounds(after), strict=True):
        assert least <= after.predict(image).score * (1 + 1e-5)


def test_scores_and_thresholds_stay_to_the_last_bit(before, knowing):
    assert knowing.predict(NEW[0]).score == before.predict(NEW[0]).score
    assert knowing.calibration.threshold == before.calibration.threshold


def test_an_update_that_hides_a_remembered_defect_is_refused(knowing):
    with pytest.raises(GuardError, match="got 1 of 2 lost") as caught:
        knowing.updated([ALIKE])
    assert caught.value.lost == ("array",)
    assert len(knowing.updated(NEW).remembered) == 2


def test_a_defect_that_was_lost_by_force_does_not_stop_later_updates(knowing):
    after = knowing.updated([ALIKE], force=True, reason="allowed")
    assert after.lineage.entries[-1].forced.n_lost == 1
    with pytest.warns(PhotographWarning, match="array was not found before the update either"):
        after.updated(NEW)


def test_the_history_says_so_and_undo_forgets(before, knowing):
    entry = knowing.lineage.entries[-1]
    assert (entry.kind, entry.reason, entry.by) == ("remember", "complaint 17", "Eva")
    assert knowing.undone() == before
    assert knowing.undone().remembered == ()


def test_only_what_is_found_is_remembered_and_only_once(before, knowing):
    with pytest.warns(PhotographWarning, match="not remembered, as not found: array"):
        assert len(before.remembering([DEFECT, OLD[0]]).remembered) == 1
    with pytest.raises(DataError, match="remembered already: array; nothing was changed"):
        knowing.remembering(DEFECT)


def test_a_photograph_that_cannot_be_read_is_an_error(before, tmp_path):
    save(tmp_path / "1.png", DEFECT)
    (tmp_path / "2.png").write_bytes(b"no photograph")
    with pytest.raises(DataError, match=r"2\.png.*nothing was changed"):
        before.remembering(tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [
        PaDiM(image_size=96, dims=40, false_alarm_rate=0.2),
        PatchCore(**SMALL, image_score="max", banks="joint"),
        PatchCore(tiles=True, bank_rows=60, false_alarm_rate=0.2),
        Ensemble((PatchCore(**SMALL), PaDiM(image_size=96, dims=20, false_alarm_rate=0.2))),
    ],
    ids=["padim", "largest", "tiles", "ensemble"],
)
def test_every_method_that_can_bounds_its_score_from_the_file(recipe, tmp_path):
    detector = recipe.fit(OLD)
    assert detector.predict(OTHER).is_anomalous
    detector.remembering(OTHER).save(tmp_path / "a.patchbank")
    again = load(tmp_path / "a.patchbank", device="cpu")
    assert again == detector.remembering(OTHER)
    assert bounds(again) == pytest.approx([detector.predict(OTHER).score], rel=1e-4)
    after = again.updated(NEW, force=True, reason="test")
    assert bounds(after)[0] <= after.predict(OTHER).score * (1 + 1e-4)


def test_patches_are_remembered_from_the_tiles_of_a_region():
    detector = PatchCore(tiles=True, bank_rows=60, false_alarm_rate=0.2).fit(
        OLD, roi="6,4 96,4 98,60 8,66"
    )
    score = detector.predict(OTHER).score
    assert score > detector.calibration.threshold
    assert bounds(detector.remembering(OTHER)) == pytest.approx([score], rel=1e-4)


@pytest.mark.parametrize("kind", ["smooth_max", "reweighted"])
def test_a_score_that_needs_the_whole_photograph_is_refused_in_one_line(kind):
    detector = PatchCore(**SMALL, image_score=kind, banks="joint").fit(OLD)
    with pytest.raises(ParameterError, match=f"got patchcore with {kind}"):
        detector.remembering(DEFECT)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("remembered.0.features", lambda t: t[:, :-1]),
        ("remembered.0.cells", lambda t: t + 1000),
        ("remembered.0.ends", lambda t: t[::-1]),
        ("remembered.0.counts", lambda t: t * 1000),
        ("remembered.0.grids", lambda t: t[:1]),
        ("remembered.scores", lambda t: t * np.nan),
    ],
)
def test_contradictions_in_a_file_are_told_when_it_is_opened(knowing, tmp_path, name, change):
    path = tmp_path / "a.patchbank"
    replace(knowing, lineage=None, content_sha256=None).save(path)
    content = read_bundle(path)
    tensors = {**content.tensors, name: np.ascontiguousarray(change(content.tensors[name]))}
    write_bundle(path, Bundle(tensors, content.record))
    with pytest.raises(DetectorFileError, match=r"remembered\."):
        load(path, device="cpu")


def test_the_command_remembers_and_info_counts(before, tmp_path, capsys):
    file = tmp_path / "a.patchbank"
    before.save(file)
    for folder, image in (("defects", DEFECT), ("stained", ALIKE)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / f"{folder}.png", image)
    status, out, _ = run(capsys, "update", file, "--remember", tmp_path / "defects")
    assert status == 0
    assert "1 defect remembered" in out
    before.save(tmp_path / "b.patchbank")
    arguments = (tmp_path / "stained", "--remember", tmp_path / "defects")
    status, _, said = run(capsys, "update", tmp_path / "b.patchbank", *arguments)
    assert (status, "defects.png: score" in said) == (4, True)
    (tmp_path / "defects" / "defects.png").unlink()
    content = file.read_bytes()
    report = tmp_path / "report"
    status, _, said = run(capsys, "update", file, tmp_path / "stained", "--guard-report", report)
    assert status == 4
    assert "defects.png: score " in (report / "index.html").read_text()
    assert "defects.png: score" in said
    assert file.read_bytes() == content
    assert json.loads(run(capsys, "info", file, "--json", "-")[1])["remembered_defects"] == 1
