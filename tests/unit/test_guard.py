"""The guard of an update: defects that were found stay found, or nothing is changed."""

import re

import pytest

from patchbank import DataError, GuardError, PatchCore, load
from patchbank.errors import PhotographWarning
from tests.command_line import run
from tests.photographs import parts, save
from tests.unit.test_update import NEW, OLD, SMALL, stained

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
DEFECT, ALIKE = (stained(seed, (20, 30), side=8) for seed in (60, 61))
"""The same stain on two parts: who learns one as good does not find the other any more."""


@pytest.fixture(scope="module")
def before():
    return PatchCore(**SMALL).fit(OLD)


@pytest.fixture
def folder(before, tmp_path):
    """A detector file, and folders of good photographs, of a defect said to be good, of defects."""
    before.save(tmp_path / "a.patchbank")
    for name, images in (("new", NEW), ("stained", [ALIKE]), ("defects", [DEFECT])):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            save(tmp_path / name / f"{name}{number}.png", image)
    return tmp_path


def test_an_update_that_hides_a_defect_is_refused_with_its_scores_and_what_hides_it(before):
    assert before.predict(DEFECT).is_anomalous
    with pytest.raises(GuardError) as caught:
        before.updated([ALIKE], must_find=[DEFECT])
    assert caught.value.lost == ("array",)
    text = str(caught.value)
    score, threshold = before.predict(DEFECT).score, before.calibration.threshold
    assert f"score {score:.4g} above {threshold:.4g} before" in text
    after = before.updated([ALIKE])
    new_score = after.predict(DEFECT).score
    assert f"{new_score:.4g} not above {after.calibration.threshold:.4g} after" in text
    found = re.search(r"hidden by array \d+(?: \(2\))? \(rows (\d+) to (\d+), columns (\d+)", text)
    top, bottom, left = map(int, found.groups())
    assert top < 20 + 8  # the place of the stain
    assert bottom >= 20
    assert left < 30 + 8


def test_defects_that_are_still_found_let_an_update_pass_to_the_last_bit(before):
    other = stained(62, (50, 70))
    guarded = before.updated(NEW, must_find=[other])
    assert guarded == before.updated(NEW)
    assert guarded.predict(other).is_anomalous


def test_a_photograph_that_was_not_found_before_is_said_and_cannot_be_lost(before):
    unseen = next(p for p in parts(90) if not before.predict(p).is_anomalous)
    with pytest.warns(PhotographWarning, match="was not found before the update either"):
        before.updated(NEW, must_find=[unseen])


def test_force_needs_a_reason_where_a_defect_would_be_lost_and_is_recorded(before):
    with pytest.raises(GuardError, match="force needs a reason here"):
        before.updated([ALIKE], must_find=[DEFECT], force=True)
    after = before.updated([ALIKE], must_find=[DEFECT], force=True, reason="allowed since May")
    forced = after.lineage.entries[-1].forced
    assert forced.reason == "allowed since May"
    assert forced.n_lost == len(forced.lost) == 1
    assert before.updated([ALIKE], must_find=None).lineage.entries[-1].forced is None


def test_what_is_said_to_be_normal_is_guarded_too(before):
    inspection = before.predict(ALIKE)
    with pytest.raises(GuardError):
        before.updated(normal=inspection, must_find=[DEFECT])
    forced = before.updated(
        NEW, normal=inspection, must_find=[DEFECT], force=True, reason="it is a label"
    )
    entries = forced.lineage.entries[1:]
    assert [(one.kind, one.forced is not None) for one in entries] == [
        ("update", False),
        ("normal", True),
    ]


def test_a_defect_that_cannot_be_inspected_refuses_the_update(before, tmp_path):
    save(tmp_path / "1.png", stained(62, (50, 70)))
    (tmp_path / "2.png").write_bytes(b"no photograph")
    with pytest.raises(GuardError, match=r"2\.png") as caught:
        before.updated(NEW, must_find=tmp_path)
    assert caught.value.lost == ()
    assert len(caught.value.unread) == 1
    after = before.updated(NEW, must_find=tmp_path, force=True, reason="the file is broken")
    assert "2.png" in after.lineage.entries[-1].forced.lost[0]


def test_a_list_without_defects_is_an_error(before):
    with pytest.raises(DataError, match="must_find: expected at least one photograph"):
        before.updated(NEW, must_find=[])


def test_the_command_refuses_with_status_4_and_leaves_every_file(folder, capsys):
    file, found = folder / "a.patchbank", folder / "defects"
    content = file.read_bytes()
    command = ["update", file, folder / "stained", "--must-find", found]
    report = folder / "report"
    status, out, said = run(capsys, *command, "--guard-report", report)
    assert (status, out) == (4, "")
    assert "defects0.png: score" in said
    assert "hidden by stained0.png (rows" in said
    assert file.read_bytes() == content
    names = {"a.patchbank", "new", "stained", "defects", "report"}
    assert {one.name for one in folder.iterdir()} == names
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "1 defect that the update loses" in page
    assert "stained0.png" in page
    assert (report / "defects0.png").is_file()
    status, _, said = run(capsys, *command, "--out", folder / "b.patchbank", "--force")
    assert status == 4
    assert "force needs a reason here" in said
    assert not (folder / "b.patchbank").exists()


def test_the_command_forces_with_a_reason_and_history_shows_what_was_lost(folder, capsys):
    file, found = folder / "a.patchbank", folder / "defects"
    reason = "stains are allowed"
    command = ["update", file, folder / "stained", "--must-find", found, "--reason", reason]
    status, out, _ = run(capsys, *command, "--force", "--guard-report", folder / "report")
    assert status == 0
    assert "1 of 1 defects found before are lost (forced)" in out
    assert (folder / "report" / "index.html").is_file()
    status, out, _ = run(capsys, "history", file)
    assert status == 0
    assert f"forced: {reason}; lost: " in out


def test_the_command_says_that_defects_are_still_found(folder, capsys):
    save(folder / "defects" / "other.png", stained(62, (50, 70)))
    save(folder / "defects" / "unseen.png", OLD[3])
    file = folder / "a.patchbank"
    command = ["update", file, folder / "new", "--must-find", folder / "defects"]
    status, out, said = run(capsys, *command)
    assert status == 0
    assert "all 2 defects found before are still found" in out
    assert "unseen.png was not found before the update either" in said
    assert load(file).predict(DEFECT).is_anomalous
    assert run(capsys, *command, "--guard-report", file)[0] == 2
