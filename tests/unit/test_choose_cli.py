"""`fit --preset auto`: its options, what it prints and writes, and `info` of its detector."""

import json
import re
from html import unescape

import numpy as np
import pytest

from patchbank import PatchCore, load
from patchbank.detector.settings_choice import SettingsChoice, SettingsTrial, value_text
from patchbank.runtime.progress import NullProgress
from tests.command_line import run, status_of
from tests.photographs import part, save
from tests.unit.test_json_schemas import check

SMALL = ["--backbone", "efficientnet_lite0", "--image-size", "64", "--bank-limit", "200"]
SMALL += ["--false-alarm-rate", "0.2"]


def good_folder(root, n=22):
    for seed in range(n):
        save(root / f"{seed:02}.png", part(seed))
    return str(root)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Folder with the photographs, the detector file and the page of a fit."""
    root = tmp_path_factory.mktemp("auto")
    good = good_folder(root / "good")
    arguments = ["fit", good, "--preset", "auto", "--out", str(root / "a.patchbank"), *SMALL]
    assert status_of(*arguments, "--report", str(root / "page")) == 0
    return root


def test_fit_prints_the_choice_and_a_table_of_what_was_tried_best_first(tmp_path, capsys):
    good = good_folder(tmp_path / "good")
    out = tmp_path / "a.patchbank"
    status, text, _ = run(capsys, "fit", good, "--preset", "auto", "--out", str(out), *SMALL)
    assert status == 0
    choice = load(out).settings_choice
    assert f"  settings: {choice.reason}\n" in text
    rows = re.findall(
        r"^    (patch_size.*?) +AUROC \d\.\d{3}, smoothed (\d\.\d{3})(  chosen)?$",
        text,
        re.MULTILINE,
    )
    assert len(rows) == 4
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert [bool(row[2]) for row in rows].count(True) == 1
    chosen = next(row for row in rows if row[2])
    assert chosen[0] == SettingsTrial(choice.chosen, None).text


def test_info_shows_the_choice_in_lines_and_as_json(fitted, capsys):
    path = str(fitted / "a.patchbank")
    choice = load(path).settings_choice
    _, text, _ = run(capsys, "info", path)
    assert "settings_choice\n" in text
    assert choice.reason in text
    assert text.count("AUROC 0.") + text.count("AUROC 1.") >= 4
    _, text, _ = run(capsys, "info", path, "--json", "-")
    assert json.loads(text)["settings_choice"] == choice.to_json()
    check("info", json.loads(text))


def test_info_of_a_detector_whose_settings_were_given_has_no_choice(tmp_path, capsys):
    path = str(tmp_path / "a.patchbank")
    given = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.3}
    PatchCore(**given, bank_rows=50).fit([part(seed) for seed in range(4)]).save(path)
    _, text, _ = run(capsys, "info", path, "--json", "-")
    assert json.loads(text)["settings_choice"] is None
    _, text, _ = run(capsys, "info", path)
    assert "AUROC" not in text


def test_the_page_has_the_choice_and_every_candidate(fitted):
    text = unescape((fitted / "page" / "index.html").read_text(encoding="utf-8"))
    choice = load(fitted / "a.patchbank").settings_choice
    section = text.split("<h2>Settings</h2>")[1].split("<h2>")[0]
    assert choice.reason in section
    cells = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", section)
    assert [tuple(cell) for cell in cells] == choice.table


def test_a_page_of_a_fit_without_a_choice_has_no_such_section(tmp_path):
    arguments = ["fit", good_folder(tmp_path / "good", 5), "--out", str(tmp_path / "a.patchbank")]
    assert status_of(*arguments, *SMALL, "--report", str(tmp_path / "page")) == 0
    assert "<h2>Settings</h2>" not in (tmp_path / "page" / "index.html").read_text()


def test_few_photographs_keep_the_default_and_fit_says_so(tmp_path, capsys):
    good, out = good_folder(tmp_path / "good", 6), str(tmp_path / "a.patchbank")
    status, text, _ = run(capsys, "fit", good, "--preset", "auto", "--out", out, *SMALL)
    assert status == 0
    assert "settings: the default is kept; 6 photographs are too few to choose by (20 or" in text


def test_a_photograph_that_cannot_be_read_is_left_out_before_the_trials(tmp_path, capsys):
    good, out = good_folder(tmp_path / "good", 21), str(tmp_path / "a.patchbank")
    (tmp_path / "good" / "bad.png").write_bytes(b"no photograph")
    arguments = ["fit", good, "--preset", "auto", "--out", out, *SMALL]
    status, text, error = run(capsys, *arguments)
    assert status == 2
    assert error.startswith("error: ")
    assert "bad.png" in error
    assert not (tmp_path / "a.patchbank").exists()
    status, text, error = run(capsys, *arguments, "--skip-unreadable")
    assert status == 1
    assert "left out: " in error
    assert "AUROC" in text


def test_copies_are_on_one_side_of_the_trials(tmp_path):
    """Twice the same eleven photographs: as few groups as photographs differ."""
    folder = tmp_path / "good"
    for seed in range(11):
        for copy in range(2):
            save(folder / f"{seed:02}-{copy}.png", part(seed))
    out = str(tmp_path / "a.patchbank")
    assert status_of("fit", str(folder), "--preset", "auto", "--out", out, *SMALL) == 0
    choice = load(out).settings_choice
    assert (choice.n_learned, choice.n_held_out) == (12, 10)
    assert load(out).calibration.n_groups == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--time-limit-s", "5"], "time_limit_s: expected together with --preset auto"),
        (
            ["--preset", "auto", "--time-limit-s", "-1"],
            "time_limit_s: expected a number from 0 to",
        ),
        (
            ["--preset", "auto", "--time-limit-s", "x"],
            "time_limit_s: expected a number from 0 to",
        ),
        (["--preset", "auto", "--method", "padim"], "preset: expected a preset of padim, got 'aut"),
        (
            ["--preset", "auto", "--backbone", "efficientnet_lite2"],
            "preset: expected one backbone with 'auto', got 2",
        ),
    ],
)
def test_options_that_contradict_auto_are_one_clear_line(tmp_path, capsys, options, message):
    good, out = good_folder(tmp_path / "good", 3), str(tmp_path / "a.patchbank")
    small = SMALL if "--method" not in options else SMALL[:4]
    status, _, error = run(capsys, "fit", good, "--out", out, *small, *options)
    assert status == 2
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_settings_in_augment_stay_as_given(tmp_path):
    good, out = good_folder(tmp_path / "good"), str(tmp_path / "a.patchbank")
    options = ["--preset", "auto", "--augment", "flips=horizontal", "--scales", "1"]
    assert status_of("fit", good, "--out", out, *SMALL, *options) == 0
    settings = load(out).members[0].settings
    assert (settings.flips, settings.scales) == ("horizontal", (1.0,))
    assert [list(t.changes) for t in load(out).settings_choice.trials] == 2 * [["patch_size"]]


class Steps(NullProgress):
    """Counts the steps of each task."""

    def __init__(self):
        self.totals, self.done = {}, {}

    def task(self, title, total):
        self.totals[title], self.done[title] = total, 0
        outer = self

        class Context:
            def __enter__(self):
                return lambda steps: outer.done.__setitem__(title, outer.done[title] + steps)

            def __exit__(self, *error):
                return None

        return Context()


@pytest.mark.filterwarnings("ignore:array")
def test_progress_shows_all_images_of_all_trials():
    steps = Steps()
    recipe = PatchCore.auto(
        backbone="efficientnet_lite0", image_size=64, bank_limit=100, false_alarm_rate=0.2
    )
    recipe.fit([part(seed) for seed in range(20)], progress=steps)
    # 11 learned, 9 held out, 27 copies of these with a defect.
    assert steps.totals["choosing settings"] == 47
    assert steps.done["choosing settings"] == 47


def test_lines_of_a_record_name_the_size_below_which_defects_are_missed():
    record = SettingsChoice(
        {"scales": (1.0,)}, "why", missed_below_px=13.64, missed_below_share=0.03
    )
    assert record.lines[0] == "settings: why"
    assert record.lines[1].startswith(
        "defects smaller than about 14 pixels (3.0 % of the side of a"
    )
    assert SettingsChoice({}, "why").lines == ["settings: why"]
    large = SettingsChoice({}, "", missed_below_px=128.0, missed_below_share=0.08)
    assert "about 130 pixels" in large.lines[1]


def test_a_trial_without_a_score_is_last_with_its_reason():
    trials = (
        SettingsTrial({"patch_size": 1}, None, "too large"),
        SettingsTrial({"patch_size": 3}, 0.25),
        SettingsTrial({"patch_size": 5}, 0.5),
    )
    table = SettingsChoice({"patch_size": 5}, "", trials).table
    assert table == [
        ("patch_size 5", "0.500", "chosen"),
        ("patch_size 3", "0.250", ""),
        ("patch_size 1", "-", "too large"),
    ]


def test_values_are_written_as_on_the_command_line():
    assert value_text((1.0, 0.25)) == "1,0.25"
    assert value_text(None) == "None"
    assert value_text(np.float64(0.5)) == "0.5"
