"""Photographs that are taken out of a fit by their names."""

import sys

import pytest

from patchbank import PatchCore
from patchbank.cli.app import main
from patchbank.errors import DataError, PhotographWarning
from patchbank.images.source import image_source
from patchbank.training.exclusion import excluded
from tests.photographs import part, parts, save

RECIPE = PatchCore(
    backbone="efficientnet_lite0", image_size=64, bank_limit=200, false_alarm_rate=0.2
)
NAMES = ["left/01.png", "right/01.png", "02.png"]
PATHS = ["/data/left/01.png", "/data/right/01.png", "/data/right/02.png"]


def out(*asked):
    return excluded(asked, [image_source(path) for path in PATHS], NAMES)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("02.png", [False, False, True]),
        ("right/01.png", [False, True, False]),
        ("./right/01.png", [False, True, False]),
        ("/data/left/01.png", [True, False, False]),
    ],
)
def test_a_name_is_that_of_a_file_or_any_end_of_its_path(asked, expected):
    assert out(asked)[0] == expected


def test_a_name_of_several_takes_all_of_them_and_says_so():
    is_out, lines = out("01.png")
    assert is_out == [True, True, False]
    assert lines == [
        "2 photographs are not learned, as asked: left/01.png, right/01.png",
        "exclude 01.png stands for 2 photographs: left/01.png, right/01.png",
    ]


def test_nothing_asked_takes_nothing():
    assert out() == ([False] * 3, [])


def test_a_name_that_none_has_is_an_error_with_near_ones():
    with pytest.raises(DataError, match=r"got '03.png', which none has; did you mean 02.png"):
        out("03.png")
    with pytest.raises(DataError, match=r"got 'x' and 1 more, which none has; they are left/01.p"):
        out("x", "y", "02.png")
    with pytest.raises(DataError, match="none has"):  # an end of a name is no name
        out("1.png")


def test_all_photographs_cannot_be_taken_out():
    with pytest.raises(DataError, match="got all 3 excluded"):
        out("01.png", "02.png")


def test_a_photograph_that_is_taken_out_is_as_if_it_had_not_been_there(tmp_path):
    for number in range(6):
        save(tmp_path / "good" / f"{number}.png", part(number))
    save(tmp_path / "good" / "odd.png", part(9, defect=12))
    with pytest.warns(PhotographWarning, match="1 photograph is not learned, as asked: odd.png"):
        without = RECIPE.fit(tmp_path / "good", exclude=["odd.png"])
    (tmp_path / "good" / "odd.png").unlink()
    never = RECIPE.fit(tmp_path / "good")
    assert without.fitted_on == never.fitted_on
    assert (without.calibration.image_scores == never.calibration.image_scores).all()
    assert (without.members[0].model.bank == never.members[0].model.bank).all()


def test_arrays_are_called_by_their_numbers():
    with pytest.warns(PhotographWarning, match="array 2"):
        assert len(RECIPE.fit(parts(6), exclude=["array 2"]).fitted_on) == 5


def test_the_command_takes_several_names(tmp_path, capsys, monkeypatch):
    for number in range(7):
        save(tmp_path / "good" / f"{number}.png", part(number))
    command = ["patchbank", "fit", tmp_path / "good", "--out", tmp_path / "d.patchbank"]
    command += ["--preset", "fast", "--image-size", "64", "--false-alarm-rate", "0.2"]
    command += ["--exclude", "3.png", "--exclude", "5.png"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    said = capsys.readouterr()
    assert "5 good photographs" in said.out
    assert "2 photographs are not learned, as asked: 3.png, 5.png" in said.err
    monkeypatch.setattr(sys, "argv", [*map(str, command), "--exclude", "8.png"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "exclude: expected names of photographs, got '8.png'" in capsys.readouterr().err
