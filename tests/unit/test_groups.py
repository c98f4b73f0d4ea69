"""Photographs that belong together: by folder, name, table, list, copies and series."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from patchbank import PatchbankError, PatchCore
from patchbank.datasets import training_images
from patchbank.errors import DataError, ParameterError, PhotographWarning
from patchbank.images.source import image_source
from patchbank.training.groups import joined, labels_of
from tests.photographs import part, parts, save

RECIPE = PatchCore(
    backbone="efficientnet_lite0", image_size=64, bank_limit=200, false_alarm_rate=0.2
)

QUIET = pytest.mark.filterwarnings(
    "ignore::patchbank.errors.PhotographWarning", "ignore::patchbank.errors.CalibrationWarning"
)


def sources(*names):
    return [image_source(name) for name in names]


def numbers(asked, *names):
    return labels_of(asked, sources(*names)).numbers.tolist()


def test_photographs_of_a_subfolder_belong_together():
    names = ["g/a/1.png", "g/a/2.png", "g/b/1.png", "g/3.png"]
    assert numbers("subfolders", *names) == [0, 0, 1, 2]


def test_six_subfolders_are_taken_by_themselves_and_five_are_not():
    names = [f"g/day{day}/{i}.png" for day in range(6) for i in range(2)]
    six, five = (labels_of("auto", sources(*some)) for some in (names, names[:10]))
    assert six.numbers.tolist() == [day for day in range(6) for _ in range(2)]
    assert not six.finds_series
    assert "by subfolder, 6 of them" in six.lines[0]
    assert "--groups none" in six.lines[0]
    assert five.numbers.tolist() == list(range(10))
    assert five.finds_series
    assert "5 subfolders (day0, day1, day2, day3, day4)" in five.lines[0]
    assert "--groups subfolders" in five.lines[0]


def test_a_flat_folder_and_a_folder_for_each_photograph_have_no_groups():
    for names in (["g/1.png", "g/2.png"], [f"g/{i}/photo.png" for i in range(9)]):
        found = labels_of("auto", sources(*names))
        assert found.numbers.tolist() == list(range(len(names)))
        assert (found.finds_series, found.lines) == (True, ())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (r"part(\d+)", [0, 0, 1]),  # the first group of the expression
        (r"part\d+", [0, 0, 1]),  # without one, what is found
        (r"_[ab]", [0, 1, 0]),
        (r"(left|right)/", [0, 1, 1]),  # with a slash, in the path
    ],
)
def test_an_expression_finds_the_groups_in_names(expression, expected):
    names = ["g/left/part1_a.png", "g/right/part1_b.png", "g/right/part22_a.png"]
    assert numbers(expression, *names) == expected


def test_an_expression_is_searched_in_names_not_in_folders():
    assert numbers(r"^\d+", "7/1a.png", "7/1b.png", "7/2a.png") == [0, 0, 1]


def test_names_that_an_expression_does_not_match_are_errors():
    with pytest.raises(DataError, match=r"groups: .* got 2 of 3 that do not: x.png, y.png"):
        numbers(r"part(\d+)", "g/part1.png", "g/x.png", "g/y.png")
    with pytest.raises(DataError, match="got 2 of 3 that do not: part.png, x.png"):
        numbers(r"part(\d+)?", "g/part1.png", "g/part.png", "g/x.png")


def test_a_group_that_takes_no_part_in_a_match_is_named():
    with pytest.raises(DataError) as raised:
        numbers(r"(x)?part", "g/part1.png", "g/xpart2.png")
    assert str(raised.value) == (
        "groups: expected names in which the first group of '(x)?part' takes a part, got 1 of 2 "
        "that match without it: part1.png; write (?:...) for what is no group"
    )
    assert numbers(r"(?:x)?part", "g/part1.png", "g/xpart2.png") == [0, 1]


def test_what_is_no_expression_is_refused():
    with pytest.raises(
        ParameterError, match=r"groups: expected auto, none, subfolders, series or a reg"
    ):
        numbers("part(", "g/part1.png")


def test_one_group_of_all_is_an_error_where_it_was_asked_for():
    with pytest.raises(DataError, match=r"groups: expected at least 2.*got 1 of all 2 .*\(part\)"):
        numbers("part", "g/part1.png", "g/part2.png")
    with pytest.raises(DataError, match="expected at least 2"):
        numbers("subfolders", "g/part1.png", "g/part2.png")
    assert numbers("part", "g/part1.png") == [0]  # of one photograph nothing is left out anyway


def test_a_list_has_the_group_of_each_photograph():
    assert numbers(["x", 3, "x"], "a.png", "b.png", "c.png") == [0, 1, 0]
    with pytest.raises(ParameterError, match="one label for each of 3 photographs, got 2"):
        numbers(["x", "y"], "a.png", "b.png", "c.png")
    with pytest.raises(ParameterError, match="expected texts or numbers, got list"):
        numbers([[1], [2]], "a.png", "b.png")
    with pytest.raises(ParameterError, match="a label for each photograph, got NoneType"):
        numbers(None, "a.png", "b.png")


def test_photographs_without_a_name_have_no_groups_by_name():
    arrays = [image_source(image) for image in parts(3)]
    with pytest.raises(ParameterError, match="expected files for 'subfolders'"):
        labels_of("subfolders", arrays)
    assert labels_of("auto", arrays).numbers.tolist() == [0, 1, 2]


def test_groups_that_share_a_photograph_are_joined():
    one, other = np.array([0, 0, 1, 2, 3, 3]), np.array([5, 6, 6, 7, 8, 9])
    assert joined(one, other).tolist() == [0, 0, 0, 1, 2, 2]
    assert joined(np.array([4, 2, 4])).tolist() == [0, 1, 0]


def table(root, rows):
    """Write photographs and a table of them."""
    lines = ["path,label,split,group"]
    for number, group in enumerate(rows):
        save(root / f"{number}.png", part(number))
        lines.append(f"{number}.png,good,train,{group}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return root / "table.csv"


@QUIET
def test_a_column_of_a_table_has_the_groups(tmp_path):
    path = table(tmp_path, ["lot1", "lot2", "lot1", "", "lot2"])
    found = training_images(path)
    assert found.groups == ("lot1", "lot2", "lot1", None, "lot2")
    with pytest.warns(PhotographWarning, match="3 groups of photographs are few"):
        detector = RECIPE.fit(path)
    assert detector.calibration.groups.tolist() == [0, 1, 0, 2, 1]
    assert RECIPE.fit(path, groups="none").calibration.groups is None


def test_groups_of_two_tables_are_never_one(tmp_path):
    one, other = (table(tmp_path / name, ["1", "1", "2"]) for name in "ab")
    assert len(set(training_images([one, other]).groups)) == 4
    assert training_images([one, tmp_path / "b" / "0.png"]).groups[-1] is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight parts, each as two photographs with noise of their own."""
    root = tmp_path_factory.mktemp("pairs")
    for number in range(8):
        for view in range(2):
            noise = np.random.default_rng(100 * view + number).normal(0, 2, (72, 104, 1))
            image = np.clip(part(number).astype(float) + noise, 0, 255).astype(np.uint8)
            save(root / f"{number}{'ab'[view]}.png", image)
    return root


@QUIET
def test_photographs_of_a_group_are_scored_without_each_other(folder):
    alone = RECIPE.fit(folder, groups="none").calibration
    pairs = RECIPE.fit(folder, groups=r"^(\d)").calibration
    assert pairs.groups.tolist() == [number // 2 for number in range(16)]
    assert (pairs.n_groups, alone.n_groups) == (8, 16)
    assert (pairs.image_scores >= alone.image_scores).all()
    assert pairs.threshold > alone.threshold
    listed = RECIPE.fit(folder, groups=[number // 2 for number in range(16)]).calibration
    assert (listed.image_scores == pairs.image_scores).all()


@pytest.mark.parametrize("method", ["padim", "spade"])
def test_exact_copies_leave_the_threshold_as_it_is(tmp_path, method):
    from patchbank import SPADE, PaDiM

    recipe = {"padim": PaDiM, "spade": SPADE}[method](
        backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2
    )
    for number in range(8):
        path = save(tmp_path / "once" / f"{number}.png", part(number))
        shutil.copytree(path.parent, tmp_path / "twice", dirs_exist_ok=True)
        Image.open(path).save(tmp_path / "twice" / f"copy of {number}.bmp")
    once = recipe.fit(tmp_path / "once").calibration
    line = "8 of 16 photographs are the same as another one, to the pixel, and left out with it"
    with pytest.warns(PhotographWarning, match=line):
        twice = recipe.fit(tmp_path / "twice").calibration
    assert twice.n_groups == 8
    assert twice.threshold == pytest.approx(once.threshold, rel=0.15)
    with pytest.raises(DataError, match="threshold: expected more than 0.*--groups auto"):
        recipe.fit(tmp_path / "twice", groups="none")


def test_copies_join_the_groups_that_a_user_gives(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "g")
    shutil.copy(tmp_path / "g" / "0a.png", tmp_path / "g" / "7c.png")
    with pytest.warns(PhotographWarning, match="same as another one"):
        found = RECIPE.fit(tmp_path / "g", groups=r"^(\d)").calibration.groups
    names = sorted(os.listdir(tmp_path / "g"))
    of = dict(zip(names, found.tolist(), strict=True))
    assert of["0a.png"] == of["0b.png"] == of["7a.png"] == of["7c.png"]
    assert len(set(found)) == 7


@QUIET
def test_copies_that_leave_one_group_are_an_error_or_are_left_out_one_at_a_time(tmp_path):
    """Two photographs and their copies: the pairs that a user gives are one through them."""
    for name, seed in (("1a", 1), ("1b", 2), ("2a", 1), ("2b", 2)):
        save(tmp_path / f"{name}.png", part(seed))
    with pytest.raises(DataError, match="got 1 of all 4 photographs, which are alike in name or c"):
        RECIPE.fit(tmp_path, groups=r"^(\d)")
    calibration = RECIPE.fit(tmp_path).calibration
    assert calibration.groups.tolist() == [0, 1, 0, 1]


@QUIET
def test_an_ensemble_leaves_the_same_groups_out_in_each_member(folder):
    from patchbank import Ensemble

    detector = Ensemble((RECIPE, RECIPE.with_changes(seed=1))).fit(folder, groups=r"^(\d)")
    assert detector.calibration.n_groups == 8


@QUIET
def test_the_groups_of_photographs_that_are_excluded_or_unreadable_leave_with_them(
    folder, tmp_path
):
    shutil.copytree(folder, tmp_path / "g")
    (tmp_path / "g" / "3a.png").write_bytes(b"no photograph")
    groups = [number // 2 for number in range(16)]
    with pytest.warns(PhotographWarning, match="left out"):
        found = RECIPE.fit(
            tmp_path / "g", groups=groups, exclude=["0a.png", "0b.png"], skip_unreadable=True
        )
    assert found.fitted_on[:3] == ("1a.png", "1b.png", "2a.png")
    assert found.calibration.groups.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    with pytest.raises(PatchbankError, match="expected at least 2"):
        RECIPE.fit(folder, groups=["a"] * 14 + ["b"] * 2, exclude=["7a.png", "7b.png"])


@QUIET
def test_an_expression_needs_to_match_the_photographs_that_stay_only(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "g")
    shutil.copy(tmp_path / "g" / "0a.png", tmp_path / "g" / "odd.png")
    with pytest.raises(DataError, match=r"got 1 of 17 that do not: odd\.png.*\(--exclude\)"):
        RECIPE.fit(tmp_path / "g", groups=r"^(\d)")
    found = RECIPE.fit(tmp_path / "g", groups=r"^(\d)", exclude=["odd.png"])
    assert found.calibration.groups.tolist() == [number // 2 for number in range(16)]


@QUIET
def test_a_photograph_that_lies_in_every_subfolder_does_not_join_all_of_them(tmp_path):
    for folder in range(6):
        save(tmp_path / f"{folder}" / "golden.png", part(50))
        save(tmp_path / f"{folder}" / "own.png", part(folder))
    line = "all 12 photographs would belong together .* only those in one subfolder are left out"
    with pytest.warns(PhotographWarning, match=line):
        calibration = RECIPE.fit(tmp_path).calibration
    assert calibration.groups.tolist() == [number // 2 for number in range(12)]
