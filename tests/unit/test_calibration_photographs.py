"""Photographs that a network is quantised with: spread over all, and read like those of a fit."""

import numpy as np
import pytest

from patchbank import Ensemble, PaDiM, PatchCore, PhotographWarning
from patchbank.backbones import quantisation
from patchbank.cli.statuses import Exit
from patchbank.errors import ImageError
from patchbank.training.quantising import MOST_PHOTOGRAPHS, evenly
from tests.onnx_files import write_onnx
from tests.photographs import part, save
from tests.unit.test_cli import run

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
NOT_CHOSEN = (4, 9, 19)
"""Numbers of 40 photographs that are not among the 32."""


@pytest.fixture
def backbone(tmp_path):
    record = {"mean": [0.5] * 3, "std": [0.5] * 3}
    return write_onnx(tmp_path / "a.onnx", record=record)


@pytest.fixture
def recipe(backbone):
    return PatchCore(backbone=backbone, image_size=64, bank_limit=40)


def good_folder(root, n, *, cut=(), rubbish=()):
    """Photographs, of which some end in the middle, and some are none."""
    for number in range(n):
        path = save(root / f"{number:02}.png", part(number, size=(64, 96)))
        if number in cut:
            path.write_bytes(path.read_bytes()[:3000])
        if number in rubbish:
            path.write_bytes(b"rubbish")
    return root


def error_of(recipe, good, precision):
    with pytest.raises(ImageError) as caught:
        recipe.fit(good, precision=precision)
    return str(caught.value)


@pytest.mark.parametrize("n", [1, 5, 31, 32, 33, 40, 63, 64, 65, 320])
def test_so_many_photographs_are_chosen_as_there_may_be_and_all_of_fewer(n):
    chosen = evenly(range(n), MOST_PHOTOGRAPHS)
    assert len(chosen) == min(n, MOST_PHOTOGRAPHS) == len(set(chosen))
    assert chosen[0] == 0
    steps = np.diff([*chosen, n])
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


def test_those_that_are_not_chosen_of_forty_are_what_other_tests_take_them_for():
    assert not {*evenly(range(40), MOST_PHOTOGRAPHS)} & {*NOT_CHOSEN}


@pytest.mark.parametrize(
    ("cut", "rubbish"),
    [
        pytest.param((), (0, 5), id="first"),
        pytest.param((1, 20), (), id="cut"),
        pytest.param((), NOT_CHOSEN, id="rubbish-not-chosen"),
        pytest.param((NOT_CHOSEN[0],), (30,), id="one-of-both"),
        pytest.param((NOT_CHOSEN[0], 30), (NOT_CHOSEN[2],), id="all-kinds"),
    ],
)
def test_unreadable_photographs_are_named_at_once_and_before_the_quantisation(
    recipe, tmp_path, monkeypatch, cut, rubbish
):
    good = good_folder(tmp_path / "good", 40, cut=cut, rubbish=rubbish)
    expected = error_of(recipe, good, "float32")
    assert f"expected 40 photographs that can be read, got {len(cut + rubbish)} that" in expected
    assert "repair them, or leave them out (skip_unreadable, --skip-unreadable)" in expected
    assert all(f"{number:02}.png" in expected for number in (*cut, *rubbish))

    def begun(*_):
        raise AssertionError("the quantisation has begun")

    monkeypatch.setattr(quantisation, "quantised", begun)
    assert error_of(recipe, good, "int8") == expected


def test_photographs_that_end_in_the_middle_are_named_alike_wherever_they_are(recipe, tmp_path):
    """The headers of those that are not chosen are sound, so that only the fit finds them."""
    good = good_folder(tmp_path / "good", 40, cut=NOT_CHOSEN)
    expected = error_of(recipe, good, "float32")
    assert "got 3 that cannot" in expected
    assert error_of(recipe, good, "int8") == expected


@pytest.mark.parametrize("number", [0, 2], ids=["first", "last"])
def test_a_single_unreadable_photograph_is_named_as_in_float32(recipe, tmp_path, number):
    good = good_folder(tmp_path / "good", 3, rubbish=[number])
    assert error_of(recipe, good, "int8") == error_of(recipe, good, "float32")


def test_files_beside_arrays_and_members_of_an_ensemble_are_named_alike(backbone, tmp_path):
    """As a user has them: three arrays, and two files that are no photographs."""
    folder = good_folder(tmp_path / "files", 2, rubbish=(0, 1))
    images = [*(part(seed, size=(64, 96)) for seed in range(3)), *sorted(folder.iterdir())]
    settings = {"backbone": backbone, "image_size": 64}
    recipe = Ensemble([PatchCore(**settings), PaDiM(**settings)])
    expected = error_of(recipe, images, "float32")
    assert "expected 5 photographs that can be read, got 2 that cannot; repair them" in expected
    assert error_of(recipe, images, "int8") == expected


def test_unreadable_photographs_are_left_out_of_the_quantisation_if_that_is_asked(recipe, tmp_path):
    good = good_folder(tmp_path / "good", 8, cut=[3], rubbish=[0, 5])
    with pytest.warns(PhotographWarning) as warned:
        detector = recipe.fit(good, skip_unreadable=True, precision="int8")
    lines = [str(w.message) for w in warned if w.category is PhotographWarning]
    left_out = [line for line in lines if "0" in line and ".png: expected" in line]
    assert [line.split(": ")[1][-6:] for line in left_out] == ["00.png", "03.png", "05.png"]
    assert detector.fitted_on == ("01.png", "02.png", "04.png", "06.png", "07.png")
    same = recipe.fit([good / name for name in detector.fitted_on], precision="int8")
    ours, theirs = (each.members[0].extractor.content for each in (detector, same))
    assert ours == theirs
    assert detector.predict(part(9)).score == same.predict(part(9)).score


def test_the_command_says_the_same_in_both_precisions(capsys, tmp_path, backbone):
    good = good_folder(tmp_path / "good", 6, rubbish=(1, 4))
    options = ["--backbone", backbone, "--image-size", "64", "--false-alarm-rate", "0.25"]
    found = {}
    for precision in ("float32", "int8"):
        out = tmp_path / f"{precision}.patchbank"
        given = ("fit", good, "--out", out, *options, "--precision", precision)
        found[precision] = run(capsys, *given)[::2]
        assert not out.exists()
        status, _, remarks = run(capsys, *given, "--skip-unreadable")
        assert status == Exit.INCOMPLETE
        named = [line for line in remarks.splitlines() if "expected a PNG, JPEG" in line]
        assert ["01.png" in named[0], "04.png" in named[1], len(named)] == [True, True, 2]
        assert out.exists()
    status, remarks = found["float32"]
    assert status == Exit.WRONG
    assert len(remarks.splitlines()) == 1
    assert "leave them out (skip_unreadable, --skip-unreadable)" in remarks
    assert found["int8"] == (status, remarks)
