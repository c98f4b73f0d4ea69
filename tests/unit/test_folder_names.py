"""What the names of folders and files say: good, bad, masks, or nothing of a user."""

import pytest

from patchbank.images.names import (
    is_bad,
    is_good,
    is_left_behind,
    is_mask_folder,
    is_neutral,
    says_good,
    without_mask_affix,
)


@pytest.mark.parametrize(
    "name",
    [
        *("good", "OK", "Normal", "ok_parts", "good-2024", "GoodParts", "pass", "no_defect"),
        *("defect-free", "Non_Defective", "without defects", "gut", "i.O.", "train_good"),
        *("normal_test", "sans défaut", "良品", "\uff4f\uff4b", "goods", "intact", "undamaged"),
        *(
            "无缺陷",
            "OK品",
            "정상",
            "جيد",
            "طبيعي",
            "годные",
            "ปกติ",
            "अच्छा",
            "sağlam",
            "sem defeito",
        ),
    ],
)
def test_names_of_good_photographs(name):
    assert is_good(name)
    assert says_good(name)
    assert not is_bad(name)


@pytest.mark.parametrize(
    "name",
    [
        *("NG", "ng", "nok", "NOK", "not_good", "NotGood", "not ok", "no-good", "n.i.O.", "KO"),
        *("defect", "Defects", "defective", "anomaly", "Anomalies", "abnormal", "anomalous"),
        *("bad", "BAD_parts", "rejects", "rejected", "failed", "fail", "faulty", "broken", "scrap"),
        *(
            "scratch",
            "cracks",
            "dent",
            "NG_2024-05",
            "01-bad",
            "Défauts",
            "Fehler",
            "不良",
            "\uff2e\uff27",
        ),
        *("\uff2e\uff27", "good_and_bad", "not normal", "parts_with_defects"),
        *("划痕", "次品", "NG品", "결함", "معيب", "брак", "ชำรุด", "खराब", "kusurlu", "no_goods"),
    ],
)
def test_names_of_defects(name):
    assert is_bad(name)
    assert not is_good(name)
    assert not says_good(name)


@pytest.mark.parametrize(
    "name",
    [
        *("monday", "2024-05-17", "camera 1", "lot_7", "front", "identity", "dental", "cracker"),
        *(
            "stainless",
            "book",
            "kong",
            "token",
            "normandy",
            "größe",
            "passport",
            "koala",
            "scraper",
        ),
    ],
)
def test_names_that_say_neither(name):
    assert not is_good(name)
    assert not is_bad(name)
    assert not says_good(name)


def test_a_name_that_says_good_among_other_words_is_not_sure():
    assert says_good("good_lighting")
    assert not is_good("good_lighting")


@pytest.mark.parametrize(
    "name",
    [
        *("mask", "Masks", "label", "LABELS", "gt", "GT", "ground_truth", "GroundTruth"),
        *("ground-truth masks", "annotations", "segmentation", "mask_dir", "defect_masks"),
    ],
)
def test_names_of_folders_of_masks(name):
    assert is_mask_folder(name)


@pytest.mark.parametrize("name", ["masked", "labeler", "ground", "unmasked", "gtx", "mask_holder"])
def test_other_names_mean_no_masks(name):
    assert not is_mask_folder(name)


@pytest.mark.parametrize(
    ("stem", "bare", "is_sure"),
    [
        ("000_mask", "000", True),
        ("000-GT", "000", True),
        ("mask_000", "000", True),
        ("part 7.ground_truth", "part 7", True),
        ("Part0_label", "Part0", False),
        ("x_seg", "x", False),
        ("000_regular_mask", "000_regular", True),
        ("a (mask)", "a", True),
        ("é_Masks", "é", True),
    ],
)
def test_a_mask_is_named_like_its_photograph_with_a_word_more(stem, bare, is_sure):
    assert without_mask_affix(stem) == (bare, is_sure)


@pytest.mark.parametrize("stem", ["000", "mask", "unmask", "gt", "damask", "000mask"])
def test_other_files_have_no_such_word(stem):
    assert without_mask_affix(stem) is None


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", ".Trash-1000"),
        *("__MACOSX", "._1.png", ".thumbnails", "lost+found", ".ipynb_checkpoints", ".git"),
        *("~$1.png", "1.png.part", "1.jpg.crdownload", "1.png~", "@Recycle", ".DS_Store"),
    ],
)
def test_what_systems_and_downloads_leave_behind(name):
    assert is_left_behind(name)


@pytest.mark.parametrize("name", ["1.png", "recycle", "trash", "part 1", "@1", "a.parts"])
def test_what_people_name_is_theirs(name):
    assert not is_left_behind(name)


def test_some_names_say_only_that_there_are_photographs():
    assert all(is_neutral(name) for name in ("Images", "imgs", "Photos 2", "test"))
    assert not any(is_neutral(name) for name in ("01", "bolts", "bolt images", "", "___"))
