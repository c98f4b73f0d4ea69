"""Which mask belongs to which photograph, wherever the masks lie and however they are named."""

import pytest

from patchbank.datasets import find_categories, find_dataset
from patchbank.errors import DataError
from tests.fake_datasets import BLACK, GREY, MARKED, photos
from tests.photographs import save


def plates(root, photographs, masks):
    """A data set with one good photograph, and files at paths below its folder."""
    for name in ("good/0.png", *photographs):
        save(root / name, GREY)
    for name in masks:
        save(root / name, MARKED)
    return root


def matched(root):
    """Photographs of defects -> masks, below the folder."""
    return {
        sample.path.relative_to(root).as_posix(): sample.mask
        and sample.mask.relative_to(root).as_posix()
        for sample in find_dataset(root).samples
        if sample.is_defect
    }


@pytest.mark.parametrize(
    "mask",
    [
        "mask/crack/1.png",
        "masks/crack/1_mask.png",
        "ground_truth/crack/1_GT.PNG",
        "GT/Crack/mask_1.png",
        "Ground-Truth/CRACK/1.bmp",
        "label/1.png",
        "mask/1_mask.png",
        "crack/1_mask.png",
        "crack/1_gt.png",
        "crack/mask-1.bmp",
        "crack/1.bmp",
        "crack/masks/1.png",
        "crack_mask/1.png",
        "Crack_GT/1_gt.png",
        "mask/crack_mask/1.png",
        "annotations/crack/1.tif",
        "mask/crack/1.png.bmp",
        "mask/crack/1.png_mask.png",
    ],
)
def test_a_mask_is_found_wherever_it_lies(tmp_path, mask):
    root = plates(tmp_path, ["crack/1.png"], [mask])
    assert matched(root) == {"crack/1.png": mask}
    found = find_dataset(root)
    assert found.has_masks
    assert found.lines == []
    assert {sample.label for sample in found.samples} == {"good", "crack"}


@pytest.mark.parametrize("truth", ["ground_truth", "Masks", "test/ground_truth", "test/gt"])
def test_so_is_one_of_a_data_set_with_a_folder_test(tmp_path, truth):
    for name in ("train/good/0.png", "test/good/0.png", "test/crack/a/1.png"):
        save(tmp_path / name, GREY)
    save(tmp_path / truth / "crack" / "a" / "1_mask.png", MARKED)
    assert matched(tmp_path) == {"test/crack/a/1.png": f"{truth}/crack/a/1_mask.png"}
    (category,) = find_categories(tmp_path)
    assert category.test.has_masks


@pytest.mark.parametrize(
    ("photograph", "mask"),
    [
        ("images/crack/1.png", "masks/crack/1.png"),
        ("crack/images/1.png", "crack/masks/1.png"),
        ("crack/Imgs/1.jpg", "crack/Imgs/1.png"),
        ("crack/cam1/1.png", "crack/cam1/mask/1.png"),
    ],
)
def test_folders_that_say_only_that_there_are_photographs_may_lie_between(
    tmp_path, photograph, mask
):
    good = "images/good/0.png" if photograph.startswith("images/") else "good/0.png"
    for name in (good, photograph):
        save(tmp_path / name, GREY)
    save(tmp_path / mask, MARKED)
    assert matched(tmp_path) == {photograph: mask}


def test_evaluating_the_folder_test_finds_the_masks_next_to_it(tmp_path):
    save(tmp_path / "test" / "good" / "0.png", GREY)
    save(tmp_path / "test" / "crack" / "1.png", GREY)
    mask = save(tmp_path / "ground_truth" / "crack" / "1_mask.png", MARKED)
    assert [s.mask for s in find_dataset(tmp_path / "test").samples] == [mask, None]


def test_masks_of_two_defects_are_not_mixed_up(tmp_path):
    root = plates(
        tmp_path, ["crack/1.png", "dent/1.png"], ["mask/crack/1.png", "mask/dent/1_mask.png"]
    )
    assert matched(root) == {
        "crack/1.png": "mask/crack/1.png",
        "dent/1.png": "mask/dent/1_mask.png",
    }


def test_a_mask_that_could_belong_to_two_photographs_is_refused(tmp_path):
    root = plates(tmp_path, ["crack/1.png", "dent/1.png"], ["mask/1.png"])
    with pytest.raises(DataError) as caught:
        find_dataset(root)
    assert str(caught.value) == (
        f"{root / 'mask' / '1.png'}: expected the mask of one photograph, got that of crack/1.png "
        "and dent/1.png; put the masks in folders that are named like those of the photographs"
    )


@pytest.mark.parametrize(
    "masks",
    [
        ("ground_truth/crack/1.png", "ground_truth/crack/1_mask.png"),
        ("ground_truth/crack/1.png", "masks/crack/1.png"),
        ("crack/1_mask.png", "mask/crack/1.png"),
    ],
)
def test_a_photograph_with_two_masks_is_refused(tmp_path, masks):
    root = plates(tmp_path, ["crack/1.png"], masks)
    with pytest.raises(DataError) as caught:
        find_dataset(root)
    assert str(caught.value) == (
        f"{root / 'crack' / '1.png'}: expected one mask, got {masks[0]}, {masks[1]}; "
        "remove the wrong ones"
    )


def test_photographs_without_a_mask_and_masks_without_a_photograph_are_counted(tmp_path):
    photographs = [f"crack/{i}.png" for i in range(1, 5)]
    root = plates(tmp_path, photographs, [f"mask/crack/{i}.png" for i in (1, 3, 4, 9)])
    found = find_dataset(root)
    assert found.lines == [
        "3 of 4 defect photographs have masks; none for crack/2.png",
        "1 mask belongs to no photograph: mask/crack/9.png",
    ]
    assert not found.has_masks


def test_masks_of_which_none_has_the_name_of_a_photograph_are_counted(tmp_path):
    root = plates(tmp_path, [f"crack/a{i}.png" for i in range(7)], ["mask/crack/b.png"])
    assert find_dataset(root).lines == [
        "0 of 7 defect photographs have masks; none for "
        "crack/a0.png, crack/a1.png, crack/a2.png, crack/a3.png, crack/a4.png and 2 more",
        "1 mask belongs to no photograph: mask/crack/b.png",
    ]


def test_black_masks_of_good_photographs_are_no_remark(tmp_path):
    root = plates(tmp_path, ["crack/1.png"], ["mask/crack/1.png"])
    save(tmp_path / "mask" / "good" / "0.png", BLACK)
    assert find_dataset(root).lines == []


def test_without_any_mask_there_is_no_remark(tmp_path):
    assert find_dataset(plates(tmp_path, ["crack/1.png"], [])).lines == []


def test_a_folder_that_says_good_among_other_words_is_not_taken_for_a_defect(tmp_path):
    root = plates(tmp_path, ["crack/1.png", "good_lighting/2.png"], [])
    with pytest.raises(DataError, match="good_lighting: expected a name that says good .* rename"):
        find_dataset(root)


def test_photographs_in_no_folder_are_counted_and_those_of_other_kinds_named(tmp_path):
    root = plates(tmp_path, ["crack/1.png", "loose.png"], [])
    (root / "crack" / "2.mov").write_bytes(b"film")
    found = find_dataset(root)
    assert found.lines == [
        f"{root}: 1 photograph lies in no folder of a label, such as loose.png",
        "1 file not read: 2.mov",
    ]
    assert len(found.samples) == 2


def test_what_systems_leave_behind_is_no_defect(tmp_path):
    root = plates(tmp_path, ["crack/1.png", "@eaDir/crack/1.png", "#recycle/9.png"], [])
    photos(root / "crack" / "@eaDir", "1.png")
    assert matched(root) == {"crack/1.png": None}
