"""`patchbank check`: what is wrong with photographs before anything is learned of them."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

from patchbank import check_photographs
from patchbank.check.report import write_check_report
from patchbank.cli.app import main
from patchbank.errors import DataError, ParameterError
from tests.photographs import part, save, write_dataset
from tests.unit.test_copies import surface


def of_kind(check, kind):
    finding = check.finding(kind)
    return [] if finding is None else sorted(finding.names)


def quick(folder, **options):
    return check_photographs(folder, scores=False, **options)


@pytest.fixture
def plates(tmp_path):
    for number in range(20):
        save(tmp_path / "plates" / f"{number:02}.png", part(number))
    return tmp_path / "plates"


def test_a_clean_folder_has_no_finding(plates):
    check = check_photographs(plates)
    assert check.findings == ()
    assert check.accused == set()
    assert (check.n_good, check.n_test) == (20, 0)


def save_blurred(plates):
    picture = Image.fromarray(part(40)).filter(ImageFilter.GaussianBlur(3))
    picture.save(plates / "odd.png")


PLANTED = {
    "size": lambda plates: save(plates / "odd.png", part(40, size=(50, 60))),
    "mode": lambda plates: Image.fromarray(part(40)).convert("RGBA").save(plates / "odd.png"),
    "bit_depth": lambda plates: Image.fromarray(part(40)[..., 0].astype(np.uint16) * 257).save(
        plates / "odd.png"
    ),
    "format": lambda plates: Image.fromarray(part(40)).save(plates / "odd.bmp"),
    "black": lambda plates: save(plates / "odd.png", part(40) // 20),
    "one_colour": lambda plates: save(plates / "odd.png", np.full((72, 104, 3), 90, np.uint8)),
    "saturated": lambda plates: save(
        plates / "odd.png", np.clip(part(40).astype(int) * 4, 0, 255).astype(np.uint8)
    ),
    "blurred": save_blurred,
}


@pytest.mark.parametrize("kind", PLANTED)
def test_an_odd_photograph_is_named_and_no_other_one(plates, kind):
    PLANTED[kind](plates)
    check = quick(plates)
    assert [name[:3] for name in of_kind(check, kind)] == ["odd"]
    assert len(check.accused) == 1
    assert check.finding(kind).details[check.accused.pop()]


def test_a_jpeg_of_another_quality_is_named(tmp_path):
    for number in range(20):
        quality = 40 if number == 7 else 92
        Image.fromarray(part(number)).save(tmp_path / f"{number:02}.jpg", quality=quality)
    details = quick(tmp_path).finding("compression").details
    assert details["07.jpg"] == "JPEG of quality 40, most 92"
    assert len(details) == 1


@pytest.mark.parametrize(("n_jpeg", "accused"), [(10, 0), (3, 3)])
def test_a_mixed_set_is_a_note_that_accuses_nobody(tmp_path, n_jpeg, accused):
    for number in range(20):
        ending = ".jpg" if number < n_jpeg else ".png"
        Image.fromarray(part(number)).save(tmp_path / f"{number:02}{ending}", quality=100)
    check = quick(tmp_path)
    assert len(of_kind(check, "format")) == accused
    noted = [note for note in check.notes if note.startswith("several kinds of file formats")]
    assert len(noted) == (accused == 0)


def test_a_defect_and_another_part_are_told_apart(tmp_path):
    for number in range(24):
        save(tmp_path / f"{number:02}.png", part(number))
    save(tmp_path / "defect.png", part(50, defect=9))
    save(tmp_path / "other.png", surface(1, (72, 104)))
    check = check_photographs(tmp_path)
    assert "defect.png" in of_kind(check, "unlike_others")
    assert of_kind(check, "wrong_part") == ["other.png"]


def test_files_that_show_nothing_are_all_named_with_the_reason(plates):
    for number in range(30):
        (plates / f"broken{number:02}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (plates / f"film{number:02}.mov").write_bytes(b"film")
    check = quick(plates)
    content = {finding["kind"]: finding for finding in check.to_json()["findings"]}
    assert len(content["unreadable"]["photographs"]) == 30
    assert len(content["skipped"]["photographs"]) == 30
    assert all(one["detail"] for one in content["unreadable"]["photographs"])


def test_copies_are_grouped(plates):
    shutil.copy(plates / "03.png", plates / "copy.png")
    Image.open(plates / "03.png").save(plates / "again.bmp")
    (group,) = quick(plates).finding("exact_copies").groups
    assert sorted(group) == ["03.png", "again.bmp", "copy.png"]


def test_copies_in_the_test_set_and_conflicting_labels_are_named(tmp_path):
    root = write_dataset(tmp_path, n_train=8)
    shutil.copy(root / "train" / "good" / "002.png", root / "test" / "good" / "x.png")
    shutil.copy(root / "train" / "good" / "005.png", root / "test" / "blot" / "y.png")
    check = quick(root)
    assert check.n_test == 10
    assert of_kind(check, "shared_with_test") == [
        "005.png",
        "train/good/002.png",
        "x.png",
        "y.png",
    ]
    assert of_kind(check, "conflicting_labels") == ["005.png", "y.png"]


def test_a_folder_without_labels_is_a_test_set_too(plates, tmp_path):
    save(tmp_path / "new" / "a.png", part(3))
    save(tmp_path / "new" / "b.png", part(300))
    check = quick(plates, test=tmp_path / "new")
    assert of_kind(check, "shared_with_test") == ["03.png", "a.png"]
    assert check.finding("conflicting_labels") is None


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_photographs_have_notes_about_what_cannot_be_said(tmp_path, count):
    for number in range(count):
        save(tmp_path / f"{number}.png", part(number))
    check = check_photographs(tmp_path)
    assert check.findings == ()
    assert any(f"there are {count}" in note for note in check.notes)


def test_a_list_of_arrays_is_checked_too():
    images = [part(number) for number in range(6)]
    (group,) = quick([*images, images[2].copy()]).finding("exact_copies").groups
    assert group == ("array 2", "array 6")


def test_no_readable_photograph_is_an_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="expected photographs that can be read"):
        quick(tmp_path)
    with pytest.raises(ParameterError, match="device"):
        quick(tmp_path, device="abacus")


def run(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["patchbank", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    return stopped.value.code, *capsys.readouterr()


def test_the_command_prints_the_findings_and_ends_with_status_one(capsys, plates, tmp_path):
    shutil.copy(plates / "03.png", plates / "copy.png")
    target, report = tmp_path / "check.json", tmp_path / "report"
    options = ("--skip-scores", "--json", target, "--report", report)
    status, out, err = run(capsys, "check", plates, *options)
    assert status == 1
    assert "21 photographs to learn from: 2 to decide about" in out
    assert "2 the same to the pixel as another one, in 1 group: 03.png = copy.png" in out
    assert "keep one of each group" in out
    assert f"report: {report / 'index.html'}" in err
    (finding,) = json.loads(target.read_text())["findings"]
    assert finding["groups"] == [["03.png", "copy.png"]]


def test_a_clean_folder_ends_with_status_zero(capsys, plates):
    status, out, _ = run(capsys, "check", plates, "--skip-scores")
    assert (status, out) == (0, "20 photographs to learn from: nothing found\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("check", "nowhere"), "nowhere"),
        (("check", "{plates}", "--report", "{plates}/page"), "--report: expected a folder outside"),
        (("check", "{plates}", "--test", "nowhere"), "nowhere"),
    ],
)
def test_wrong_use_is_one_line_and_status_two(capsys, plates, arguments, line):
    status, out, err = run(capsys, *(text.format(plates=plates) for text in arguments))
    assert (status, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1


def test_the_page_holds_all_pictures_and_shows_names_as_text(plates, tmp_path):
    shutil.copy(plates / "03.png", plates / "a<b>.png")
    (plates / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page = write_check_report(quick(plates), tmp_path / "page").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert "a&lt;b&gt;.png" in page
    assert "broken.png" in page
    assert "A fit would stop at what cannot be read: mend that first." in page
    assert '<p class="verdict" data-state="unread">' in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_the_page_says_first_whether_a_fit_can_follow(plates, tmp_path):
    clean = write_check_report(quick(plates), tmp_path / "page").read_text()
    assert '<p class="verdict" data-state="ok">' in clean
    assert "Nothing was found. Go on with the fit." in clean
    assert "<b>0</b>to decide about</div>" in clean
    shutil.copy(plates / "03.png", plates / "copy.png")
    found = write_check_report(quick(plates), tmp_path / "page").read_text()
    assert "1 finding about 2 photographs or files. A fit can follow; decide about them" in found
    assert "<b>2</b>to decide about</div>" in found
