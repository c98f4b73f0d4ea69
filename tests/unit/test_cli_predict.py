"""What `patchbank predict` prints, writes and counts, on painted photographs."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchbank.cli.output import warnings_as_notes
from patchbank.cli.path_lists import Given
from patchbank.cli.pictures import PathsBelow, Pictures, write_picture
from patchbank.cli.predict import Count, Outputs, inspect_paths
from patchbank.cli.progress import ConsoleProgress
from patchbank.errors import DataError
from patchbank.runtime.progress import NullProgress
from tests.painted import detector, photograph, write


def inspect(*paths, listed=(), **outputs):
    """Inspect as the command does; `listed` are paths from a list."""
    given = [Given(path, False) for path in paths] + [Given(path, True) for path in listed]
    return inspect_paths(detector(), given, Outputs(**outputs))


@pytest.fixture
def folder(tmp_path):
    """Three good photographs, two anomalous ones, and one that is none."""
    for name, score in (("a", 20), ("c", 100), ("d", 101), ("e", 30), ("f", 200)):
        write(tmp_path / "in" / f"{name}.png", photograph(score))
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    return tmp_path / "in"


def test_each_photograph_is_a_line_and_the_last_line_counts(folder, capsys):
    count = inspect(folder)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"good              20  p=1       {folder / 'a.png'}",
        f"good             100  p=0.5     {folder / 'c.png'}",
        f"ANOMALOUS        101  p=0.25    {folder / 'd.png'}",
        f"good              30  p=1       {folder / 'e.png'}",
        f"ANOMALOUS        200  p=0.25    {folder / 'f.png'}",
        "3 good, 2 anomalous, 1 not readable",
    ]
    assert err == (
        f"error: {folder / 'b.png'}: expected a PNG, JPEG, TIFF, BMP, WebP, GIF, PNM, JPEG 2000, "
        "TGA, AVIF or HEIC image, got something else\n"
    )
    assert count == Count(good=3, anomalous=2, unread=1)


def test_json_on_standard_output_has_nothing_beside_it(folder, capsys):
    count = inspect(folder, to_json="-")
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == [f"{n}.png" for n in "abcdef"]
    assert [line["score"] for line in lines] == [20, None, 100, 101, 30, 200]
    assert [line["anomalous"] for line in lines] == [False, None, False, True, False, True]
    assert err.startswith(f"error: {folder / 'b.png'}: ")
    assert err.count("\n") == 1
    assert count == Count(3, 2, 1)


def test_json_in_a_file_leaves_the_lines_on_standard_output(folder, tmp_path, capsys):
    target = tmp_path / "lines.json"
    inspect(folder, to_json=str(target))
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[:-1]] == [
        "good", "good", "ANOMALOUS", "good", "ANOMALOUS"
    ]  # fmt: skip
    assert printed[-1] == "3 good, 2 anomalous, 1 not readable"
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["score"] for line in lines] == [20, None, 100, 101, 30, 200]
    assert "expected a PNG" in lines[1]["error"]


def test_folders_and_photographs_are_inspected_in_the_order_given(folder, tmp_path, capsys):
    alone = write(tmp_path / "z.png", photograph(50))
    inspect(alone, folder, folder / "d.png", to_json="-")
    names = [Path(json.loads(line)["image"]).name for line in capsys.readouterr().out.splitlines()]
    assert names == ["z.png", *(f"{n}.png" for n in "abcdef"), "d.png"]


def test_overlays_are_drawn_of_all_that_could_be_read(folder, tmp_path):
    out = tmp_path / "out"
    inspect(folder, overlays=out)
    assert sorted(p.name for p in out.iterdir()) == [f"{n}.png" for n in "acdef"]
    corner = {name: Image.open(out / f"{name}.png").getpixel((1, 1)) for name in "acdef"}
    green, red = (34, 139, 70), (214, 39, 40)
    assert corner == {"a": green, "c": green, "d": red, "e": green, "f": red}


def test_overlays_lie_in_the_folders_of_their_photographs(tmp_path):
    given = tmp_path / "in"
    images = [given / "x" / "1.png", given / "y" / "1.png", given / "1.png"]
    pictures, below = Pictures(tmp_path / "out", images), PathsBelow([given])
    paths = [pictures.path_for(below.of(image, given)) for image in images]
    places = [path.relative_to(tmp_path / "out") for path in paths]
    assert [place.as_posix() for place in places] == ["x/1.png", "y/1.png", "1.png"]
    write_picture(b"", paths[1])
    assert (tmp_path / "out" / "y" / "1.png").is_file()


def test_no_overlay_takes_the_name_of_another(tmp_path):
    names = ["1.bmp", "1.png", "1.tif", "1.png", "1.png"]
    images = [tmp_path / "in" / name for name in names]
    pictures = Pictures(tmp_path / "out", images)
    places = [pictures.path_for(PathsBelow([]).of(image, image)).name for image in images]
    assert places == ["1.png", "1.png.png", "1.tif.png", "1-2.png", "1-3.png"]


def test_an_overlay_never_takes_the_place_of_a_photograph(tmp_path):
    images = [tmp_path / "1.bmp", tmp_path / "1.png"]
    pictures = Pictures(tmp_path, images)
    with pytest.raises(DataError) as caught:
        pictures.path_for(Path(images[0].name))
    assert str(caught.value) == (
        f"{tmp_path / '1.png'}: expected a path for an overlay, got a photograph to inspect; "
        "give --out another folder"
    )


def test_a_folder_for_overlays_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    image = tmp_path / "in" / "x" / "1.png"
    place = Pictures(tmp_path / "out", [image]).path_for(Path("x/1.png"))
    with pytest.raises(DataError, match="out/x: expected a folder for pictures, got: Not a dir"):
        write_picture(b"", place)


def test_overlays_that_would_replace_a_photograph_are_told_before_the_first_is_inspected(
    tmp_path, capsys
):
    write(tmp_path / "1.bmp", photograph(0))
    last = write(tmp_path / "2.png", photograph(1))
    with pytest.raises(DataError, match=r"2\.png: expected a path for an overlay, got a photogr"):
        inspect_paths(detector(), [Given(tmp_path, False)], Outputs(overlays=tmp_path))
    assert capsys.readouterr().out == ""
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["1.bmp", last.name]


def test_a_link_that_leads_to_itself_is_one_photograph_that_is_not_read(tmp_path, capsys):
    write(tmp_path / "in" / "1.png", photograph(0))
    (tmp_path / "in" / "2.png").symlink_to(tmp_path / "in" / "2.png")
    outputs = Outputs(overlays=tmp_path / "out", sort_into=tmp_path / "sorted")
    count = inspect_paths(detector(), [Given(tmp_path / "in", False)], outputs)
    assert (count.good + count.anomalous, count.unread) == (1, 1)
    assert "2.png: expected a readable image, got: Too many levels" in capsys.readouterr().err


def test_a_photograph_that_is_not_read_is_one_line_and_not_two(tmp_path, capsys):
    (tmp_path / "1.png").write_bytes(b"")
    with warnings_as_notes():
        inspect_paths(detector(), [Given(tmp_path / "1.png", False)], Outputs())
    assert capsys.readouterr().err.count("1.png") == 1


def test_a_place_for_json_that_is_not_there_is_named_before_anything_is_inspected(
    folder, tmp_path, capsys
):
    target = str(tmp_path / "no" / "a.json")
    with pytest.raises(DataError) as caught:
        inspect(folder, to_json=target)
    assert str(caught.value) == f"{target}: expected to write JSON, got: No such file or directory"
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """Standard error of a person who looks."""

    def isatty(self):
        return True


def shown_on_a_terminal(monkeypatch, title, total, steps, line=""):
    """Text on standard error while the steps of a task are done and a line is printed."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    shown = Terminal()
    with monkeypatch.context() as patch:  # not in a fixture: pytest sets the streams for each test
        patch.setattr(sys, "stderr", shown)
        with ConsoleProgress().task(title, total) as advance:
            for number in steps:
                advance(number)
            sys.stdout.write(line)
    return shown.getvalue()


def test_bars_show_title_and_steps_on_a_terminal(monkeypatch, capsys):
    shown = shown_on_a_terminal(monkeypatch, "inspecting", 7, (2, 3), "a line\n")
    assert "inspecting" in shown
    assert "5/7" in shown
    assert shown.endswith("\x1b[2K")  # removed at the end
    assert capsys.readouterr().out == "a line\n"


def test_a_total_that_is_not_known_is_a_question_mark(monkeypatch):
    shown = shown_on_a_terminal(monkeypatch, "fitting", None, (4,))
    assert "fitting" in shown
    assert "4/?" in shown


def test_every_photograph_is_a_step(folder, monkeypatch, capsys):
    shown = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", shown)
        inspect(folder)
    assert "inspecting" in shown.getvalue()
    assert "6/6" in shown.getvalue()
    assert "7/6" not in shown.getvalue()


def test_bars_show_nothing_where_nobody_looks(capsys):
    with ConsoleProgress().task("inspecting", 7) as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")


def test_notes_beside_bars_are_one_line_as_it_was_written(capsys):
    text = "[bold]1.50 %[/bold] of " + "many words " * 20
    ConsoleProgress().note(text)
    assert capsys.readouterr() == ("", f"note: {text}\n")


def test_silence_takes_steps_and_notes_and_shows_neither(capsys):
    with NullProgress().task("fitting", None) as advance:
        assert advance(4) is None
    NullProgress().note("a note")
    assert capsys.readouterr() == ("", "")


def test_counts_begin_at_nothing():
    assert (Count().good, Count().anomalous, Count().unread) == (0, 0, 0)


def test_photographs_are_listed_before_any_is_inspected(tmp_path, capsys):
    """A folder that is not there stops the command before it has printed half of its lines."""
    path = write(tmp_path / "a.png", photograph(20))
    with pytest.raises(DataError, match="nothing of that name"):
        inspect(path, tmp_path / "nowhere")
    assert capsys.readouterr().out == ""


def test_overlays_show_the_photograph_that_was_inspected(tmp_path):
    image = photograph(20, blue=77)
    write(tmp_path / "in" / "a.png", image)
    inspect(tmp_path / "in", overlays=tmp_path / "out")
    picture = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert (picture[-10, 10] == image[-1, 1]).all()


def test_overlays_of_several_folders_lie_in_folders_of_their_names(tmp_path):
    given = [tmp_path / "A" / "x", tmp_path / "B" / "x"]
    images = [(folder / "1.png", folder) for folder in given]
    below = PathsBelow(given)
    assert [below.of(*pair).as_posix() for pair in images] == ["A/x/1.png", "B/x/1.png"]
    siblings = PathsBelow([tmp_path / "A", tmp_path / "B"])
    assert siblings.of(tmp_path / "A" / "x" / "1.png", tmp_path / "A") == Path("A/x/1.png")
    assert below.of(tmp_path / "9.png", tmp_path / "9.png") == Path("9.png")


def test_sorted_copies_of_several_folders_lie_in_folders_of_their_names(tmp_path):
    for name, score in (("A", 20), ("B", 200)):
        write(tmp_path / name / "x" / "1.png", photograph(score))
    inspect(tmp_path / "A" / "x", tmp_path / "B" / "x", sort_into=tmp_path / "sorted")
    found = sorted(
        p.relative_to(tmp_path / "sorted").as_posix() for p in tmp_path.glob("sorted/**/*.png")
    )
    assert found == ["NG/B/x/1.png", "OK/A/x/1.png"]


def test_the_same_command_again_inspects_no_overlay(tmp_path, capsys):
    for name, score in (("a.png", 20), ("b/c.png", 200)):
        write(tmp_path / "in" / name, photograph(score))
    out = tmp_path / "in" / "overlays"
    counts = [inspect(tmp_path / "in", overlays=out) for _ in range(3)]
    assert counts == [Count(good=1, anomalous=1)] * 3
    drawn = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert drawn == ["a.png", "b/c.png"]
    write(out / "new.png", photograph(20))  # a photograph is one wherever it lies
    assert inspect(tmp_path / "in", overlays=out).good == 2


def test_the_same_command_again_inspects_no_sorted_copy(tmp_path, capsys):
    for name, score in (("a.png", 20), ("b/c.png", 200)):
        write(tmp_path / "in" / name, photograph(score))
    copies = tmp_path / "in" / "sorted"
    for _ in range(3):
        assert inspect(tmp_path / "in", sort_into=copies) == Count(good=1, anomalous=1)
    found = [p.relative_to(copies).as_posix() for p in copies.rglob("*.png")]
    assert sorted(found) == ["NG/b/c.png", "OK/a.png"]
    note = f"note: {tmp_path / 'in'}: 2 sorted copies are not inspected"
    assert capsys.readouterr().err.splitlines() == [note, note]
    assert inspect(copies / "NG", sort_into=copies).anomalous == 1  # it was given by name


def test_overlays_next_to_their_photographs_are_written_again(tmp_path):
    source = tmp_path / "in" / "a.bmp"
    write(source, photograph(200))
    for _ in range(2):
        count = inspect(tmp_path / "in", overlays=tmp_path / "in")
        assert count == Count(anomalous=1)
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["a.bmp", "a.png"]
    Image.open(tmp_path / "in" / "a.png").load()  # the remark in it does no harm


def test_files_that_are_not_read_are_named_and_count_as_not_inspected(tmp_path, capsys):
    write(tmp_path / "in" / "a.png", photograph(20))
    write(tmp_path / "in" / "masks" / "a.png", np.zeros((32, 40), np.uint8))
    for name in ("n.mov", "z.pdf", "README.txt"):
        (tmp_path / "in" / name).write_bytes(b"x")
    count = inspect(tmp_path / "in")
    out, err = capsys.readouterr()
    assert count == Count(good=1, unread=2)
    assert out.splitlines()[-1] == "1 good, 0 anomalous, 2 not readable"
    assert err.splitlines() == [
        f"note: {tmp_path / 'in'}: 1 mask is not inspected (masks)",
        f"{tmp_path / 'in'}: 2 files not read: n.mov, z.pdf",
    ]
