"""Set-ups: photographs under safe names, choices, limits, and what is left after an end."""

from __future__ import annotations

import errno
import io
import json
import unicodedata
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from patchbank.errors import ImageError
from patchbank.server.intake import NotRecorded
from patchbank.server.service.errors import ApiError
from patchbank.server.service.jobs import Job, Jobs
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.setups import photographs, store
from patchbank.server.service.setups.setup import FACTS, Setup
from patchbank.server.service.setups.store import KEPT_DAYS, Setups
from tests.server.services import png

pytestmark = pytest.mark.serve
SIZE = (40, 64)  # height x width


@pytest.fixture
def setups(tmp_path):
    return Setups(tmp_path / "setups", ServiceSettings())


def reopened(setups: Setups, **settings) -> Setups:
    """The set-ups as a service finds them that starts afterwards."""
    return Setups(setups._folder, ServiceSettings(**settings))


def filled(setups: Setups, n: int = 3, product: str = "bolts") -> Setup:
    setup = setups.begin(product, "eva")
    said = setups.add(setup, [(f"{seed}.png", png(seed, size=SIZE)) for seed in range(n)])
    assert len(said["added"]) == n
    return setup


def running(job: Job) -> Job:
    job.state = "running"
    return job


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("../../x.png", "x.png"),
        ("/etc/passwd", "passwd"),
        ("C:\\photos\\x.png", "x.png"),
        ("..", "photograph"),
        ("", "photograph"),
        (".png", "png"),
        ("a/b/", "photograph"),
        ("part\n1\0.png", "part_1_.png"),
        ("\N{PILE OF POO}.png", "_.png"),
        ("<script>alert(1)</script>.png", "script_.png"),
        ("größe 7.PNG", "größe 7.PNG"),
        ("CON.png", "_CON.png"),
        ("\udcff.png", "_.png"),
        ("a" * 500 + ".tiff", "a" * 95 + ".tiff"),
        ("ß" * 500 + ".png", "ß" * 96 + ".png"),
        ("漢" * 500 + ".png", "漢" * 65 + ".png"),
    ],
)
def test_a_name_of_a_sender_is_the_name_of_a_file_and_no_path(given_name, kept):
    assert photographs.safe_name(given_name) == kept


@given(st.text(max_size=300))
def test_no_name_leads_out_of_the_folder_is_hidden_or_too_long(given_name):
    kept = photographs.safe_name(given_name)
    assert kept == Path(kept).name
    assert not kept.startswith(".")
    assert 0 < len(kept.encode()) <= photographs.LONGEST_BYTES + 10
    assert not any(unicodedata.category(one).startswith("C") for one in kept)
    assert photographs.safe_name(kept) == kept


def test_photographs_are_kept_byte_for_byte_and_equal_ones_once(setups):
    setup = setups.begin("bolts", "eva")
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "camera 3"
    Image.open(io.BytesIO(png(1, size=SIZE))).convert("RGB").save(stream, "JPEG", exif=exif)
    content = stream.getvalue()
    said = setups.add(setup, [("a.jpg", content), ("line 2/a.jpg", content), ("a.jpg", png(2))])
    assert said == {"added": ["a.jpg", "a-2.jpg"], "known": ["a.jpg"], "refused": []}
    assert (setup.good / "a.jpg").read_bytes() == content
    assert [one.name for one in setups.photographs(setup)] == ["a-2.jpg", "a.jpg"]
    assert setups.photographs(setup)[1].n_bytes == len(content)


def test_what_is_no_photograph_is_refused_by_name_and_the_others_are_kept(setups):
    setup = setups.begin("bolts", "eva")
    said = setups.add(
        setup, [("notes.txt", b"hello"), ("x.png", b""), ("page.html", b"<html>"), ("1.png", png())]
    )
    assert said["added"] == ["1.png"]
    assert [one["name"] for one in said["refused"]] == ["notes.txt", "x.png", "page.html"]
    assert said["refused"][0]["error"].startswith("notes.txt: expected a PNG, JPEG")
    assert [path.name for path in setup.good.iterdir()] == ["1.png"]


def test_a_photograph_with_too_many_pixels_is_refused_by_its_header(tmp_path):
    setups = Setups(tmp_path, ServiceSettings(max_pixels=40 * 64 - 1))
    setup = setups.begin("bolts", "eva")
    said = setups.add(setup, [("1.png", png(1, size=SIZE))])
    assert "expected at most 0.002559 million pixels, got 64 x 40" in said["refused"][0]["error"]


def test_all_set_ups_together_have_a_limit_of_bytes_and_each_one_of_number(tmp_path, monkeypatch):
    content = png(1, size=SIZE)
    setups = Setups(tmp_path, ServiceSettings(pictures_gb=2.5 * len(content) / 1e9))
    first, second = setups.begin("bolts", "eva"), setups.begin("nuts", "eva")
    setups.add(first, [("1.png", content)])
    setups.add(second, [("1.png", content)])
    with pytest.raises(ApiError, match="photographs: expected at most .* GB") as refused:
        setups.add(second, [("2.png", content)])
    assert refused.value.status_code == 413
    setups.discard(first)
    assert setups.add(second, [("2.png", content)])["added"] == ["2.png"]
    monkeypatch.setattr(store, "MOST_PHOTOGRAPHS", 2)
    with pytest.raises(ApiError, match="expected at most 2, got 3"):
        setups.add(second, [("3.png", content)])


def test_a_full_disk_is_said_and_what_was_kept_before_stays(setups, monkeypatch):
    setup = filled(setups, 1)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(photographs, "create_file", full)
        with pytest.raises(NotRecorded, match="No space left on device; make room"):
            setups.add(setup, [("9.png", png(9))])
    assert [one.name for one in setups.photographs(setup)] == ["0.png"]
    assert setups.add(setup, [("9.png", png(9))])["added"] == ["9.png"]


def test_photographs_are_left_out_learned_again_and_removed(setups):
    setup = filled(setups)
    setups.leave_out(setup, ["0.png", "2.png"], is_left_out=True)
    assert [one.name for one in setups.learned(setup)] == ["1.png"]
    setups.leave_out(setup, ["2.png"], is_left_out=False)
    assert [one.name for one in reopened(setups).learned(setup)] == ["1.png", "2.png"]
    assert setups.picture(setup, "0.png", "small").startswith(b"\xff\xd8")
    setups.remove(setup, "0.png")
    assert setup.facts.left_out == []
    assert not list(setup.small.rglob("0.png*"))
    for missing in ("0.png", "../setup.json", "", ".", "..", "\0", str(setup.good / "1.png")):
        with pytest.raises(ApiError, match="photograph: expected the name"):
            setups.remove(setup, missing)
        with pytest.raises(ApiError, match="photograph: expected the name"):
            setups.leave_out(setup, [missing], is_left_out=True)
        with pytest.raises(ApiError, match="photograph: expected the name"):
            setups.picture(setup, missing, "small")


def test_small_pictures_are_made_once_and_a_damaged_photograph_has_none(setups):
    setup = setups.begin("bolts", "eva")
    setups.add(setup, [("wide.png", png(1, size=(500, 800))), ("cut.png", png(2)[:900])])
    for side, longer in (("small", 320), ("large", 800)):
        picture = Image.open(io.BytesIO(setups.picture(setup, "wide.png", side)))
        assert picture.size == (longer, longer * 500 // 800)
        assert (setup.small / side / "wide.png.jpg").is_file()
    (setup.small / "small" / "wide.png.jpg").write_bytes(b"the same again")
    assert setups.picture(setup, "wide.png", "small") == b"the same again"
    with pytest.raises(ImageError, match="cut.png: expected a readable image"):
        setups.picture(setup, "cut.png", "small")


def test_a_set_up_does_not_change_while_it_is_worked_on(setups):
    setup = filled(setups)
    job = setups.begin_work(setup, "fit", lambda: running(Job("setup", "bolts", "eva")))
    changes = [
        lambda: setups.add(setup, [("9.png", png(9))]),
        lambda: setups.leave_out(setup, ["0.png"], is_left_out=True),
        lambda: setups.remove(setup, "0.png"),
        lambda: setups.begin_work(setup, "check", lambda: Job("setup", "bolts", "eva")),
    ]
    for change in changes:
        with pytest.raises(ApiError, match="expected one without work under way") as refused:
            change()
        assert (refused.value.status_code, refused.value.code) == (409, "change_under_way")
    assert setups.add(setup, [("9.png", png(9))], by_job=True)["added"] == ["9.png"]
    setups.end_work(setup, job, "failed", "bank: expected memory")
    job.state = "failed"
    setups.leave_out(setup, ["0.png"], is_left_out=True)
    assert reopened(setups).find(setup.id).facts.error == "bank: expected memory"


def test_work_that_a_service_did_not_end_is_interrupted_after_the_next_start(setups):
    setup = filled(setups)
    setups.begin_work(setup, "fit", lambda: running(Job("setup", "bolts", "eva")))
    setup.fitting.mkdir()
    (setup.fitting / "detector.patchbank").write_bytes(b"half")
    again = reopened(setups)
    found = again.find(setup.id)
    assert (found.facts.task, found.facts.ended) == (None, "interrupted")
    assert again.job(found) is None
    assert not found.fitting.exists()
    assert len(again.learned(found)) == 3
    assert json.loads((setup.folder / FACTS).read_bytes())["ended"] == "interrupted"


def test_set_ups_that_nobody_changes_for_days_are_removed_unless_they_are_worked_on(setups):
    old, worked, new = filled(setups), filled(setups, product="nuts"), filled(setups)
    later = datetime.now(timezone.utc) + timedelta(days=KEPT_DAYS, hours=1)
    new.facts.changed = "2999-01-01T00:00:00.000000Z"
    job = setups.begin_work(worked, "fit", lambda: running(Job("setup", "nuts", "eva")))
    assert setups.tidy() == 0
    assert setups.tidy(later) == 1
    assert not old.folder.exists()
    assert {one.id for one in setups.all()} == {worked.id, new.id}
    job.state = "cancelled"
    assert setups.tidy(later) == 1
    with pytest.raises(ApiError, match="setup: expected the id"):
        setups.find(worked.id)


def test_what_is_no_set_up_in_the_folder_is_left_alone(setups):
    setup = filled(setups)
    (setups._folder / "notes").mkdir()
    (setups._folder / "0123456789abcdef").mkdir()
    (setups._folder / "0123456789abcdef" / FACTS).write_text('{"product": "x", "other": 1}')
    (setups._folder / "file").write_text("x")
    assert [one.id for one in reopened(setups).all()] == [setup.id]
    assert (setups._folder / "notes").is_dir()


def test_a_discarded_set_up_cancels_its_work_and_takes_no_more(setups):
    setup, jobs = filled(setups), Jobs()
    job = setups.begin_work(setup, "fit", lambda: running(Job("setup", "bolts", "eva")))
    setups.discard(setup)
    assert job.is_cancelled
    assert not setup.folder.exists()
    setups.end_work(setup, job, "cancelled", None)
    with pytest.raises(ApiError) as gone:
        setups.add(setup, [("1.png", png())])
    assert gone.value.status_code == 404
    assert not setup.folder.exists()
    jobs.close(1)


def test_there_are_not_more_set_ups_than_people_can_oversee(setups, monkeypatch):
    monkeypatch.setattr(store, "MOST_SETUPS", 2)
    setups.begin("bolts", "eva")
    setups.begin("bolts", "eva")
    with pytest.raises(ApiError, match="setup: expected at most 2") as refused:
        setups.begin("bolts", "eva")
    assert refused.value.status_code == 409
