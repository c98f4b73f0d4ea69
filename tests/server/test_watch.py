"""A watched folder: every photograph is inspected, none twice, however its file comes to be."""

import io
import os
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image

from patchbank.errors import ParameterError
from patchbank.server.records.entries import Fields, Filter
from patchbank.server.records.store import Records
from patchbank.server.sources.separation import check_separate
from patchbank.server.sources.watch import AT_ONCE, Pace, Watch, WatchSettings
from tests.server.intakes import RecordingIntake
from tests.server.real_servers import wait_until

PACE = Pace(poll_s=0.02, settle_s=0.15, patience_s=0.6)


def picture(grey=200, size=(37, 53), kind="PNG", noise=True):
    """A file of a photograph, of which no two are equal."""
    values = np.random.default_rng(grey).integers(0, 40, (*size, 3)) + max(0, grey - 20)
    stream = io.BytesIO()
    Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def records(tmp_path):
    opened = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="line-1")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def watch(records, folder):
    """-> starts watches that end with the test."""
    made = []

    def start(intake=None, pace=PACE, **settings):
        given = WatchSettings(**{"product": "bolts", "folder": folder, **settings})
        made.append(Watch(intake or RecordingIntake(records), records, given, pace))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.close()


def found(records, **wanted):
    """(name, verdict) of all inspections, oldest first."""
    page = records.inspections(Filter(**wanted), limit=1000, cursor=None)
    return [(one.result["image"], one.verdict) for one in reversed(page.inspections)]


def names(records):
    return sorted(name for name, _ in found(records))


def settle():
    """Time in which a file that is wrongly found would be inspected."""
    time.sleep(4 * PACE.settle_s)


def test_photographs_are_inspected_as_they_come_with_what_is_known_of_them(records, folder, watch):
    watch(fields=Fields(station="press 3"))
    (folder / "good.png").write_bytes(picture(200))
    (folder / "shift 1").mkdir()
    (folder / "shift 1" / "größe.jpg").write_bytes(picture(30, kind="JPEG"))
    wait_until(lambda: len(found(records)) == 2, "two inspections")
    assert sorted(found(records)) == [("good.png", "good"), ("shift 1/größe.jpg", "anomalous")]
    one = records.inspections(Filter(verdict="good"), limit=1, cursor=None).inspections[0]
    assert (one.source, one.by, one.fields.station) == ("watch", "local", "press 3")


def test_links_to_folders_and_to_nothing_are_skipped_by_name(
    records, folder, watch, tmp_path, caplog
):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_bytes(picture())
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "broken.png").symlink_to(tmp_path / "none.png")
    watching = watch()
    wait_until(lambda: watching.state.skipped == 2, "both links")
    lines = [record.getMessage() for record in caplog.records]
    assert sorted(line.removeprefix(f"watch {folder.resolve()}: ") for line in lines) == [
        "broken.png: expected a photograph, got a link to nothing; it is skipped",
        "linked: expected a photograph, got a link to a folder, which is not entered; "
        "it is skipped",
    ]
    assert watching.state.error is None
    (tmp_path / "none.png").write_bytes(picture())
    wait_until(lambda: names(records) == ["broken.png"], "what the link leads to now")
    assert watching.state.skipped == 1


def test_older_files_are_inspected_first(records, folder, watch):
    for number, age in enumerate((30, 10, 20)):
        path = folder / f"{number}.png"
        path.write_bytes(picture(150 + number))
        os.utime(path, (1e9 - age, 1e9 - age))
    intake = RecordingIntake(records)
    watch(intake)
    wait_until(lambda: len(found(records)) == 3, "three inspections")
    assert [one.name for one in intake.submitted] == ["0.png", "2.png", "1.png"]


def test_a_file_that_is_written_slowly_is_inspected_once_and_whole(records, folder, watch):
    content = picture(200, size=(137, 153))
    watching = watch()
    with (folder / "slow.png").open("wb") as file:
        for part in range(0, len(content), len(content) // 12 + 1):
            file.write(content[part : part + len(content) // 12 + 1])
            file.flush()
            time.sleep(PACE.settle_s / 2)
    wait_until(lambda: found(records), "the inspection")
    settle()
    assert found(records) == [("slow.png", "good")]
    assert watching.state.unread == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_file_that_stops_growing_for_a_while_is_waited_for(records, folder, watch, kind):
    content = picture(200, kind=kind)
    watching = watch(pace=Pace(poll_s=0.02, settle_s=0.05, patience_s=20))
    path = folder / f"half.{kind.lower()}"
    path.write_bytes(content[: len(content) * 2 // 3])
    time.sleep(0.6)
    assert found(records) == []
    assert watching.state.waiting == 1
    with path.open("ab") as file:
        file.write(content[len(content) * 2 // 3 :])
    wait_until(lambda: found(records), "the inspection")
    assert found(records) == [(path.name, "good")]


def test_a_file_with_its_size_already_and_zeros_at_its_end_is_waited_for(records, folder, watch):
    content = picture(200)
    watch(pace=Pace(poll_s=0.02, settle_s=0.05, patience_s=20))
    path = folder / "reserved.png"
    path.write_bytes(content[:500] + bytes(len(content) - 500))
    time.sleep(0.4)
    assert found(records) == []
    path.write_bytes(content)
    wait_until(lambda: found(records), "the inspection")
    assert found(records) == [("reserved.png", "good")]


def test_a_file_that_never_becomes_whole_is_on_record_as_unread_and_never_good(
    records, folder, watch
):
    watching = watch()
    (folder / "cut.png").write_bytes(picture(200)[:300])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no photograph")
    wait_until(lambda: len(found(records)) == 3, "three records")
    assert sorted(found(records)) == [
        ("cut.png", "unread"),
        ("empty.jpg", "unread"),
        ("text.png", "unread"),
    ]
    wait_until(lambda: watching.state.unread == 3, "the count")
    assert watching.state.inspected == 3
    settle()
    assert len(found(records)) == 3


def test_a_file_that_is_renamed_into_the_folder_is_inspected(records, folder, watch, tmp_path):
    watch()
    temporary = folder / ".17.png.part"
    temporary.write_bytes(picture(200))
    settle()
    assert found(records) == []
    temporary.rename(folder / "17.png")
    outside = tmp_path / "outside.png"
    outside.write_bytes(picture(30))
    outside.rename(folder / "18.png")
    wait_until(lambda: len(found(records)) == 2, "two inspections")
    assert names(records) == ["17.png", "18.png"]


def test_a_copy_with_an_old_time_is_inspected(records, folder, watch, tmp_path):
    watch()
    old = tmp_path / "old.png"
    old.write_bytes(picture(200))
    os.utime(old, (1e9, 1e9))
    shutil.copy2(old, folder / "1.png")
    shutil.copy2(old, folder / "2.png")
    wait_until(lambda: len(found(records)) == 2, "two inspections")
    assert names(records) == ["1.png", "2.png"]


def test_another_photograph_under_the_same_name_is_inspected(records, folder, watch):
    watch()
    path = folder / "latest.png"
    for grey, count in ((200, 1), (30, 2), (120, 3)):
        path.write_bytes(picture(grey))
        wait_until(lambda n=count: len(found(records)) == n, "another inspection")
    assert [verdict for _, verdict in found(records)] == ["good", "anomalous", "good"]


def test_another_photograph_of_the_same_name_size_and_time_is_inspected(records, folder, watch):
    path = folder / "frame.bmp"
    watching = watch()
    for grey, count in ((200, 1), (30, 2)):
        path.write_bytes(picture(grey, kind="BMP"))
        os.utime(path, (1e9, 1e9))
        wait_until(lambda n=count: len(found(records)) == n, "another inspection")
        path.unlink()
        wait_until(lambda: "frame.bmp" not in watching._files, "that it is gone")
    assert [verdict for _, verdict in found(records)] == ["good", "anomalous"]
    path.write_bytes(picture(200, kind="BMP"))  # the first one again: it is on record
    os.utime(path, (1e9, 1e9))
    files = watching._files
    wait_until(lambda: "frame.bmp" in files and files["frame.bmp"].is_done, "its answer")
    assert len(found(records)) == 2
    first, second = (
        one.idempotency_key
        for one in reversed(records.inspections(Filter(), limit=2, cursor=None).inspections)
    )
    assert second.startswith(f"{first}/")


def test_two_folders_with_the_same_names_sizes_and_times_are_two(records, folder, watch, tmp_path):
    (tmp_path / "second").mkdir()
    for parent, grey in ((folder, 200), (tmp_path / "second", 30)):
        path = parent / "0001.bmp"
        path.write_bytes(picture(grey, kind="BMP"))
        os.utime(path, (1e9, 1e9))
    watch()
    watch(folder=tmp_path / "second")
    wait_until(lambda: len(found(records)) == 2, "two inspections")
    assert sorted(v for _, v in found(records)) == ["anomalous", "good"]


@pytest.mark.parametrize("changed", ["folder", "name", "size", "time"])
def test_after_a_restart_a_file_of_which_one_fact_is_another_is_inspected(
    changed, records, folder, watch, tmp_path
):
    second = tmp_path / "second" if changed == "folder" else folder
    second.mkdir(exist_ok=True)
    after = {
        "path": second / ("0002.bmp" if changed == "name" else "0001.bmp"),
        "size": (37, 54) if changed == "size" else (37, 53),
        "time": 2e9 if changed == "time" else 1e9,
    }
    path, size, modified = folder / "0001.bmp", (37, 53), 1e9
    for count in (1, 2):
        path.write_bytes(picture(200, size, kind="BMP"))
        os.utime(path, (modified, modified))
        watching = watch(folder=path.parent)
        wait_until(lambda n=count: len(found(records)) == n, "an inspection", 8)
        watching.close()
        path, size, modified = after.values()


def test_a_restart_in_the_middle_inspects_nothing_twice_and_misses_nothing(records, folder, watch):
    intake = RecordingIntake(records)
    for number in range(30):
        (folder / f"{number:02d}.png").write_bytes(picture(100 + number))
    first = watch(intake)
    wait_until(lambda: len(found(records)) >= 5, "some inspections")
    first.close()
    assert first.state.inspected == len(found(records)) < 30
    later = RecordingIntake(records)
    assert len(intake.submitted) <= len(found(records)) + AT_ONCE
    second = watch(later)
    (folder / "30.png").write_bytes(picture(130))
    wait_until(lambda: len(found(records)) == 31, "all inspections")
    settle()
    assert names(records) == [f"{number:02d}.png" for number in range(31)]
    assert len(intake.submitted) + len(later.submitted) == 31
    assert second.state.waiting == 0


def test_inspected_photographs_are_moved_where_that_is_wanted(records, folder, watch, tmp_path):
    done = tmp_path / "done"
    (folder / "a").mkdir()
    (folder / "a" / "1.png").write_bytes(picture(200))
    (folder / "bad.png").write_text("no photograph")
    watch(done=done)
    wait_until(lambda: sorted(p.name for p in done.rglob("*.png")) == ["1.png", "bad.png"], "files")
    assert (done / "a" / "1.png").read_bytes() == picture(200)
    assert [p for p in folder.rglob("*") if p.is_file()] == []
    assert len(found(records)) == 2
    (folder / "a" / "1.png").write_bytes(picture(30))  # the name is taken there
    wait_until(lambda: (done / "a" / "1-2.png").exists(), "the second of this name")
    assert (done / "a" / "1.png").read_bytes() == picture(200)
    assert len(found(records)) == 3


def test_a_folder_for_inspected_photographs_may_be_in_the_watched_one(records, folder, watch):
    watch(done=folder / "done")
    (folder / "1.png").write_bytes(picture(200))
    wait_until(lambda: (folder / "done" / "1.png").exists(), "the file")
    settle()
    assert found(records) == [("1.png", "good")]


def test_what_was_inspected_but_not_moved_before_a_crash_is_moved(records, folder, watch, tmp_path):
    (folder / "1.png").write_bytes(picture(200))
    first = watch()
    wait_until(lambda: found(records), "the inspection")
    first.close()
    watch(done=tmp_path / "done")
    wait_until(lambda: (tmp_path / "done" / "1.png").exists(), "the file")
    assert len(found(records)) == 1


def test_a_photograph_that_came_while_the_one_before_was_inspected_is_not_moved_unseen(
    records, folder, watch, tmp_path
):
    intake = RecordingIntake(records)
    intake.hold.clear()
    watch(intake, done=tmp_path / "done")
    path = folder / "latest.png"
    path.write_bytes(picture(200))
    wait_until(lambda: intake.submitted, "the first")
    path.write_bytes(picture(30))
    intake.hold.set()
    wait_until(lambda: len(found(records)) == 2, "both")
    assert [verdict for _, verdict in found(records)] == ["good", "anomalous"]
    wait_until(lambda: (tmp_path / "done" / "latest.png").exists(), "the file")
    assert (tmp_path / "done" / "latest.png").read_bytes() == picture(30)


def test_a_file_that_cannot_be_moved_stays_and_is_moved_later(records, folder, watch, tmp_path):
    done = tmp_path / "done"
    done.write_text("a file where the folder should be")
    watching = watch(done=done)
    (folder / "1.png").write_bytes(picture(200))
    wait_until(lambda: watching.state.error, "the error")
    assert (folder / "1.png").exists()
    done.unlink()
    wait_until(lambda: (done / "1.png").exists(), "the file")
    wait_until(lambda: watching.state.error is None, "no error any more")
    assert found(records) == [("1.png", "good")]


def test_a_full_queue_is_waited_for(records, folder, watch):
    intake = RecordingIntake(records)
    intake.is_busy = True
    watching = watch(intake)
    (folder / "1.png").write_bytes(picture(200))
    settle()
    assert found(records) == []
    assert watching.state.waiting == 1
    intake.is_busy = False
    wait_until(lambda: found(records), "the inspection")


def test_what_could_not_be_recorded_is_handed_in_again(records, folder, watch, caplog):
    intake = RecordingIntake(records)
    intake.fails = 2
    watching = watch(intake)
    (folder / "1.png").write_bytes(picture(200))
    wait_until(lambda: watching.state.error, "the error")
    assert watching.state.error == "1.png: records: expected a disk with room, got none"
    wait_until(lambda: found(records), "the inspection")
    wait_until(lambda: watching.state.error is None, "no error any more")
    assert found(records) == [("1.png", "good")]
    assert "1.png: records: expected a disk with room, got none; it is tried again" in caplog.text


def test_a_drive_that_is_gone_for_a_while_loses_nothing(records, folder, watch, tmp_path, caplog):
    (folder / "1.png").write_bytes(picture(200))
    watching = watch()
    wait_until(lambda: found(records), "the first")
    folder.rename(tmp_path / "away")
    wait_until(lambda: watching.state.error, "the error")
    (tmp_path / "away" / "2.png").write_bytes(picture(30))
    (tmp_path / "away").rename(folder)
    wait_until(lambda: len(found(records)) == 2, "the second")
    wait_until(lambda: watching.state.error is None, "no error any more")
    assert sorted(found(records)) == [("1.png", "good"), ("2.png", "anomalous")]


def test_files_that_are_no_photographs_are_named_once_and_counted(records, folder, watch, caplog):
    watching = watch(max_bytes=3000)
    (folder / "notes.txt").write_text("lot 7")
    (folder / "film.avi").write_bytes(b"RIFF....AVI ")
    (folder / "large.bmp").write_bytes(picture(200, kind="BMP"))
    (folder / "small.png").write_bytes(picture(200, size=(11, 17)))
    wait_until(lambda: watching.state.skipped == 3, "three skipped")
    wait_until(lambda: found(records) == [("small.png", "good")], "the photograph")
    settle()
    assert caplog.text.count("notes.txt: expected a photograph") == 1
    assert caplog.text.count("large.bmp: expected at most 3000 bytes") == 1


def test_what_is_handed_in_when_the_service_stops_gets_its_record(records, folder, watch):
    intake = RecordingIntake(records)
    intake.hold.clear()
    watching = watch(intake)
    (folder / "1.png").write_bytes(picture(200))
    wait_until(lambda: intake.submitted, "the photograph")
    closing = threading.Thread(target=watching.close)
    closing.start()
    intake.hold.set()
    closing.join(20)
    assert found(records) == [("1.png", "good")]
    assert watching.state.inspected == 1


def test_a_folder_that_is_asked_for_wrongly_is_one_line(tmp_path, folder):
    with pytest.raises(ParameterError, match="--watch: expected PRODUCT=DIR with a folder"):
        WatchSettings.parse(str(folder))
    with pytest.raises(ParameterError, match="--watch: expected PRODUCT=DIR with a folder"):
        WatchSettings.parse(f"bolts={tmp_path / 'none'}")
    with pytest.raises(ParameterError, match="--watch-done: expected a folder"):
        WatchSettings.parse(f"bolts={folder}", done=tmp_path / "none")
    (tmp_path / "done").mkdir()
    parsed = WatchSettings.parse(f"bolts={folder}", done=tmp_path / "done")
    wanted = ("bolts", folder, tmp_path / "done" / "bolts")
    assert (parsed.product, parsed.folder, parsed.done) == wanted


@pytest.mark.parametrize("done", ["in/done", "./in/../in/done"])
def test_a_done_folder_in_a_watched_one_is_left_out_however_it_is_written(
    records, folder, watch, tmp_path, monkeypatch, done
):
    monkeypatch.chdir(tmp_path)
    (folder / "done").mkdir()
    (folder / "1.png").write_bytes(picture())
    parsed = WatchSettings.parse("bolts=in", done=tmp_path.__class__(done))
    watch(folder=parsed.folder, done=parsed.done, leave_out=parsed.leave_out)
    wait_until(lambda: (folder / "done/bolts/1.png").is_file(), "the move")
    settle()
    assert names(records) == ["1.png"]
    assert os.listdir(folder / "done/bolts") == ["1.png"]


def test_done_photographs_of_another_product_are_left_out(records, folder, watch, tmp_path):
    (folder / "done" / "nuts").mkdir(parents=True)
    (folder / "done" / "nuts" / "nut.png").write_bytes(picture(90))
    (folder / "1.png").write_bytes(picture())
    parsed = WatchSettings.parse(f"bolts={folder}", done=folder / "done")
    watch(done=parsed.done, leave_out=parsed.leave_out)
    wait_until(lambda: (folder / "done/bolts/1.png").is_file(), "the move")
    settle()
    assert names(records) == ["1.png"]


@pytest.mark.parametrize(
    ("watched", "done", "written", "message"),
    [
        (["a", "a/b"], None, [], "--watch: expected folders that do not lie in each other"),
        (["a/b", "a"], None, [], "--watch: expected folders that do not lie in each other"),
        (["a", "link"], None, [], "--watch: expected folders that do not lie in each other"),
        (["a"], None, ["a/OK"], "--watch: expected another folder than that of --channel x"),
        (["a/b"], None, ["a"], "--watch: expected another folder than that of --channel x"),
        (["a"], "a", [], "--watch-done: expected a folder without watched ones"),
        (["a/p0"], "a", [], "--watch-done: expected a folder without watched ones"),
        (["c", "a/p0/b"], "a", [], "--watch-done: expected a folder without watched ones"),
        (["a/p1", "c"], "a", [], "--watch-done: expected a folder without watched ones"),
        (["a", "ab", "c"], "a/b", ["d"], None),
        (["a/b", "c"], "a", [], None),
    ],
)
def test_folders_that_lie_in_each_other_are_refused(
    tmp_path, monkeypatch, watched, done, written, message
):
    monkeypatch.chdir(tmp_path)
    for name in ("a/b", "a/p0/b", "a/p1", "ab", "c", "d"):
        os.makedirs(name)
    os.symlink("a", "link")
    path = tmp_path.__class__
    settings = [
        WatchSettings.parse(f"p{at}={name}", None if done is None else path(done))
        for at, name in enumerate(watched)
    ]
    others = [("--channel x", tmp_path / name) for name in written]
    if message is None:
        check_separate(settings, others)
        return
    with pytest.raises(ParameterError, match=message) as caught:
        check_separate(settings, others)
    assert "\n" not in str(caught.value)


def test_two_stations_with_one_database_inspect_equal_files_of_their_own(
    records, folder, watch, tmp_path
):
    (folder / "1.png").write_bytes(picture())
    os.utime(folder / "1.png", ns=(10**18, 10**18))
    first = watch()
    wait_until(lambda: names(records) == ["1.png"], "the first")
    first.close()
    other = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="line-2")
    second = Watch(
        RecordingIntake(other), other, WatchSettings(product="bolts", folder=folder), PACE
    )
    second.start()
    wait_until(lambda: names(records) == ["1.png", "1.png"], "that of the other station")
    second.close()
    other.close()
